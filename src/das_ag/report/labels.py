"""Labels that say how the samples of a store differ. Tables and legends show them, and they can be parsed again."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from das_ag.store.command import PLACES
from das_ag.store.samples import Sample, leaves

TEXTS = ("prompt", "negative")
"""Names in a label that are not settings: they distinguish different texts of one prompt id."""

_REWARD, _SIGN = "objective.aesthetic", "objective.aesthetic_sign"
"""The aesthetic weight at each step; 0 in DAS, which ignores it."""

LONGEST_TEXT = 40
"""Characters of a prompt in a label; scores.csv holds the whole prompt."""

_WORDS = {
    "objective.aesthetic.end": "aesthetic weight",
    "objective.clip": "similarity weight",
    "views.count": "views",
    "models.name": "model",
}
"""Words for settings whose own names say too little."""

_OPTIONS = {place: option for option, place in PLACES.items()}
_NONE, _ABSENT = "none", "–"
_NUMBERS = re.compile(r"((?<![\w.])-\d+(?:\.\d+)?(?:e[+-]?\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_PIECES = re.compile(r'(?:"(?:\\.|[^"\\])*"|[^",]|,(?! [\w.]+=))+')
"""A part of a label up to the next ", name="; a text in quotation marks may contain that without being split."""


def labels_of(samples: Sequence[Sample]) -> list[str]:
    """For each sample, how it differs from others, for instance 'steps=100, prompt="a red heart"'.

    A label names a setting, as on the command line, if any two samples differ in it. It names a text if a prompt id has
    several texts; then other samples with the same text name it too. Samples with equal labels differ only in method,
    prompt id and seed. DAS ignores the aesthetic weight, so its labels leave it out.
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
    """The settings of a label, and its texts."""
    return _parted(label, lambda name: name in TEXTS)


def divide_reward(label: str) -> tuple[str, str]:
    """The part of a label that DAS with the same settings shares, and the aesthetic weight."""
    return _parted(label, _is_reward)


def without(label: str, name: str) -> str:
    """The label without one of its settings."""
    return _joined(pair for pair in pairs_of(label) if pair[0] != name)


def _parted(label: str, is_second: Callable[[str], bool]) -> tuple[str, str]:
    """The parts of a label in two labels, by their names."""
    pairs = pairs_of(label)
    second = [pair for pair in pairs if is_second(pair[0])]
    return _joined(pair for pair in pairs if pair not in second), _joined(second)


def with_experiment(label: str, name: str) -> str:
    """The label with the name of the experiment in front, where several are compared."""
    return _joined([("experiment", _shown(name)), *pairs_of(label)])


def experiment_of(label: str) -> str:
    """The experiment as `with_experiment` writes it; empty if there is none."""
    return dict(pairs_of(label)).get("experiment", "")


def natural(text: str) -> tuple[list[str | float], str]:
    """Sort key for natural order: steps=20 comes before steps=100."""
    parts: list[str | float] = list(_NUMBERS.split(text))
    parts[1::2] = map(float, parts[1::2])
    return parts, text


def in_words(label: str) -> str:
    """A label as short words, for instance "steps 20, aesthetic weight 5"; it cannot be parsed again."""
    return ", ".join(_words(name, value) for name, value in pairs_of(label))


def _words(name: str, value: str) -> str:
    words = _WORDS.get(name) or re.sub(r"^(?:views|pyramid|weights|models|runtime)\.", "", name)
    if words.startswith("objective."):  # the weight of a term, or a part of its schedule
        words = words.removeprefix("objective.") + ("" if words.count(".") > 1 else " weight")
    unit = " px" if words.endswith("_px") else ""
    plain = re.sub(r"(\d)\.0(?![\d.])", r"\1", value) if not value.startswith('"') else value
    return f"{re.sub('[._]', ' ', words.removesuffix('_px'))} {plain}{unit}".strip()


