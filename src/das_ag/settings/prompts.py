"""Reads prompts from the configuration or from a file of any length."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from das_ag.errors import UserError, repeated_in
from das_ag.settings.prompt_files import READERS, content_of, place_in
from das_ag.settings.typed import check_names, short_name
from das_ag.store.schema import is_seed

_NEGATIVE = "prompts.negative"
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that UTF-8 or image metadata cannot store; JSON can contain them as escapes."""
_WORD = re.compile("[a-z0-9]+")
_SLUG_LENGTH, _HASH_LENGTH = 40, 12
"""Largest length of the readable part, and length of the hash, in a name that is made from texts."""


@dataclass(frozen=True)
class Prompt:
    """What an image should show, and what it should not show.

    Attributes:
        id: short name.
        positive, negative: texts.
        seed: the prompt's own seed; None to use the experiment's seeds.
        where: the prompt's place in the configuration or in a file, for messages.
        where_negative: the place of its negative texts.
    """

    id: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    seed: int | None
    where: str
    where_negative: str = _NEGATIVE


def prompts_of(values: object, own: object = None) -> tuple[Prompt, ...]:
    """The prompts of the group `prompts`, or those of the setting `prompt` with the negative texts of the group.

    Args:
        values: plain, resolved values: `negative`, the default negative texts, and either `positive`, texts by short
            name, or `path`, a file.
        own: texts of prompts without names; None for the prompts of the group.

    Raises:
        UserError: an option is missing, unknown or wrong, or the file cannot be read or understood.
    """
    from_file = isinstance(values, Mapping) and "path" in values
    group = check_names(values, ("path" if from_file else "positive", "negative"), "prompts")
    negative = _texts(group["negative"], _NEGATIVE)
    if own is not None:
        return _own(own, negative)
    return _read(group["path"], negative) if from_file else _named(group["positive"], negative)


def _own(texts: object, negative: tuple[str, ...]) -> tuple[Prompt, ...]:
    texts = _texts(texts, "prompt")
    if not texts:
        raise UserError('prompt: expected a text, got none; write for instance "prompt=a castle and a volcano".')
    if repeated := repeated_in(texts):
        raise UserError(f"prompt: expected each text once, got {repeated[0]!r} more than once; remove the repeats.")
    places = [f"prompt, text {number}" for number in range(1, len(texts) + 1)] if len(texts) > 1 else ["prompt"]
    return tuple(
        Prompt(prompt_id_of((text,), negative), (text,), negative, None, where)
        for text, where in zip(texts, places, strict=True)
    )


def _named(positive: object, negative: tuple[str, ...]) -> tuple[Prompt, ...]:
    if not isinstance(positive, Mapping | list) or not positive:
        example = "'prompts.positive={mine: \"a red circle\"}'"
        raise UserError(f"prompts.positive: expected named prompts, got {positive!r}; give for instance {example}.")
    prompts = []
    for prompt_id, value in positive.items() if isinstance(positive, Mapping) else _listed(positive):
        name, where = short_name(prompt_id, "prompts.positive"), f"prompts.positive.{prompt_id}"
        texts = _texts(value, where)
        if not texts:
            raise UserError(f"{where}: expected a text, got {value!r}; write one or remove it.")
        prompts.append(Prompt(name, texts, negative, None, where))
    if repeated := repeated_in(prompt.id for prompt in prompts):
        raise UserError(f"prompts.positive: the id {repeated[0]!r} occurs more than once; give each prompt its own id.")
    return tuple(prompts)


def _listed(positive: list[object]) -> Iterator[tuple[object, object]]:
    """Id and text of prompts in a list: the form for ids such as 007, which Hydra reads as numbers in a mapping."""
    for item in positive:
        if not isinstance(item, Mapping):
            raise UserError(
                f"prompts.positive: expected named prompts, got {positive!r}; give each an id and a prompt."
            )
        fields = check_names(item, ("id", "prompt"), "prompts.positive")
        yield fields["id"], fields["prompt"]


def _texts(value: object, where: str) -> tuple[str, ...]:
    texts = []
    for text in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(text, str) or not text.strip() or _UNWRITABLE.search(text):
            raise UserError(f"{where}: expected a text, got {text!r}; write one or remove it.")
        texts.append(text.strip())
    return tuple(texts)


def _read(path: object, negative: tuple[str, ...]) -> tuple[Prompt, ...]:
    suffix = Path(path).suffix.lower() if isinstance(path, str) else ""
    if not isinstance(path, str) or suffix not in READERS:
        raise UserError(
            f"prompts.path: expected a file that ends in {' or '.join(READERS)}, got {path!r}; choose another file."
        )
    rows = list(READERS[suffix](content_of(path), path))
    if not rows:
        raise UserError(f"{path}: expected at least one prompt, got none; write one.")
    empty = [line for line, row in rows if _is_empty(row.get("prompt"))]
    if empty:
        raise UserError(f"{place_in(path, empty)}: expected a prompt, got none; write one or remove the line.")
    prompts = tuple(_prompt(row, place_in(path, [line]), negative) for line, row in rows)
    _check_ids(prompts, [line for line, _ in rows], path)
    return prompts


def _is_empty(prompt: object) -> bool:
    return prompt is None or prompt == [] or (isinstance(prompt, str) and not prompt.strip())


def _prompt(row: Mapping[str, Any], where: str, shared: tuple[str, ...]) -> Prompt:
    """The prompt of a row; `shared` has the negative texts for a row without its own."""
    positive, negative, where_negative = _texts(row["prompt"], where), shared, _NEGATIVE
    if "negative" in row:
        where_negative = f"{where}, negative"
        negative = _texts(row["negative"], where_negative)
    prompt_id = short_name(row["id"], where) if "id" in row else prompt_id_of(positive, negative)
    return Prompt(prompt_id, positive, negative, _seed(row.get("seed"), where), where, where_negative)


def _seed(value: object, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:  # 42.0, as tables write whole numbers
        value = int(value)
    if not is_seed(value):
        raise UserError(f"{where}: expected a whole number from 0 to 2**63 - 1 as seed, got {value!r}; change it.")
    return value


def prompt_id_of(positive: tuple[str, ...], negative: tuple[str, ...]) -> str:
    """A readable short name for texts without one; it depends only on the texts, not on their file or line."""
    slug = "-".join(_WORD.findall(" ".join(positive).lower()))
    if not slug.islower():  # no letter at all
        slug = "prompt"
    if len(slug) > _SLUG_LENGTH:
        slug = slug[: _SLUG_LENGTH + 1].rpartition("-")[0] or slug[:_SLUG_LENGTH]
    texts = json.dumps([positive, negative])
    return f"{slug}-{hashlib.sha256(texts.encode()).hexdigest()[:_HASH_LENGTH]}"


def _check_ids(prompts: Sequence[Prompt], lines: Sequence[int], path: str) -> None:
    placed = list(zip(lines, prompts, strict=True))
    texts = {prompt.id: (prompt.positive, prompt.negative) for prompt in prompts}
    if ambiguous := {prompt.id for prompt in prompts if (prompt.positive, prompt.negative) != texts[prompt.id]}:
        places = place_in(path, [line for line, prompt in placed if prompt.id in ambiguous])
        raise UserError(f"{places}: different prompts have the same id; give each prompt its own id.")
    if repeated := repeated_in((prompt.id, prompt.seed) for prompt in prompts):
        several = set(repeated)  # a file may have thousands of lines
        places = place_in(path, [line for line, prompt in placed if (prompt.id, prompt.seed) in several])
        raise UserError(f"{places}: expected each prompt and seed once; remove the repeats or change their seeds.")
