"""The content of the page, ready for JSON."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from das_ag.errors import UserError
from das_ag.methods import methods_of
from das_ag.report.gallery.layout import Layout
from das_ag.report.gallery.thumbnails import Picture, make_picture, remove_others
from das_ag.report.labels import name_of, prompt_names
from das_ag.report.statistics import SCALE, evaluators_of, is_guided_by
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

_CURVES = {"loss": ("loss", 1), "positive": ("similarity", 1), "aesthetic": ("guide’s score", 10)}
"""Columns of a trace to draw: name, and factor to the scale of the final numbers."""

_PLOTS = ("scores", "response", "fidelity", "guide", "trajectories", "pyramid")
"""Figures to show below the pictures, if plots/ has them; names of `das_ag.report.plots`."""


@dataclass(frozen=True)
class _Source:
    """A store whose images the page shows; `link` leads from the page to its folder."""

    store: Store
    records: Mapping[str, Record]
    link: str


def page_content(
    root: Path, stores: Mapping[str, Store], scores: pd.DataFrame, evaluator_title: str, table: str
) -> tuple[dict[str, Any], list[str]]:
    """Everything that the page embeds, which the same stores always give, and a sentence for each damaged file."""
    sources, damaged = _sources(root, stores)
    records = [record for source in sources.values() for record in source.records.values()]
    titles = evaluators_of(records)
    numbers = _number_columns(scores, titles)
    layout = Layout.of(scores)
    samples, settings, problems = _samples(root, sources, scores, layout, [name for name, _ in numbers])
    told = list(dict.fromkeys([*damaged, *problems]))
    content = {
        "title": name_of(Path(root.resolve().name)),
        "evaluator": evaluator_title,
        "scale": scores.attrs.get("scale", SCALE),
        "guided": any(is_guided_by(records, name) for name, title in titles.items() if title == evaluator_title),
        "methods": _methods(scores),
        "prompts": prompt_names(zip(scores["prompt_id"], scores["prompt"], strict=True)),
        "sections": layout.titles,
        "columns": layout.columns,
        "numbers": numbers,
        "results": _blocks(table),
        "plots": [name for name in _PLOTS if (root / "plots" / f"{name}.png").is_file()],
        # Private: people who receive the folder should not see the path of the store.
        "left_out": [_without_paths(text, stores.values()) for text in told],
        "settings": settings,
        "samples": samples,
    }
    return content, told


def _sources(root: Path, stores: Mapping[str, Store]) -> tuple[dict[str, _Source], list[str]]:
    """The stores by the name of their experiment, and a sentence for each damaged sample."""
    sources: dict[str, _Source] = {}
    told: list[str] = []
    for name, store in stores.items():
        records, damaged = store.records()
        told += damaged
        link = "" if store.root == root else Path(os.path.relpath(store.root, root)).as_posix() + "/"
        sources[name] = _Source(store, {record.sample.key: record for record in records}, link)
    return sources, told


def _without_paths(text: str, stores: Iterable[Store]) -> str:
    for store in stores:
        text = text.replace(f"{store.root}{os.sep}", "")
    return text


def _samples(
    root: Path, sources: Mapping[str, _Source], scores: pd.DataFrame, layout: Layout, numbers: Sequence[str]
) -> tuple[list[dict[str, Any]], list[Any], list[str]]:
    """The samples that can be shown, their settings, and a sentence for each problem."""
    told: list[str] = []
    samples: list[dict[str, Any]] = []
    places: dict[str, int] = {}  # most samples share their settings
    thumbnails = set()
    for row in scores.to_dict("records"):
        source = sources[row.get("experiment", "")]
        try:
            record = _record(source, row)
            picture = make_picture(root, source.store, record)
        except UserError as error:
            told.append(str(error))
            continue
        thumbnails.add(picture.thumbnail)
        settings = places.setdefault(json.dumps(record.sample.settings), len(places))
        entry = _entry(row, numbers, source, record, picture)
        samples.append(entry | layout.place(row) | {"settings": settings, "trace": _trace(source, record, told)})
    remove_others(root, thumbnails)
    return samples, [json.loads(text) for text in places], told


def _record(source: _Source, row: Mapping[Any, Any]) -> Record:
    if row["key"] not in source.records:
        raise UserError(f"{row['image']}: left out, because the store has no complete sample for it; run again.")
    return source.records[row["key"]]


def _entry(
    row: Mapping[Any, Any], numbers: Sequence[str], source: _Source, record: Record, picture: Picture
) -> dict[str, Any]:
    """A sample in the page's format, with these numbers; links are relative to the page."""
    sample = record.sample
    made = record.provenance
    image = quote(f"{source.link}{record.image.as_posix()}")
    return {
        "key": sample.key,
        "method": sample.method,
        "prompt_id": sample.prompt_id,
        "prompt": list(sample.positive),
        "negative": list(sample.negative),
        "seed": str(sample.seed),  # as text, since JavaScript's numbers are exact only up to 2**53
        "label": row.get("settings") or "",
        "numbers": {name: _number(row[name]) for name in numbers},
        "image": image,
        "thumbnail": quote(picture.thumbnail) or image,
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


def _trace(source: _Source, record: Record, told: list[str]) -> dict[str, list[float | None]]:
    """The curves of a sample; adds a sentence to `told` if they are missing."""
    try:
        table = source.store.read_trace(record)
    except UserError as error:
        told.append(str(error))
        return {}
    return {
        # With few digits, since three hundred traces make the page large.
        name: [_number(float(f"{value * factor:.5g}")) for value in table[column].tolist()]
        for column, (name, factor) in _CURVES.items()
        if column in table
    }


def _methods(scores: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {"id": method.name, "name": method.title, "colour": f"light-dark({method.light}, {method.dark})"}
        for method in methods_of(scores["method"])
    ]


def _number_columns(scores: pd.DataFrame, titles: Mapping[str, str]) -> list[list[str]]:
    """(column, title) of each number column to show."""
    numeric = scores.select_dtypes("number").dropna(axis="columns", how="all")
    present = [str(name) for name in numeric if name != "seed"]
    if "clip_negative" in present and not numeric["clip_negative"].any():
        present.remove("clip_negative")  # no negative prompts
    names = _NUMBERS | {f"score_{name}": f"score by {title}" for name, title in titles.items()}
    known = [name for name in names if name in present]
    return [[n, names.get(n, n.replace("_", " "))] for n in [*known, *(n for n in present if n not in known)]]


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
