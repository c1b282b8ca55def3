"""Reads the rows of a file of prompts: CSV as spreadsheets write it, JSONL, or plain text."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from das_ag.errors import UserError, first_line

FIELDS = ("id", "prompt", "negative", "seed")
"""Fields of a prompt in a file; only `prompt` is required."""

_SEED = re.compile(r"([0-9]{1,19})([.,]00?)?")
"""A whole number; spreadsheets may write 42 as 42.0 or 42,0. More zeros could be thousands, as in 1,000."""
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t])"?[,;\t ]*', re.IGNORECASE)
"""A first line with which spreadsheets name the separator."""
_ENCODINGS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16-LE", codecs.BOM_UTF16_BE: "UTF-16-BE"}
"""Encodings by the bytes with which a file begins."""
_LINES_NAMED = 10

_Row = tuple[int, Mapping[str, Any]]
"""The line in which a row of a file begins, and its values by field."""


def content_of(path: str) -> str:
    """The text of a file; all line endings become line feeds.

    Raises:
        UserError: the file cannot be read, or has another encoding.
    """
    try:
        data = Path(path).expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:  # no such file; no home folder; not a path
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UserError(f"prompts.path: cannot read {path!r} ({reason}); correct the path.") from error
    mark = next((mark for mark in _ENCODINGS if data.startswith(mark)), b"")
    encoding, data = _ENCODINGS.get(mark, "UTF-8"), data.removeprefix(mark)
    try:
        return _with_line_feeds(data.decode(encoding))
    except UnicodeDecodeError as error:
        line = _with_line_feeds(data[: error.start].decode(encoding)).count("\n") + 1
        got = f"the byte 0x{data[error.start]:02x}"
        raise UserError(f"{place_in(path, [line])}: expected {encoding}, got {got}; save the file as UTF-8.") from error


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _csv_rows(text: str, path: str) -> Iterator[_Row]:
    rows = _without_empty_end(list(_cells(text, path)))
    line, columns = rows[0] if rows else (1, ["prompt"])  # an empty file lacks prompts, not columns
    columns = [column.lower() for column in _without_empty_cells(columns)]
    _check_columns(columns, place_in(path, [line]))
    for line, found in rows[1:]:
        cells = _without_empty_cells(found, keep=len(columns))
        if any(cells) and len(cells) != len(columns):
            raise UserError(
                f"{place_in(path, [line])}: expected {len(columns)} cells ({', '.join(columns)}), got {len(cells)}; "
                "put a text with commas in quotes, and write the comma of an empty cell."
            )
        row: dict[str, Any] = {column: cell for column, cell in zip(columns, cells, strict=False) if cell}
        if seed := _SEED.fullmatch(row.get("seed", "")):
            row["seed"] = int(seed[1])
        yield line, row


def _without_empty_end(rows: list[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """The rows without those at the end that consist of separators only; spreadsheets write such rows."""
    while rows and len(rows[-1][1]) > 1 and not any(rows[-1][1]):
        rows.pop()
    return rows


def _without_empty_cells(cells: list[str], keep: int = 1) -> list[str]:
    """The cells without empty ones at the end, but at least the first `keep`; spreadsheets write empty columns."""
    while len(cells) > keep and not cells[-1]:
        cells = cells[:-1]
    return cells


def _check_columns(columns: Sequence[str], where: str) -> None:
    if not {"prompt"} <= set(columns) <= set(FIELDS) or len(set(columns)) < len(columns):
        optional = [name for name in FIELDS if name != "prompt"]
        raise UserError(
            f"{where}: expected the column prompt, and optionally {', '.join(optional)}, each once, got "
            f"{', '.join(map(repr, columns)) or 'none'}; name the columns in the first line, separated by commas."
        )


def _separator(text: str) -> tuple[str, int]:
    """The separator of a CSV's cells, and the number of lines before its header.

    The header decides, since the names of the columns contain no separator.
    """
    first = text.partition("\n")[0]
    if named := _SEPARATOR_LINE.fullmatch(first):
        return named[1], 1
    found = re.search(r"[,;\t]", first)
    return (found[0] if found else ","), 0


def _cells(text: str, path: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row of a CSV, with the line in which the row begins; a cell may span several lines."""
    separator, skipped = _separator(text)
    lines = io.StringIO(text.partition("\n")[2] if skipped else text)
    # strict=True reports a quote that is never closed; otherwise the cell would contain the rest of the file.
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + skipped + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            got = f"“{first_line(error)}”"
            raise UserError(
                f"{place_in(path, [line])}: expected a CSV row, got {got}; close its quotes, and write each quote "
                "inside a text twice."
            ) from error
        yield line, [cell.strip() for cell in cells]


def _jsonl_rows(text: str, path: str) -> Iterator[_Row]:
    for line, row in _text_rows(text, path):
        yield line, _fields(row["prompt"], place_in(path, [line])) if row["prompt"].strip() else {}


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


READERS = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".txt": _text_rows}


def place_in(path: str, lines: Sequence[int]) -> str:
    """A place in a file, for messages."""
    named = ", ".join(map(str, lines[:_LINES_NAMED]))
    more = f" and {len(lines) - _LINES_NAMED} more" if len(lines) > _LINES_NAMED else ""
    return f"{path}, line{'s' if len(lines) > 1 else ''} {named}{more}"
