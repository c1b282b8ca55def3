"""Lists the images of a store for the history, newest first."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from das_ag.demo.form import form_of
from das_ag.demo.unfinished import Unfinished, read_unfinished
from das_ag.errors import UserError
from das_ag.report.film import ascent_clip, encode, film_of
from das_ag.store.reading import DAMAGED, read_trace, reason
from das_ag.store.samples import IMAGE, SAMPLE, TRACE, Record, Sample, differing
from das_ag.store.store import Store


@dataclass(frozen=True)
class Entry:
    """An image in the store.

    Attributes:
        folder: relative to the store.
        made_at: seconds since the epoch.
        result: the guide's numbers.
        scores: score by title of its evaluator; empty for a stopped image.
        mark: label of an unfinished image; empty for a finished one.
        record: the record of a finished image.
    """

    sample: Sample
    folder: Path
    made_at: float
    result: Mapping[str, float]
    scores: Mapping[str, float]
    mark: str
    record: Record | None

    @property
    def id(self) -> str:
        """A unique name among all entries."""
        return self.folder.name

    def image(self, store: Store) -> bytes:
        """The PNG.

        Raises:
            UserError: the file does not exist.
        """
        return _read(store.root / self.folder / IMAGE)

    def film(self, store: Store) -> bytes | None:
        """The GIF of its ascent; None if there is none.

        Raises:
            UserError: the image or its small pictures are damaged.
        """
        frames = store.read_frames(self.record) if self.record else []
        if not frames or not self.record:
            return None
        return encode(film_of([ascent_clip(self.sample, frames, store.read_image(self.record.image))]), ".gif")

    def trace(self, store: Store) -> pd.DataFrame:
        """The trace: step, loss and each term.

        Raises:
            UserError: the trace is missing or damaged.
        """
        try:
            return read_trace(store.root / self.folder / TRACE)
        except DAMAGED as error:
            raise UserError(f"{self.folder}: cannot read the trace ({reason(error)}); make the image again.") from error

    def file_name(self, suffix: str) -> str:
        """A name for a download; only letters, digits and . _ -, as in prompt ids and methods."""
        unfinished = "" if self.record else "-unfinished"
        return f"{self.sample.prompt_id}-{self.sample.method}-seed{self.sample.seed}{unfinished}.{suffix}"


def entry_of(store: Store, found: Record | Unfinished) -> Entry:
    """The entry of a finished or stopped sample."""
    path = store.root / found.folder / SAMPLE
    made_at = path.stat().st_mtime if path.is_file() else 0.0
    if isinstance(found, Unfinished):
        return Entry(found.sample, found.folder, made_at, found.result, {}, found.mark, None)
    scores = {
        entry.get("title", name): float(entry["score"])
        for name, entry in found.scores.items()
        if entry["score"] is not None  # an evaluator that only recognises
    }
    return Entry(found.sample, found.folder, made_at, found.result, scores, "", found)


def entries(store: Store) -> tuple[list[Entry], list[str]]:
    """All entries, newest first, and a sentence for each damaged one."""
    (records, damaged), (stopped, torn) = store.records(), read_unfinished(store)
    found = [entry_of(store, record) for record in records] + [entry_of(store, one) for one in stopped]
    return sorted(found, key=lambda entry: (-entry.made_at, entry.id)), [*damaged, *torn]


def chosen(found: Sequence[Entry], methods: Sequence[str], words: str) -> list[Entry]:
    """The entries of these methods (all, if empty) whose prompt contains every word."""
    wanted = words.lower().split()
    return [
        entry
        for entry in found
        if (not methods or entry.sample.method in methods)
        and all(word in " ".join((*entry.sample.positive, *entry.sample.negative)).lower() for word in wanted)
    ]


def seconds_per_view(store: Store, preset: str) -> float | None:
    """Median time of a view in a step, of images that a preset's models made; None if there is none."""
    times = []
    for record in store.records()[0]:
        seconds, settings = record.provenance.get("duration_s"), record.sample.settings
        with contextlib.suppress(UserError):
            if seconds and form_of(record.sample).preset == preset:
                times.append(seconds / settings["ascent"]["steps"] / settings["views"]["count"])
    return statistics.median(times) if times else None


def remove(store: Store, entry: Entry) -> None:
    """Deletes an entry; its folder disappears in one step.

    Raises:
        StoreError: it cannot be deleted.
    """
    store.folder.remove(store.root / entry.folder)


def differences(first: Sample, second: Sample) -> pd.DataFrame:
    """The differences between two samples, a row for each setting: setting, A, B."""
    found = differing(first.identity(), second.identity())
    rows = [
        {"setting": name.removeprefix("settings."), "A": _text(a), "B": _text(b)}
        for name, (a, b) in found.items()
        if name != "prompt_id"
    ]
    return pd.DataFrame(rows, columns=["setting", "A", "B"])


def _text(value: Any) -> str:
    return " / ".join(map(str, value)) if isinstance(value, list | tuple) else "–" if value is None else str(value)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot read the file ({error.strerror}); it may have been deleted.") from error
