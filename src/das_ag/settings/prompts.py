"""Reads prompts from the configuration or from a file of any length."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from das_ag.errors import UserError, first_line
from das_ag.settings.typed import check_names
from das_ag.store.schema import NAME, is_seed

FIELDS = ("id", "prompt", "negative", "seed")
"""Fields of a prompt in a file; only `prompt` is required."""

_NEGATIVE = "prompts.negative"
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that UTF-8 or image metadata cannot store; JSON can contain them as escapes."""
_WORD = re.compile("[a-z0-9]+")
_DIGITS_OF_SEED = re.compile("[0-9]{1,19}")
_SLUG_LENGTH, _HASH_LENGTH = 40, 12
"""Largest length of the readable part, and length of the hash, in a name that is made from texts."""
_LINES_NAMED = 10

_Row = tuple[int, Mapping[str, Any]]
"""The line in which a row of a file begins, and its values by field."""


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


def prompts_of(values: object) -> tuple[Prompt, ...]:
    """The prompts of the group `prompts`.

    Args:
        values: plain, resolved values: `negative`, the default negative texts, and either `positive`, texts by short
            name, or `path`, a file.

    Raises:
        UserError: an option is missing, unknown or wrong, or the file cannot be read or understood.
    """
    from_file = isinstance(values, Mapping) and "path" in values
    group = check_names(values, ("path" if from_file else "positive", "negative"), "prompts")
    negative = _texts(group["negative"], _NEGATIVE)
    return _read(group["path"], negative) if from_file else _named(group["positive"], negative)


def _named(positive: object, negative: tuple[str, ...]) -> tuple[Prompt, ...]:
    if not isinstance(positive, Mapping | list) or not positive:
        example = "'prompts.positive={mine: \"a red circle\"}'"
        raise UserError(f"prompts.positive: expected named prompts, got {positive!r}; give for instance {example}.")
    prompts = []
    for prompt_id, value in positive.items() if isinstance(positive, Mapping) else _listed(positive):
        name, where = _short_name(prompt_id, "prompts.positive"), f"prompts.positive.{prompt_id}"
        texts = _texts(value, where)
        if not texts:
            raise UserError(f"{where}: expected a text, got {value!r}; write one or remove it.")
        prompts.append(Prompt(name, texts, negative, None, where))
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


def _short_name(name: object, where: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(f"{where}: expected a short name of letters, digits and . _ -, got {name!r}; rename it.")
    return name


def _texts(value: object, where: str) -> tuple[str, ...]:
    texts = []
    for text in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(text, str) or not text.strip() or _UNWRITABLE.search(text):
            raise UserError(f"{where}: expected a text, got {text!r}; write one or remove it.")
        texts.append(text.strip())
    return tuple(texts)


def _read(path: object, negative: tuple[str, ...]) -> tuple[Prompt, ...]:
    suffix = Path(path).suffix.lower() if isinstance(path, str) else ""
    if not isinstance(path, str) or suffix not in _READERS:
        raise UserError(
            f"prompts.path: expected a file that ends in {' or '.join(_READERS)}, got {path!r}; choose another file."
        )
    rows = list(_READERS[suffix](_content(path), path))
    if not rows:
        raise UserError(f"{path}: expected at least one prompt, got none; write one.")
    empty = [line for line, row in rows if _is_empty(row.get("prompt"))]
    if empty:
        raise UserError(f"{_at(path, empty)}: expected a prompt, got none; write one or remove the line.")
    prompts = tuple(_prompt(row, _at(path, [line]), negative) for line, row in rows)
    _check_ids(prompts, [line for line, _ in rows], path)
    return prompts


def _content(path: str) -> str:
    """The text of a file; all line endings become line feeds."""
    try:
        data = Path(path).expanduser().read_bytes().removeprefix(b"\xef\xbb\xbf")
    except (OSError, RuntimeError, ValueError) as error:  # no such file; no home folder; not a path
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"prompts.path: cannot read {path!r} ({reason}); correct the path.") from error
    try:
        return _with_line_feeds(data.decode())
    except UnicodeDecodeError as error:
        line = _with_line_feeds(data[: error.start].decode()).count("\n") + 1
        got = f"the byte 0x{data[error.start]:02x}"
        raise UserError(f"{_at(path, [line])}: expected UTF-8, got {got}; save the file as UTF-8.") from error


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _csv_rows(text: str, path: str) -> Iterator[_Row]:
    rows = _cells(text, path)
    _, columns = next(rows, (1, ["prompt"]))  # an empty file lacks prompts, not columns
    _check_columns(columns, _at(path, [1]))
    for line, cells in rows:
        if any(cells) and len(cells) != len(columns):
            raise UserError(
                f"{_at(path, [line])}: expected {len(columns)} cells ({', '.join(columns)}), got {len(cells)}; put a "
                "text with commas in quotes, and write the comma of an empty cell."
            )
        row: dict[str, Any] = {column: cell for column, cell in zip(columns, cells, strict=False) if cell}
        if _DIGITS_OF_SEED.fullmatch(row.get("seed", "")):
            row["seed"] = int(row["seed"])
        yield line, row


