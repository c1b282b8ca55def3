"""Finished samples on disk.

    samples/<method>/<prompt>-seed<seed>-<key>/ {image.png, sample.json, trace.csv, levels.npz, scores.json}
    failures/<key>.json
    .unfinished/<host>-<process>-…

A sample appears whole or not at all: the store writes it under .unfinished/, syncs it, then renames it.
The key is a hash of everything that determines the image, so a finished sample is never made again or overwritten.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from das_ag.errors import UserError
from das_ag.store.atomic import AtomicFolder, StoreError
from das_ag.store.failures import FAILURES, Failures
from das_ag.store.files import encode_csv, encode_levels, encode_png, pretty, read_json
from das_ag.store.samples import IMAGE, KEY_LENGTH, LEVELS, SAMPLE, SAMPLES, SCORES, TRACE, Record, Sample

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FORMAT, FORMAT_FILE = 1, "store.json"


class Store:
    """The samples of one experiment.

    Args:
        root: the store's folder, for instance outputs/paper; the first write creates it.
        elsewhere: keys, cut to `KEY_LENGTH`, of samples that are finished in another store, which will receive the
            samples of this one.

    Attributes:
        folder: for atomic writes of other files below the root.
    """

    def __init__(self, root: Path, *, elsewhere: frozenset[str] = frozenset()) -> None:
        self.root, self._elsewhere = root, elsewhere
        self.folder = AtomicFolder(root)
        self.failures = Failures(self.folder)

    @staticmethod
    def is_store(folder: Path) -> bool:
        """Whether a `Store` made this folder."""
        return (folder / FORMAT_FILE).is_file()

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
            return float(read_json(self.root / sample.folder / SAMPLE)["provenance"]["duration_s"])
        except (OSError, KeyError, TypeError, ValueError):
            return None

    def write(
        self,
        sample: Sample,
        image: UInt8[np.ndarray, "_ _ 3"],
        trace: Sequence[Mapping[str, float]],
        result: Mapping[str, float],
        provenance: Mapping[str, Any],
        *,
        levels: Sequence[Float[np.ndarray, "3 _ _"]] = (),
        text: Mapping[str, str] | None = None,
    ) -> None:
        """Adds a finished sample.

        Args:
            levels: levels of the pyramid, coarse to fine; stored as float16, for viewing only.
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
        paths = [path for part in (SAMPLES, FAILURES) for path in (self.root / part).rglob("*") if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}

    def receive(self, files: Mapping[str, bytes]) -> None:
        """Adds the files that another store has packed; samples that are already here stay unchanged.

        Raises:
            StoreError: the disk is full or cannot be written to.
        """
        folders: dict[Path, dict[str, bytes]] = {}
        for name, data in files.items():
            folders.setdefault(self.root / Path(name).parent, {})[Path(name).name] = data
        for folder, content in folders.items():
            if SAMPLE in content:
                self._add(content, folder)
                continue
            finished = self.finished_keys()
            for name, data in content.items():
                if Path(name).stem not in finished:  # skip a failure if this store has the sample by now
                    self.folder.write(folder / name, data)

    def records(self) -> tuple[list[Record], list[str]]:
        """The finished samples, sorted by folder name, and a message for each damaged sample."""
        records, damaged = [], []
        for path in sorted((self.root / SAMPLES).glob("*/*/")):
            if path.name.startswith("."):
                continue
            try:
                records.append(self._read(path))
            except (OSError, ValueError, KeyError, TypeError) as error:
                damaged.append(
                    f"{path.relative_to(self.root)}: left out, since the sample is damaged ({type(error).__name__}: "
                    f"{error}); delete the folder and run again."
                )
        return records, damaged

    def record_of(self, sample: Sample) -> Record:
        """The record of a finished sample.

        Raises:
            UserError: the sample is missing or damaged.
        """
        try:
            return self._read(self.root / sample.folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.root / sample.folder}: the sample is missing or damaged ({type(error).__name__}: {error}); "
                "delete the folder and run again."
            ) from error

    def read_image(self, image: Path | str) -> UInt8[np.ndarray, "_ _ 3"]:
        """The pixels of the image at a path relative to the store.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self.root / image
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != read_json(path.parent / SAMPLE)["image_sha256"]:
                raise ValueError(f"its checksum differs from the one in {SAMPLE}")
            with Image.open(io.BytesIO(data)) as opened:
                return np.array(opened.convert("RGB"))
        except (OSError, KeyError, SyntaxError, ValueError) as error:  # Pillow's errors for damaged files vary
            raise UserError(
                f"{path}: the image is missing or damaged ({error}); delete its folder and run again."
            ) from error

    def read_levels(self, record: Record) -> list[Float[np.ndarray, "3 _ _"]]:
        """The levels of a sample's pyramid, coarse to fine, float32; empty if they were not stored.

        Raises:
            UserError: the file is damaged.
        """
        path = self.root / record.folder / LEVELS
        if not path.is_file():
            return []
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:  # np.load(path) leaves a damaged file open
                return [arrays[name].astype(np.float32) for name in sorted(arrays.files, key=int)]
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot read the levels of the pyramid ({error}); delete the file.") from error

    def read_trace(self, record: Record) -> pd.DataFrame:
        """The trace of a sample: step, loss and each term.

        Raises:
            UserError: the file is missing or damaged.
        """
        import pandas as pd

        path = self.root / record.folder / TRACE
        try:
            return pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot read the trace ({error}); delete its folder and run again.") from error

    def write_score(self, record: Record, evaluator: str, score: float | None, digest: str, **details: Any) -> None:
        """Writes an evaluator's score to the sample's folder.

        Args:
            digest: hash of everything that determines the score, except the image.
            details: further values to store, ready for JSON: title, version, weights.
        """
        path = self.root / record.folder / SCORES
        scores = _read_scores(path)
        scores[evaluator] = {"score": score, "digest": digest, "image_sha256": record.image_sha256, **details}
        self.folder.write(path, pretty(scores).encode())

    def _read(self, path: Path) -> Record:
        entry = read_json(path / SAMPLE)
        if not (path / IMAGE).is_file() or not (path / TRACE).is_file():
            raise FileNotFoundError(f"{IMAGE} or {TRACE} is missing")
        sample = Sample.from_identity(entry)
        if entry["key"] != sample.key:
            raise ValueError("the key does not match the settings")
        return Record(
            folder=path.relative_to(self.root),
            sample=sample,
            result=entry["result"],
            image_sha256=entry["image_sha256"],
            trace_sha256=entry["trace_sha256"],
            scores={
                name: score
                for name, score in _read_scores(path / SCORES).items()
                if score["image_sha256"] == entry["image_sha256"]
            },
            provenance=entry["provenance"],
        )


def _read_scores(path: Path) -> dict[str, Any]:
    """Each evaluator's score; empty if the file is damaged, since scoring again is cheap."""
    if not path.is_file():
        return {}
    try:
        scores = read_json(path)
        if not all({"score", "digest", "image_sha256"} <= set(score) for score in scores.values()):
            raise ValueError("a score is incomplete")
    except (OSError, TypeError, ValueError) as error:
        log.warning("%s: damaged (%s); the image is scored again", path, error)
        return {}
    return scores


def _key_of(folder: Path) -> str:
    """The key of the sample in a folder, cut to `KEY_LENGTH`."""
    return folder.name.rpartition("-")[2]