def settings_order(label: str) -> tuple[object, ...]:
    """Sort key for labels: first the part shared with DAS, then the aesthetic weight."""
    return tuple(map(natural, divide_reward(label)))


def shortened(text: str, longest: int) -> str:
    """The text in one line of at most so many characters, cut anywhere, since not all scripts have spaces."""
    words = " ".join(text.split())
    return words if len(words) <= longest else words[: longest - 1].rstrip() + "…"


def prompt_names(prompts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A name for each prompt id: its text, if this is one short line that belongs to no other prompt; else the id.

    Args:
        prompts: id and text of each prompt, any number of times.
    """
    pairs = {*prompts}
    ids = Counter(prompt_id for prompt_id, _ in pairs)
    taken = Counter(itertools.chain.from_iterable({*pair} for pair in pairs))
    return {
        i: text if text and shortened(text, LONGEST_TEXT) == text and ids[i] == taken[text] == 1 else i
        for i, text in pairs
    }


def name_of(folder: Path) -> str:
    """The name of a folder as one line that can be written as UTF-8; a name on disk may be any bytes."""
    return " ".join(folder.as_posix().encode("utf-8", "backslashreplace").decode("utf-8").split())


def _is_reward(name: str) -> bool:
    return name == _REWARD or name.startswith(f"{_REWARD}.")


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" if value else name for name, value in pairs)


def _differing_settings(settings: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, str]]]:
    found = [{_OPTIONS.get(place, place): item for place, item in leaves(value)} for value in settings]
    # The sign defines the method, which has its own column.
    names = sorted({*itertools.chain.from_iterable(found)} - {_SIGN})
    canvas, level = "canvas_px", "pyramid.max_level_px"
    # By default it follows the canvas.
    if len({f[canvas] // f[level] for f in found if canvas in f and level in f}) <= 1:
        names = [name for name in names if name != level]

    def concerns(name: str, f: Mapping[str, Any]) -> bool:
        return f.get(_SIGN) != 0 or not _is_reward(name)

    def shown(name: str, f: Mapping[str, Any]) -> str:
        return _shown(f[name]) if name in f else _ABSENT

    differing = [name for name in names if len({shown(name, f) for f in found if concerns(name, f)}) > 1]
    return [[(name, _short(shown(name, f))) for name in differing if concerns(name, f)] for f in found]


def _shown(value: Any) -> str:
    """A value as on the command line; without quotation marks if a word is unambiguous."""
    is_word = isinstance(value, str) and re.fullmatch(r"(?!(true|false|null)$)[A-Za-z_][^\s\",=]*|[0-9a-f]{64}", value)
    return value if is_word else json.dumps(value, ensure_ascii=False)


def _short(value: str) -> str:
    """The beginning of a checksum."""
    return value[:8] if re.fullmatch("[0-9a-f]{64}", value) else value


def _differing_texts(name: str, ids: Sequence[str], texts: Sequence[tuple[str, ...]]) -> list[list[tuple[str, str]]]:
    of_id = defaultdict(set)
    for prompt_id, text in zip(ids, texts, strict=True):
        of_id[prompt_id].add(text)
    # All samples with such a text, so that prompts with only one variant stay in the same group.
    several = set().union(*(found for found in of_id.values() if len(found) > 1))
    shown = _abbreviated(several)
    return [[(name, shown[text])] if text in several else [] for text in texts]


def _abbreviated(texts: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Each text short and in quotation marks; texts that are equal after shortening get numbers.

    A text that ends like a numbered one gets a number too, so that it is not mistaken for another.
    """
    alike = defaultdict(list)
    for text in sorted(texts):
        alike[shortened(" | ".join(text), LONGEST_TEXT)].append(text)
    numbered = {short for short, same in alike.items() if len(same) > 1 or re.search(r" \(\d+\)$", short)}
    return {
        text: json.dumps(short + (f" ({place})" if short in numbered else ""), ensure_ascii=False) if text else _NONE
        for short, same in alike.items()
        for place, text in enumerate(same, start=1)
    }
