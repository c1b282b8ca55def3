"""The content of the page, ready for JSON."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from das_ag.errors import UserError
from das_ag.methods import method_of, methods_of
from das_ag.report.gallery.thumbnails import Picture, make_picture, remove_others
from das_ag.report.labels import divide_reward, name_of
from das_ag.report.statistics import evaluators_of, is_guided_by, method_summary
from das_ag.store.command import command_of
from das_ag.store.samples import Record, Sample
from das_ag.store.store import Store

_NUMBERS = {
    "aesthetic_score": "score",
    "guide_aesthetic_score": "guide’s score",
    "clip_positive": "similarity to the prompt",
    "clip_negative": "similarity to the negative prompt",
}
"""Number columns in their order, and their names on the page; other columns keep their own names."""

_NO_NUMBERS = ("seed",)

_CURVES = {"loss": ("loss", 1), "positive": ("similarity", 1), "aesthetic": ("guide’s score", 10)}
"""Columns of a trace to draw: name, and factor to the scale of the final numbers."""

_DIGITS = 5


def page_content(store: Store, scores: pd.DataFrame, evaluator_title: str, table: str) -> dict[str, Any]:
    """Everything that the page embeds; the same for the same store."""
    records, left_out = store.records()
    titles = evaluators_of(records)
    columns = _number_columns(scores, titles)
    settings: list[dict[str, Any]] = []
    samples, complaints = _samples(store, records, scores, [name for name, _ in columns], settings)
    return {
        "title": name_of(Path(store.root.resolve().name)),
        "evaluator": evaluator_title,
        "guided": any(is_guided_by(records, name) for name, title in titles.items() if title == evaluator_title),
        "methods": _methods(scores),
        "numbers": columns,
        "results": _blocks(table or _own_table(scores)),
        # Private: people who receive the folder should not see the path of the store.
        "left_out": [text.replace(f"{store.root}{os.sep}", "") for text in dict.fromkeys([*left_out, *complaints])],
        "settings": settings,
        "samples": samples,
    }


def _samples(
    store: Store,
    records: Sequence[Record],
    scores: pd.DataFrame,
    columns: Sequence[str],
    settings: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[str]]:
    """The samples that can be shown, and a sentence for each problem; extends `settings`."""
    by_key = {record.sample.key: record for record in records}
    samples: list[dict[str, Any]] = []
    left_out: list[str] = []
    thumbnails = set()
    for row in scores.to_dict("records"):
        try:
            record = _record(by_key, row)
            picture = make_picture(store, record)
        except UserError as error:
            left_out.append(str(error))
            continue
        trace, complaints = _trace(store, record)
        left_out += complaints
        thumbnails.add(picture.thumbnail)
        entry = _entry(row, columns, record, picture)
        samples.append(entry | {"settings": _place(settings, record), "trace": trace})
    remove_others(store, thumbnails)
    return samples, left_out


def _record(by_key: Mapping[str, Record], row: Mapping[Any, Any]) -> Record:
    if row["key"] not in by_key:
        raise UserError(f"{row['image']}: left out, because the store has no complete sample for it; run again.")
    return by_key[row["key"]]


def _entry(row: Mapping[Any, Any], columns: Sequence[str], record: Record, picture: Picture) -> dict[str, Any]:
    """A sample in the page's format, with the numbers of those columns; links are relative to the page."""
    sample = record.sample
    made = record.provenance
    label = row.get("settings") or ""
    shared, reward = divide_reward(label)
    return {
        "key": sample.key,
        "method": sample.method,
        "prompt_id": sample.prompt_id,
        "prompt": list(sample.positive),
        "negative": list(sample.negative),
        "seed": str(sample.seed),  # as text, since JavaScript's numbers are exact only up to 2**53
        "label": label,
        "shared": shared,
        "reward": reward,
        "numbers": {name: _number(row[name]) for name in columns},
        "image": quote(record.image.as_posix()),
        "thumbnail": quote(picture.thumbnail),
        "size": [picture.width, picture.height],
        "command": _command(sample),
        "made": {name: made[name] for name in ("device", "duration_s", "git_commit") if made.get(name) is not None},
    }


def _command(sample: Sample) -> str:
    """The command that makes the sample again; empty if this version cannot read its settings."""
    try:
        return command_of(sample)
    except UserError:
        return ""


def _number(value: float | int) -> float | None:
    return float(value) if math.isfinite(value) else None


def _place(settings: list[dict[str, Any]], record: Record) -> int:
    """Index of the record's settings in the list, since most samples share them; adds new settings."""
    values = json.loads(json.dumps(record.sample.settings))
    if values not in settings:
        settings.append(values)
    return settings.index(values)


def _trace(store: Store, record: Record) -> tuple[dict[str, list[float | None]], list[str]]:
    """The curves of a sample, and a sentence if they are missing."""
    try:
        table = store.read_trace(record)
    except UserError as error:
        return {}, [str(error)]
    curves = {
        name: [_rounded(value * factor) for value in table[column].tolist()]
        for column, (name, factor) in _CURVES.items()
        if column in table
    }
    return curves, []


def _rounded(value: float) -> float | None:
    """Rounds to few digits, since three hundred traces make the page large."""
    return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None


def _methods(scores: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {"id": method.name, "name": method.title, "colour": f"light-dark({method.light}, {method.dark})"}
        for method in methods_of(scores["method"])
    ]


def _number_columns(scores: pd.DataFrame, titles: Mapping[str, str]) -> list[list[str]]:
    """(column, title) of each number column to show."""
    numeric = scores.select_dtypes("number").dropna(axis="columns", how="all")
    present = [str(name) for name in numeric if name not in _NO_NUMBERS]
    if "clip_negative" in present and not numeric["clip_negative"].any():
        present.remove("clip_negative")  # no negative prompts
    names = _NUMBERS | {f"score_{name}": f"score by {title}" for name, title in titles.items()}
    known = [name for name in names if name in present]
    return [[n, names.get(n, n.replace("_", " "))] for n in [*known, *(n for n in present if n not in known)]]


def _own_table(scores: pd.DataFrame) -> str:
    rows = [
        f"| {method_of(row.method).title} {row.settings} | {row.n} | {row.mean:.3f} | "
        f"{f'{row.std:.3f}' if row.n > 1 else '–'} |"
        for row in method_summary(scores).itertuples(index=False)
    ]
    return "\n".join(["| method | n | mean ↑ | std |", "| --- | --: | --: | --: |", *rows]) if rows else ""


def _blocks(markdown: str) -> list[dict[str, Any]]:
    """Headings, paragraphs and tables of a Markdown text that holds nothing else."""
    blocks: list[dict[str, Any]] = []
    for line in (line.strip() for line in markdown.splitlines()):
        if line.startswith("|"):
            inner = line.removeprefix("|").removesuffix("|")
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]
            if not blocks or blocks[-1]["kind"] != "table":
                blocks.append({"kind": "table", "heads": cells, "numbers": [], "rows": []})
            elif not set("".join(cells)) - set("-:"):
                blocks[-1]["numbers"] = [cell.endswith(":") for cell in cells]
            else:
                blocks[-1]["rows"].append(cells)
        elif line:
            kind = "heading" if line.startswith("#") else "text"
            blocks.append({"kind": kind, "text": line.lstrip("# ")})
    return blocks
