"""The types of the values in a store's JSON files and in recipes.

Everything in the package relies on them, so both kinds of file are checked where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""A short name, safe as a part of a path; use it with `fullmatch`."""
MOST_CANVAS_PX = 8192
"""Largest side of a canvas; Pillow takes a picture of 9459 px for an attack."""
_SETTING = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SHA256 = re.compile("[0-9a-f]{64}")
_LONGEST = 60
"""Characters of a wrong value in a message."""


class SchemaError(ValueError):
    """A value is missing or has another type; the message names the value, and what is expected."""


@dataclass(frozen=True)
class Kind:
    """A type of values.

    Attributes:
        words: what is expected, for messages.
        fits: whether a value has this type.
    """

    words: str
    fits: Callable[[Any], bool]

    def or_null(self) -> Kind:
        """The same type, or null."""
        return Kind(f"{self.words} or null", lambda value: value is None or self.fits(value))


def is_whole(value: object, least: int = -(2**63)) -> TypeGuard[int]:
    """Whether the value is a whole number of at least `least` and below 2**63; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 2**63


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether the value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300


def is_seed(value: object) -> TypeGuard[int]:
    """Whether the value is a whole number from 0 to below 2**63, torch's range of seeds."""
    return is_whole(value, 0)


def is_sha256(value: object) -> bool:
    """Whether the value is a SHA-256 in hexadecimal digits."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _is_scale(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value)) and value[0] < value[1]


def _is_texts_by_name(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


TEXT = Kind("a text", lambda value: isinstance(value, str) and "\0" not in value)
TEXTS = Kind("a list of texts", _is_texts)
TEXTS_BY_NAME = Kind("a group of texts", _is_texts_by_name)
SHORT_NAME = Kind(
    "a short name of at most 64 letters, digits and . _ -, a letter or digit first",
    lambda value: isinstance(value, str) and NAME.fullmatch(value) is not None,
)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a finite number", is_number)
INDEX = Kind("a whole number of at least 0", is_seed)
COUNT = Kind("a whole number of at least 1", lambda value: is_whole(value, 1))
SIDE = Kind(f"a whole number from 1 to {MOST_CANVAS_PX}", lambda value: is_whole(value, 1) and value <= MOST_CANVAS_PX)
SHA256 = Kind("a SHA-256 in hexadecimal digits", is_sha256)
GROUP = Kind("a group of values", lambda value: isinstance(value, Mapping))

SAMPLE = {
    "method": SHORT_NAME,
    "prompt_id": SHORT_NAME,
    "positive": Kind("a list of at least one text", lambda value: _is_texts(value) and bool(value)),
    "negative": TEXTS,
    "seed": Kind("a whole number from 0 to 2**63 - 1", is_seed),
    "settings": GROUP,
}
"""Values that describe a sample; all are required."""

SETTINGS = {
    **dict.fromkeys(("pyramid", "views", "objective", "ascent", "guide"), GROUP),
    "weights": TEXTS_BY_NAME,
    "revision": INDEX,
    "deterministic": FLAG,
    "guide.family": SHORT_NAME,
    "pyramid.canvas_px": SIDE,
    "pyramid.max_level_px": SIDE,
    "pyramid.gamut_gain": NUMBER,
    **dict.fromkeys(("pyramid.combine", "pyramid.interpolation", "pyramid.gamut", "randomness", "precision"), TEXT),
    "objective.aesthetic_sign": Kind("-1, 0 or 1", lambda value: is_whole(value, -1) and value <= 1),
}
"""Settings by dotted name that are read without a plan; all are optional, since older versions had fewer."""

RECORD = {
    "key": SHA256,
    "result": GROUP,
    "image_sha256": SHA256,
    "trace_sha256": SHA256,
    "provenance": GROUP,
}
"""Values of sample.json beside the sample; all are required."""

RESULT = {"clip_positive": NUMBER, "clip_negative": NUMBER}
"""The guide's numbers for a finished image; a guide without a quality head has no `guide_aesthetic_score`."""
RESULT_OPTIONAL = {"guide_aesthetic_score": NUMBER}

PLACEMENT = {"samples_per_batch": COUNT, "row": INDEX, "views_per_pass": COUNT, "threads": COUNT}

PROVENANCE = {
    **PLACEMENT,
    "device": TEXT.or_null(),
    "duration_s": NUMBER.or_null(),
    "git_commit": TEXT.or_null(),
    "guide": TEXT,
    "published_figures": FLAG,
    "versions": GROUP,
}
"""Entries of a provenance that are read; all are optional."""

SCORE = {"score": NUMBER.or_null(), "digest": TEXT, "image_sha256": SHA256}
SCORE_OPTIONAL = {
    **dict.fromkeys(("title", "version", "remark"), TEXT),
    "weights": TEXTS_BY_NAME,
    "recognised": FLAG,
    "rank": COUNT,
    "scale": Kind("two numbers, the smaller first", _is_scale),
}
"""Values of one evaluator's score."""


def check(
    values: object, required: Mapping[str, Kind], optional: Mapping[str, Kind] | None = None, where: str = ""
) -> None:
    """Checks the types of a group's values; other names may have any value.

    Args:
        where: the group's place in the file, for messages.

    Raises:
        SchemaError: the value is no group, a required value is missing, or a value has another type.
    """
    if not isinstance(values, Mapping):
        raise SchemaError(f"{where or 'the file'}: expected a group of values, got {shortened(values)}")
    prefix = f"{where}." if where else ""
    for name, kind in {**required, **(optional or {})}.items():
        if name in values:
            if not kind.fits(values[name]):
                raise SchemaError(f"{prefix}{name}: expected {kind.words}, got {shortened(values[name])}")
        elif name in required:
            raise SchemaError(f"{prefix}{name}: expected {kind.words}, found none")


def check_sample(values: object) -> None:
    """Checks the description of a sample, with its settings.

    Raises:
        SchemaError: see `check`.
    """
    check(values, SAMPLE)
    assert isinstance(values, Mapping)
    settings = dict(_by_dotted_name(values["settings"]))
    check(settings, {}, SETTINGS, "settings")


def _by_dotted_name(group: Mapping[Any, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of each setting and each group of settings."""
    for name, value in group.items():
        if not isinstance(name, str) or not _SETTING.fullmatch(name):
            raise SchemaError(f"settings.{place}: expected a setting's name, got {shortened(name)}")
        yield f"{place}{name}", value
        if isinstance(value, Mapping):
            yield from _by_dotted_name(value, f"{place}{name}.")


def shortened(value: object) -> str:
    """A value in a message, cut to one short line."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
