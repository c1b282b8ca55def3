"""Finished samples on disk.

    samples/<method>/<prompt>-seed<seed>-<key>/
        {image.png, sample.json, trace.csv, levels.npz, frames.webp, scores.json}
    failures/<key>.json
    .unfinished/<host>-<process>-…

A sample appears whole or not at all: the store writes it under .unfinished/, syncs it, then renames it.
The key is a hash of everything that determines the image, so a finished sample is never made again or overwritten.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from das_ag.errors import UserError
from das_ag.store.atomic import AtomicFolder, StoreError, check_inside
from das_ag.store.failures import FAILURES, Failures
from das_ag.store.files import encode_csv, encode_frames, encode_levels, encode_png, pretty, read_json
from das_ag.store.reading import (
    DAMAGED,
    damage_of,
    read_checked,
    read_frames,
    read_image,
    read_levels,
    read_record,
    read_scores,
    read_trace,
    reason,
    telling,
)
from das_ag.store.samples import FRAMES, IMAGE, KEY_LENGTH, LEVELS, SAMPLE, SAMPLES, SCORES, TRACE, Record, Sample
from das_ag.store.schema import NAME, is_number

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FORMAT, FORMAT_FILE = 1, "store.json"

_KEY = f"[0-9a-f]{{{KEY_LENGTH}}}"
_FILES = "|".join(map(re.escape, (IMAGE, SAMPLE, TRACE, LEVELS, FRAMES, SCORES)))
_PACKED = re.compile(
    rf"{SAMPLES}/{NAME.pattern}/{NAME.pattern}-seed[0-9]+-{_KEY}/(?:{_FILES})|{FAILURES}/{_KEY}\.json", re.ASCII
)
"""Paths of the files that a store packs."""


class Store:
    """The samples of one experiment.

    Args:
        root: the store's folder, for instance outputs/paper; the first write creates it.
        elsewhere: keys, cut to `KEY_LENGTH`, of samples that are finished in another store, which will receive the
            samples of this one.

    Attributes:
        folder: for atomic writes of other files below the root.
    """

    def __init__(self, root: Path | str, *, elsewhere: frozenset[str] = frozenset()) -> None:
        self.root, self._elsewhere = Path(root), elsewhere
        self.folder = AtomicFolder(self.root)
        self.failures = Failures(self.folder)

    @staticmethod
    def is_store(folder: Path | str) -> bool:
        """Whether a `Store` made this folder."""
        return Path(folder, FORMAT_FILE).is_file()

    def check_exists(self) -> None:
        """Checks that the folder is that of an experiment.

        Raises:
            UserError: it is not; the message names experiments near it.
        """
        root = self.root
        if self.is_store(root) or (root / SAMPLES).is_dir():
            return
        near = [Path("outputs") / root.name, *root.parents, *sorted(root.glob("*")), *sorted(root.glob("outputs/*"))]
        found = [str(path) for path in near if self.is_store(path)][:5]
        what = "experiment in this" if root.is_dir() else "such"
        raise UserError(
            f"{root.resolve()}: found no {what} folder, expected the folder of "
            "an experiment. das-ag run writes its results to outputs/NAME, in the folder where it starts. "
            + (f"Try {', '.join(found)}." if found else "Give that folder.")
        )

    def prepare(self) -> None:
        """Creates the folder, tests a write, and removes unfinished files of dead processes.

        Raises:
            StoreError: the folder cannot be written to, or a newer version of this program wrote it.
        """
        format_path = self.root / FORMAT_FILE
        if format_path.exists():
            self._check_format(format_path)
        self.folder.prepare(SAMPLES)
        if not format_path.exists():
            self.folder.write(format_path, pretty({"format": FORMAT}).encode())

    def _check_format(self, path: Path) -> None:
        try:
            got = read_json(path).get("format")
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot read the format of the store ({error}); delete this file.") from error
        if got != FORMAT:
            raise StoreError(
                f"{self.root}: expected a store of format {FORMAT}, got {got}; use the version of das-ag that made it, "
                "or choose another name=."
            )

    def is_finished(self, sample: Sample) -> bool:
        """Whether the sample is in the store; its folder has its key in the name, and appears only when complete."""
        return sample.key[:KEY_LENGTH] in self._elsewhere or (self.root / sample.folder / SAMPLE).is_file()

    def duration_s(self, sample: Sample) -> float | None:
        """Seconds that a finished sample took; None if they were not recorded."""
        try:
            seconds = read_json(self.root / sample.folder / SAMPLE)["provenance"]["duration_s"]
        except (OSError, KeyError, TypeError, ValueError):
            return None
        return float(seconds) if is_number(seconds) and seconds >= 0 else None

    def write(
        self,
        sample: Sample,
        image: UInt8[np.ndarray, "_ _ 3"],
        trace: Sequence[Mapping[str, float]],
        result: Mapping[str, float],
        provenance: Mapping[str, Any],
        *,
        levels: Sequence[Float[np.ndarray, "3 _ _"]] = (),
        frames: Sequence[UInt8[np.ndarray, "side side 3"]] = (),
        text: Mapping[str, str] | None = None,
    ) -> None:
        """Adds a finished sample.

        Args:
            levels: levels of the pyramid, coarse to fine; stored as float16, for viewing only.
            frames: small pictures of the ascent, in order.
            text: texts for the PNG, by keyword.

        Raises:
            StoreError: the disk is full or cannot be written to; the store stays unchanged.
        """
        png, table = encode_png(image, text or {}), encode_csv(trace)
        record = {
            "format": FORMAT,
            "key": sample.key,
            **sample.identity(),
            "result": dict(result),
            "image_sha256": hashlib.sha256(png).hexdigest(),
            "trace_sha256": hashlib.sha256(table).hexdigest(),
            "provenance": dict(provenance),
        }
        files = {IMAGE: png, TRACE: table, SAMPLE: pretty(record).encode()}
        if levels:
            files[LEVELS] = encode_levels(levels)
        if frames:
            files[FRAMES] = encode_frames(frames)
        self._add(files, self.root / sample.folder)

    def _add(self, files: Mapping[str, bytes], folder: Path) -> None:
        """Adds a sample's files; an existing sample stays unchanged, since an equal key means an equal sample."""
        self.folder.write_folder(folder, files, last=SAMPLE)
        self.failures.forget(_key_of(folder))

    def finished_keys(self) -> frozenset[str]:
        """The keys of all finished samples, cut to `KEY_LENGTH`."""
        return frozenset(_key_of(path.parent) for path in (self.root / SAMPLES).glob(f"*/[!.]*/{SAMPLE}"))

    def pack(self) -> dict[str, bytes]:
        """Files of all samples and failures, by path relative to the store, to send to another store."""
        paths = [path for part in (SAMPLES, FAILURES) for path in (self.root / part).rglob("*")]
        paths = [path for path in paths if path.is_file() and not path.is_symlink()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}

    def receive(self, files: Mapping[str, bytes]) -> None:
        """Adds the files that another store has packed; samples that are already here stay unchanged.

        Raises:
            StoreError: a name is not one that `pack` gives, so nothing is added; or the disk is full or cannot be
                written to.
        """
        if strange := [name for name in files if not _PACKED.fullmatch(name)]:
            raise self._refusal(strange[0])
        folders: dict[Path, dict[str, bytes]] = {}
        for name, data in files.items():
            check_inside(self.root, self.root / name)
            folders.setdefault(self.root / Path(name).parent, {})[Path(name).name] = data
        for folder, content in folders.items():
            if folder.name != FAILURES and not {IMAGE, TRACE, SAMPLE} <= {*content}:
                raise self._refusal(f"a part of {folder.name}")
        for folder, content in folders.items():
            if folder.name != FAILURES:
                self._add(content, folder)
        finished = self.finished_keys()
        for name, data in folders.get(self.root / FAILURES, {}).items():
            if Path(name).stem not in finished:  # skip a failure if this store has the sample by now
                self.folder.write(self.root / FAILURES / name, data)

    def _refusal(self, got: str) -> StoreError:
        return StoreError(
            f"{self.root}: expected whole samples and failures from another machine, got {got!r}; nothing "
            "of this delivery is taken. Use the same version of das-ag on all machines."
        )

    def records(self) -> tuple[list[Record], list[str]]:
        """The finished samples, sorted by folder name, and a message for each damaged sample."""
        records, damaged = [], []
        for path in sorted((self.root / SAMPLES).glob("*/*/")):
            if path.name.startswith("."):
                continue
            try:
                records.append(read_record(self.root, path))
            except DAMAGED as error:
                damaged.append(
                    f"{path.relative_to(self.root)}: left out, since the sample is damaged ({reason(error)}); delete "
                    "the folder and run again."
                )
        return records, damaged

    def record_of(self, sample: Sample) -> Record:
        """The record of a finished sample.

        Raises:
            UserError: the sample is missing or damaged.
        """
        try:
            return read_record(self.root, self.root / sample.folder)
        except DAMAGED as error:
            raise UserError(
                f"{self.root / sample.folder}: the sample is missing or damaged ({reason(error)}); delete the folder "
                "and run again."
            ) from error

    def damage(self, records: Iterable[Record]) -> list[str]:
        """A sentence for each damaged file of these samples; what is whole can be used all the same.

        It reads all files: 1 ms for a sample with an image of 224 px.
        """
        return [sentence for record in records for sentence in damage_of(self.root, record)]

    def read_image(self, image: Path | str) -> UInt8[np.ndarray, "_ _ 3"]:
        """The pixels of the image at a path relative to the store.

        Raises:
            UserError: the file is missing or damaged.
        """
        with telling(path := self.root / image):
            return read_image(path)

    def read_levels(self, record: Record) -> list[Float[np.ndarray, "3 _ _"]]:
        """The levels of a sample's pyramid, coarse to fine, float32; empty if they were not stored.

        Raises:
            UserError: the file is damaged.
        """
        with telling(path := self.root / record.folder / LEVELS):
            return read_levels(path)

    def read_frames(self, record: Record) -> list[UInt8[np.ndarray, "side side 3"]]:
        """The small pictures of a sample's ascent, in order; empty if they were not stored.

        Raises:
            UserError: the file is damaged.
        """
        with telling(path := self.root / record.folder / FRAMES):
            return read_frames(path)

    def write_frames(self, record: Record, frames: Sequence[UInt8[np.ndarray, "side side 3"]]) -> None:
        """Adds the pictures of its ascent to a finished sample."""
        self.folder.write(self.root / record.folder / FRAMES, encode_frames(frames))

    def read_trace(self, record: Record) -> pd.DataFrame:
        """The trace of a sample: step, loss and each term, as numbers; a value that was not recorded is NaN.

        Raises:
            UserError: the file is missing or damaged.
        """
        with telling(path := self.root / record.folder / TRACE):
            return read_trace(io.BytesIO(read_checked(path, record.trace_sha256)))

    def write_score(self, record: Record, evaluator: str, score: float | None, digest: str, **details: Any) -> None:
        """Writes an evaluator's score to the sample's folder; a damaged file of scores is replaced.

        Args:
            digest: hash of everything that determines the score, except the image.
            details: further values to store, ready for JSON: title, version, weights.
        """
        path = self.root / record.folder / SCORES
        try:
            scores = read_scores(path)
        except DAMAGED as error:
            log.warning("%s: damaged (%s); the image is scored again", path, reason(error))
            scores = {}
        scores[evaluator] = {"score": score, "digest": digest, "image_sha256": record.image_sha256, **details}
        self.folder.write(path, pretty(scores).encode())


def _key_of(folder: Path) -> str:
    """The key of the sample in a folder, cut to `KEY_LENGTH`."""
    return folder.name.rpartition("-")[2]