def _check_columns(columns: Sequence[str], where: str) -> None:
    if not {"prompt"} <= set(columns) <= set(FIELDS) or len(set(columns)) < len(columns):
        optional = [name for name in FIELDS if name != "prompt"]
        raise UserError(
            f"{where}: expected the column prompt, and optionally {', '.join(optional)}, each once, got "
            f"{', '.join(map(repr, columns)) or 'none'}; name the columns in the first line, separated by commas."
        )


def _cells(text: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row of a CSV, with the line in which the row begins; a cell may span several lines."""
    # strict=True reports a quote that is never closed; otherwise the cell would contain the rest of the file.
    reader = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            got = f"“{first_line(error)}”"
            raise UserError(
                f"{_at(path, [line])}: expected a CSV row, got {got}; close its quotes, and write each quote inside a "
                "text twice."
            ) from error
        yield line, [cell.strip() for cell in cells]


def _jsonl_rows(text: str, path: str) -> Iterator[_Row]:
    for line, row in _text_rows(text, path):
        yield line, _fields(row["prompt"], _at(path, [line])) if row["prompt"].strip() else {}


def _fields(text: str, where: str) -> dict[str, Any]:
    """The fields in a line of JSON, without those that are null."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f"“{getattr(error, 'msg', first_line(error))}”"
        raise UserError(f"{where}: expected a JSON object, got {reason}; correct the line.") from error
    if not isinstance(value, dict):
        raise UserError(f'{where}: expected a JSON object, got {value!r}; write {{"prompt": "a red circle"}}.')
    unknown = [name for name in value if name not in FIELDS]
    if unknown:
        got = ", ".join(map(repr, unknown))
        raise UserError(f"{where}: unknown field {got}; use only {', '.join(FIELDS)}.")
    return {name: item for name, item in value.items() if item is not None}


def _text_rows(text: str, _path: str) -> Iterator[_Row]:
    for line, prompt in enumerate(io.StringIO(text), start=1):
        yield line, {"prompt": prompt}


_READERS = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".txt": _text_rows}


def _is_empty(prompt: object) -> bool:
    return prompt is None or prompt == [] or (isinstance(prompt, str) and not prompt.strip())


def _prompt(row: Mapping[str, Any], where: str, shared: tuple[str, ...]) -> Prompt:
    """The prompt of a row; `shared` has the negative texts for a row without its own."""
    positive, negative, where_negative = _texts(row["prompt"], where), shared, _NEGATIVE
    if "negative" in row:
        where_negative = f"{where}, negative"
        negative = _texts(row["negative"], where_negative)
    prompt_id = _short_name(row["id"], where) if "id" in row else prompt_id_of(positive, negative)
    return Prompt(prompt_id, positive, negative, _seed(row.get("seed"), where), where, where_negative)


def _seed(value: object, where: str) -> int | None:
    if value is None:
        return None
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
    named = {prompt.id: prompt for prompt in prompts}
    ambiguous = {prompt.id for prompt in prompts if not _says_the_same(prompt, named[prompt.id])}
    if ambiguous:
        places = _at(path, [line for line, prompt in zip(lines, prompts, strict=True) if prompt.id in ambiguous])
        raise UserError(f"{places}: different prompts have the same id; give each prompt its own id.")
    times = Counter((prompt.id, prompt.seed) for prompt in prompts)
    repeated = [line for line, prompt in zip(lines, prompts, strict=True) if times[prompt.id, prompt.seed] > 1]
    if repeated:
        raise UserError(
            f"{_at(path, repeated)}: expected each prompt and seed once; remove the repeats or change their seeds."
        )


def _says_the_same(prompt: Prompt, other: Prompt) -> bool:
    return prompt.positive == other.positive and prompt.negative == other.negative


def _at(path: str, lines: Sequence[int]) -> str:
    """A place in a file, for messages."""
    named = ", ".join(map(str, lines[:_LINES_NAMED]))
    more = f" and {len(lines) - _LINES_NAMED} more" if len(lines) > _LINES_NAMED else ""
    return f"{path}, line{'s' if len(lines) > 1 else ''} {named}{more}"
