"""Texts of users in figures: drawn as written, with fonts that have their characters."""

from __future__ import annotations

import functools
import logging
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import matplotlib
import pandas as pd
from matplotlib import font_manager

FONT = "DejaVu Sans"
"""The font of all figures; matplotlib ships it."""

_LAST_RESORT = "last resort"
"""matplotlib's font of boxes, which claims to have every character."""

_NOT_DRAWABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML, and so SVG, must not contain, and further control characters."""

_log = logging.getLogger("matplotlib.font_manager")

P = ParamSpec("P")
R = TypeVar("R")


def drawn_as_written(make: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function that makes a figure from texts and tables.

    No setting of the user's matplotlib affects the figure. A dollar sign does not start a formula. Control characters
    appear as JSON escapes, for instance \\u0001.
    """

    @functools.wraps(make)
    def decorated(*args: P.args, **kwargs: P.kwargs) -> R:
        shown: list[Any] = [_drawable(value) for value in args]
        named: dict[str, Any] = {name: _drawable(value) for name, value in kwargs.items()}
        with own_settings(characters_of(*shown, *named.values())):
            return make(*shown, **named)

    return decorated


def width_of(text: str) -> int:
    """The number of characters, of which those of East Asian scripts count twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def wrapped(text: str, wide: int, *, break_words: bool = False) -> list[str]:
    """Lines of about this width. Words stay whole unless `break_words`; East Asian texts have no spaces to break at."""
    width = max(width_of(text), 1)
    return textwrap.wrap(
        text,
        max(wide * len(text) // width, 1),
        break_long_words=break_words or width > len(text),
        break_on_hyphens=break_words,
    )


@contextmanager
def own_settings(characters: frozenset[str] = frozenset()) -> Iterator[None]:
    """Replaces all settings of matplotlib by its defaults and ours; nothing is said of missing characters.

    Args:
        characters: that the figure shows; they decide which fonts it uses.
    """
    settings: dict[Any, Any] = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    settings |= {
        "font.family": [FONT, *further_fonts(characters)],
        "text.parse_math": False,
        "svg.hashsalt": "das-ag",
        "svg.fonttype": "path",
    }
    level = _log.level
    _log.setLevel(logging.ERROR)  # it says for each text that a font has no regular weight
    try:
        with matplotlib.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a box stands for it
            yield
    finally:
        _log.setLevel(level)


def _drawable(value: Any) -> Any:
    """The text, or the table with its texts, with control characters as JSON escapes; other values unchanged."""
    if isinstance(value, str):
        return _NOT_DRAWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", value.replace("\t", " "))
    if isinstance(value, pd.DataFrame):
        for name, texts in _texts_of(value):
            changed = {text: shown for text in texts if (shown := _drawable(text)) != text}
            if changed:
                value = value.assign(**{name: [changed.get(text, text) for text in value[name]]})
    return value


def characters_of(*values: Any) -> frozenset[str]:
    """All characters that a figure of these texts and tables may show."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, pd.DataFrame):
            found.update(*(_drawable(text) for _, texts in _texts_of(value) for text in texts))
        elif isinstance(value, str):
            found.update(_drawable(value))
    return frozenset(found)


def _texts_of(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Name and different texts of each column that is not of numbers."""
    columns = [str(name) for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    return [(name, [text for text in table[name].unique() if isinstance(text, str)]) for name in columns]


def further_fonts(characters: frozenset[str]) -> list[str]:
    """Fonts of this machine for the characters that `FONT` lacks."""
    return list(_fonts_for(_lacking(characters))[0])


def missing_characters(characters: frozenset[str]) -> str:
    """The characters that no font of this machine has, sorted."""
    return "".join(sorted(_fonts_for(_lacking(characters))[1]))


def _lacking(characters: frozenset[str]) -> frozenset[str]:
    """The characters that `FONT` lacks, except those without a look of their own."""
    beyond = frozenset(letter for letter in characters if ord(letter) > 0x7E)
    if not beyond:
        return beyond
    invisible = {letter for letter in beyond if unicodedata.category(letter) in ("Cc", "Cf", "Mn", "Zl", "Zp")}
    return beyond - invisible - _characters_in(_regular_fonts()[FONT])


@functools.lru_cache(maxsize=32)
def _fonts_for(lacking: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Names of fonts that together have most of these characters, and the characters that none has."""
    chosen: list[str] = []
    if lacking:
        _find_new_fonts()
        having = {name: _characters_in(path) & lacking for name, path in sorted(_regular_fonts().items())}
        # Of fonts that have equally many, one without serifs, as the rest of the figure.
        while having and having[best := max(having, key=lambda n: (len(having[n]), "sans" in n.lower()))]:
            chosen.append(best)
            lacking -= having[best]
            having = {name: found & lacking for name, found in having.items()}
    return tuple(chosen), lacking


def _find_new_fonts() -> None:
    """Adds fonts that were installed after matplotlib wrote its list."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted({*font_manager.findSystemFonts()} - known):
        try:
            font_manager.fontManager.addfont(path)
        except (OSError, RuntimeError, ValueError, NotImplementedError):  # damaged, or made of pixels
            continue


def _regular_fonts() -> dict[str, str]:
    """File of each font's upright version of regular weight, or nearest to it, by name."""
    entries = [entry for entry in font_manager.fontManager.ttflist if _LAST_RESORT not in entry.name.lower()]
    entries.sort(key=lambda entry: (entry.style == "normal", -abs(_weight(entry.weight) - 400)))
    return {entry.name: entry.fname for entry in entries}  # the last one of a name counts


def _weight(weight: str | int) -> int:
    return weight if isinstance(weight, int) else font_manager.weight_dict.get(weight, 400)


@functools.lru_cache(maxsize=1024)
def _characters_in(path: str) -> frozenset[str]:
    """All characters of a font; none if its file cannot be read."""
    try:
        return frozenset(map(chr, font_manager.get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
