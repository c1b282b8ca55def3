"""The table of methods, with the name, the use of the aesthetic score and the colours of each.

To add a method, write a file in conf/method and a row here. A run may also give its method another name
(`method.name=my_method`). That name has no row here, but reports treat it like the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: name in `method=` and in the store.
        title: name in tables, plots and pages.
        aesthetic_sign: sign of the aesthetic term: 0 ignores the score, 1 rewards it, -1 penalises it; None for a
            method without a row, since its sign is unknown.
        colour, marker: style in plots, which have a white background.
        light, dark: colours on a light and on a dark screen.
        dash: dash pattern of the line on the demo's page, as in SVG.
    """

    name: str
    title: str
    aesthetic_sign: int | None
    colour: str
    marker: str
    light: str
    dark: str
    dash: str

    def screen_colour(self, theme: str) -> str:
        """The colour for the theme "light" or "dark"."""
        return self.dark if theme == "dark" else self.light


METHODS = {
    row.name: row
    for row in (
        Method("das", "DAS", 0, colour="#0072B2", marker="o", light="#0072B2", dark="#56B4E9", dash="none"),
        Method("das_ag", "DAS-AG", 1, colour="#E69F00", marker="^", light="#D98C00", dark="#F0B13C", dash="7 3"),
        Method("das_rag", "DAS-rAG", -1, colour="#2B2B2B", marker="v", light="#4A4A4A", dark="#B9B9B9", dash="2 2.5"),
    )
}
"""Each method by name, in the order of tables and plots. The colours are two of Okabe and Ito's, and nearly black. For
colour blindness and grey print, the colours differ in lightness (a method that should score higher is lighter), and the
markers differ in shape."""

_FURTHER = (
    ("#CC79A7", "s", "#B0578A", "#D98BB8", "1 3"),
    ("#009E73", "D", "#007A59", "#3DC79B", "10 3"),
    ("#D55E00", "P", "#B84F00", "#FF8A4C", "7 3 1 3"),
    ("#6A3D9A", "X", "#6A3D9A", "#B79AE0", "4 4"),
)
"""Colour, marker, light, dark and dash for methods without a row."""


def methods_of(names: Iterable[str]) -> list[Method]:
    """The methods with these names, without repetition: first those of `METHODS` in order, then the others by name.

    The first of the others gets the first style of `_FURTHER`, and so on. If there are more than four, they share
    styles.
    """
    present = set(names)
    others = sorted(present - set(METHODS))
    looks = (_FURTHER[place % len(_FURTHER)] for place in range(len(others)))
    return [
        *(method for name, method in METHODS.items() if name in present),
        *(Method(name, name, None, *look) for name, look in zip(others, looks, strict=True)),
    ]


def method_of(name: str) -> Method:
    """The method with this name; a method without a row gets the first style of `_FURTHER`."""
    return methods_of([name])[0]
