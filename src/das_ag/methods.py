"""The table of methods: what each is called, what it does with the aesthetic score, and how it looks.

A new method is one file in conf/method and one row here. A run may also give its method a name of its own
(`method.name=my_method`): that name has no row, and is reported like the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: as in `method=` and in the store.
        title: as tables, plots and pages write it.
        aesthetic_sign: of the aesthetic term: 0 ignores the score, 1 rewards it, -1 penalises it; None for a method
            without a row, whose name does not say.
        colour, marker: in plots, which are on white paper.
        light, dark: its colours on a light and on a dark screen.
        dash: of its line on the demo's page, as in SVG.
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
        """The colour on a screen whose theme is "light" or "dark"."""
        return self.dark if theme == "dark" else self.light


METHODS = {
    row.name: row
    for row in (
        Method("das", "DAS", 0, colour="#0072B2", marker="o", light="#0072B2", dark="#56B4E9", dash="none"),
        Method("das_ag", "DAS-AG", 1, colour="#E69F00", marker="^", light="#D98C00", dark="#F0B13C", dash="7 3"),
        Method("das_rag", "DAS-rAG", -1, colour="#2B2B2B", marker="v", light="#4A4A4A", dark="#B9B9B9", dash="2 2.5"),
    )
}
"""Each method by its name, in the order of tables and plots. The colours are Okabe and Ito's, and nearly black. They
differ in lightness (the better the method is meant to score, the lighter), and the markers differ in form: for colour
blindness and grey print."""

_FURTHER = (
    ("#CC79A7", "s", "#B0578A", "#D98BB8", "1 3"),
    ("#009E73", "D", "#007A59", "#3DC79B", "10 3"),
    ("#D55E00", "P", "#B84F00", "#FF8A4C", "7 3 1 3"),
    ("#6A3D9A", "X", "#6A3D9A", "#B79AE0", "4 4"),
)
"""Colour, marker, light, dark and dash of methods without a row."""


def methods_of(names: Iterable[str]) -> list[Method]:
    """The methods of these names, each once: those of `METHODS` in its order, then the others by name.

    The first of the others gets the first further look, and so on. More than four others share looks.
    """
    present = set(names)
    others = sorted(present - set(METHODS))
    looks = (_FURTHER[place % len(_FURTHER)] for place in range(len(others)))
    return [
        *(method for name, method in METHODS.items() if name in present),
        *(Method(name, name, None, *look) for name, look in zip(others, looks, strict=True)),
    ]


def method_of(name: str) -> Method:
    """The method of any name; one without a row looks as it does where it is the only such method."""
    return methods_of([name])[0]
