"""Finished samples on disk.

    samples/<method>/<prompt>-seed<seed>-<key>/ {image.png, sample.json, trace.csv, levels.npz, scores.json}
    failures/<key>.json
    .unfinished/<host>-<process>-…

A sample appears whole or not at all: it is written under .unfinished/, synced, then renamed.
The key is a hash of all that determines the image, so a finished sample is never made again and never overwritten.
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
        root: its folder, for instance outputs/paper; made by the first write.
        elsewhere: beginnings of keys, `KEY_LENGTH` long, of samples that are finished in another store, to which these
            will be sent.

    Attributes:
        folder: for whatever else is to be written below it, whole or not at all.
    """

    def __init__(self, root: Path, *, elsewhere: frozenset[str] = frozenset()) -> None:
        self.root, self._elsewhere = root, elsewhere
        self.folder = AtomicFolder(root)
        self.failures = Failures(self.folder)

    @staticmethod
    def is_store(folder: Path) -> bool:
        """Whether a folder was made by a `Store`."""
        return (folder / FORMAT_FILE).is_file()

    def prepare(self) -> None:
        """Makes the folder, sees that it can be written to, and clears what dead processes left half-written.

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
            raise StoreError(
                f"{path}: expected a store's description, could not read it ({error}); delete it."
            ) from error
        if got != FORMAT:
            raise StoreError(
                f"{self.root}: expected a store of format {FORMAT}, got {got}; use the version of das-ag that made it, "
                "or another name=."
            )

    def is_finished(self, sample: Sample) -> bool:
        """Whether the sample stands in the store: its folder, named after its key, appears only when it is whole."""
        return sample.key[:KEY_LENGTH] in self._elsewhere or (self.root / sample.folder / SAMPLE).is_file()

    def duration_s(self, sample: Sample) -> float | None:
        """Seconds that a finished sample took; None where that was not kept."""
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
            levels: of the pyramid, coarse to fine; kept as float16, to look at.
            text: goes into the PNG by keyword.

        Raises:
            StoreError: the disk is full or cannot be written to; the store is as before.
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
        """A sample that is there already stays as it is: its key says that it is the same."""
        self.folder.write_folder(folder, files, last=SAMPLE)
        self.failures.forget(_key_of(folder))

    def finished_keys(self) -> frozenset[str]:
        """Beginnings of the keys of all finished samples, `KEY_LENGTH` long."""
        return frozenset(_key_of(path.parent) for path in (self.root / SAMPLES).glob(f"*/[!.]*/{SAMPLE}"))

    def pack(self) -> dict[str, bytes]:
        """Samples and failures as files by path relative to the store, to be sent to another."""
        paths = [path for part in (SAMPLES, FAILURES) for path in (self.root / part).rglob("*") if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in paths}

    def receive(self, files: Mapping[str, bytes]) -> None:
        """Adds what another store has packed; samples that stand here already stay as they are.

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
                if Path(name).stem not in finished:  # a failure that was mended here meanwhile is none
                    self.folder.write(folder / name, data)

    def records(self) -> tuple[list[Record], list[str]]:
        """The finished samples in the order of their folders' names, and a sentence for each one that is damaged."""
        records, damaged = [], []
        for path in sorted((self.root / SAMPLES).glob("*/*/")):
            if path.name.startswith("."):
                continue
            try:
                records.append(self._read(path))
            except (OSError, ValueError, KeyError, TypeError) as error:
                damaged.append(
                    f"{path.relative_to(self.root)}: left out, expected a whole sample, got {type(error).__name__} "
                    f"({error}); delete the folder and run again."
                )
        return records, damaged

    def record_of(self, sample: Sample) -> Record:
        """A finished sample as it stands here.

        Raises:
            UserError: it does not, or is damaged.
        """
        try:
            return self._read(self.root / sample.folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.root / sample.folder}: expected a whole sample, got {type(error).__name__} ({error}); delete "
                "the folder and run again."
            ) from error

    def read_image(self, image: Path | str) -> UInt8[np.ndarray, "_ _ 3"]:
        """The pixels of an image by its path relative to the store.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self.root / image
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != read_json(path.parent / SAMPLE)["image_sha256"]:
                raise ValueError(f"it is not the image that {SAMPLE} tells of")
            with Image.open(io.BytesIO(data)) as opened:
                return np.array(opened.convert("RGB"))
        except (OSError, KeyError, SyntaxError, ValueError) as error:  # Pillow has many words for a damaged file
            expected = "expected the image as it was stored"
            raise UserError(
                f"{path}: {expected}, could not read it ({error}); delete its folder and run again."
            ) from error

    def read_levels(self, record: Record) -> list[Float[np.ndarray, "3 _ _"]]:
        """The levels of a sample's pyramid, coarse to fine, float32; empty where they were not kept.

        Raises:
            UserError: the file is damaged.
        """
        path = self.root / record.folder / LEVELS
        if not path.is_file():
            return []
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:  # it would leave a damaged file open
                return [arrays[name].astype(np.float32) for name in sorted(arrays.files, key=int)]
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: expected the levels of a pyramid, could not read them ({error}); delete the file."
            ) from error

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
            raise UserError(
                f"{path}: expected a trace, could not read it ({error}); delete its folder and run again."
            ) from error

    def write_score(self, record: Record, evaluator: str, score: float | None, digest: str, **details: Any) -> None:
        """Puts an evaluator's score beside the image.

        Args:
            digest: of all that determines the score beside the image.
            details: what else is worth keeping, ready for JSON: title, version, weights.
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
            raise ValueError("the key does not belong to the settings")
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
    """Each evaluator's score; none where they are damaged, since they are soon had again and the image is not."""
    if not path.is_file():
        return {}
    try:
        scores = read_json(path)
        if not all({"score", "digest", "image_sha256"} <= set(score) for score in scores.values()):
            raise ValueError("a score lacks its image")
    except (OSError, TypeError, ValueError) as error:
        log.warning("%s: is damaged (%s), and counts for nothing; its image is scored again", path, error)
        return {}
    return scores


def _key_of(folder: Path) -> str:
    """The beginning of the key of the sample in a folder, `KEY_LENGTH` long."""
    return folder.name.rpartition("-")[2]
