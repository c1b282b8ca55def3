"""What tells the samples of a store apart, as a text that tables and legends show and that can be taken apart again."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from das_ag.store.command import PLACES
from das_ag.store.samples import Sample

TEXTS = ("prompt", "negative")
"""Names of those pairs of a label that are no settings: they tell different texts of one prompt id apart."""

_REWARD, _SIGN = "objective.aesthetic", "objective.aesthetic_sign"
"""How much the aesthetic score weighs at each step; and 0 in DAS, which does without."""

LONGEST_TEXT = 40
"""Characters of a prompt in a label; the whole one stands in scores.csv."""

_OPTIONS = {place: option for option, place in PLACES.items()}
_NONE, _ABSENT = "none", "–"
_NUMBERS = re.compile(r"((?<![\w.])-\d+(?:\.\d+)?(?:e[+-]?\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_PIECES = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^",]|,(?! [\w.]+=))+')
"""What stands between ", name=", which a text in quotation marks may hold without being broken."""


def labels_of(samples: Sequence[Sample]) -> list[str]:
    """For each sample, in what it differs from others, for instance 'steps=100, prompt="a red heart"'.

    Settings are named, as on the command line, if any two samples differ in them. A text is named where a prompt id has
    several of them, and beside it wherever else the same text stands. Samples with equal labels differ in method,
    prompt id and seed alone. How the aesthetic score is weighed is no setting of DAS, and not in its labels.
    """
    ids = [sample.prompt_id for sample in samples]
    parts = [
        _differing_settings([sample.all_settings for sample in samples]),
        _differing_texts("prompt", ids, [sample.positive for sample in samples]),
        _differing_texts("negative", ids, [sample.negative for sample in samples]),
    ]
    return [_joined(itertools.chain.from_iterable(pairs)) for pairs in zip(*parts, strict=True)]


def pairs_of(label: str) -> list[tuple[str, str]]:
    """(name, value) of each part of a label."""
    parted = (piece.strip().partition("=") for piece in _PIECES.findall(label))
    return [(name, value) for name, _, value in parted]


def divide(label: str) -> tuple[str, str]:
    """A label's settings, and its texts."""
    pairs = pairs_of(label)
    return _joined(pair for pair in pairs if pair[0] not in TEXTS), _joined(pair for pair in pairs if pair[0] in TEXTS)


def natural(text: str) -> tuple[list[str | float], str]:
    """By which texts are sorted as people would, steps=20 before steps=100."""
    parts: list[str | float] = list(_NUMBERS.split(text))
    parts[1::2] = map(float, parts[1::2])
    return parts, text


def divide_reward(label: str) -> tuple[str, str]:
    """What a label has in common with that of DAS under the same settings, and how the aesthetic score is weighed."""
    pairs = pairs_of(label)
    return _joined(p for p in pairs if not _is_reward(p[0])), _joined(p for p in pairs if _is_reward(p[0]))


def settings_order(label: str) -> tuple[object, ...]:
    """By which labels are sorted: what is shared with DAS first, then how much the aesthetic score weighs."""
    return tuple(map(natural, divide_reward(label)))


def _is_reward(name: str) -> bool:
    return name == _REWARD or name.startswith(f"{_REWARD}.")


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" if value else name for name, value in pairs)


def _differing_settings(settings: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, str]]]:
    flat = [{_OPTIONS.get(place, place): item for place, item in _flatten(value).items()} for value in settings]
    # The sign is what makes the method, which has a column of its own.
    names = sorted({*itertools.chain.from_iterable(flat)} - {_SIGN})
    canvas, level = "canvas_px", "pyramid.max_level_px"
    # By default it follows the canvas.
    if len({f[canvas] // f[level] for f in flat if canvas in f and level in f}) <= 1:
        names = [name for name in names if name != level]

    def concerns(name: str, f: Mapping[str, Any]) -> bool:
        return f.get(_SIGN) != 0 or not _is_reward(name)

    def shown(name: str, f: Mapping[str, Any]) -> str:
        return _shown(f[name]) if name in f else _ABSENT

    differing = [name for name in names if len({shown(name, f) for f in flat if concerns(name, f)}) > 1]
    return [[(name, _short(shown(name, f))) for name in differing if concerns(name, f)] for f in flat]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flatten(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item
    return flat


def _shown(value: Any) -> str:
    """A value as the command line takes it; a word stands without quotation marks where it cannot be mistaken."""
    is_word = isinstance(value, str) and re.fullmatch(r"(?!(true|false|null)$)[A-Za-z_][^\s\",=]*|[0-9a-f]{64}", value)
    return value if is_word else json.dumps(value, ensure_ascii=False)


def _short(value: str) -> str:
    """Of a checksum its beginning."""
    return value[:8] if re.fullmatch("[0-9a-f]{64}", value) else value


def _differing_texts(name: str, ids: Sequence[str], texts: Sequence[tuple[str, ...]]) -> list[list[tuple[str, str]]]:
    of_id = defaultdict(set)
    for prompt_id, text in zip(ids, texts, strict=True):
        of_id[prompt_id].add(text)
    # All samples with such a text, so that those of prompts that were run in one way only stay with their like.
    several = set().union(*(found for found in of_id.values() if len(found) > 1))
    shown = _abbreviated(several)
    return [[(name, shown[text])] if text in several else [] for text in texts]


def _abbreviated(texts: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Each text short and in quotation marks; those that are cut to the same are numbered.

    One that ends as if it were numbered is numbered too, so that it is not taken for another.
    """
    alike = defaultdict(list)
    for text in sorted(texts):
        words = " ".join(" | ".join(text).split())
        alike[words if len(words) <= LONGEST_TEXT else words[: LONGEST_TEXT - 1].rstrip() + "…"].append(text)
    numbered = {short for short, same in alike.items() if len(same) > 1 or re.search(r" \(\d+\)$", short)}
    return {
        text: json.dumps(short + (f" ({place})" if short in numbered else ""), ensure_ascii=False) if text else _NONE
        for short, same in alike.items()
        for place, text in enumerate(same, start=1)
    }
