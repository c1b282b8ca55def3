"""Finished samples on disk.

    samples/<method>/<prompt>-seed<seed>-<key>/ {image.png, sample.json, trace.csv, levels.npz, scores.json}
    failures/<key>.json

A sample appears whole or not at all: it is written into a folder whose name begins with a dot, synced, then renamed.
The key is a hash of all that determines the image, so a finished sample is never made again and never overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import shutil
import socket
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from das_ag.errors import UserError
from das_ag.experiment.files import (
    UNFINISHED,
    canonical,
    encode_csv,
    encode_levels,
    encode_png,
    is_alive,
    pretty,
    process_name,
    read_json,
    sync_folder,
    write_atomically,
    write_synced,
)

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
KEY_LENGTH = 12
IMAGE, SAMPLE, TRACE, LEVELS, SCORES = "image.png", "sample.json", "trace.csv", "levels.npz", "scores.json"


@dataclass(frozen=True)
class Sample:
    """One image to make, or made.

    Attributes:
        method: das, das_ag or das_rag.
        prompt_id: short name of the prompt.
        positive, negative: texts of the prompts.
        seed: of the random numbers.
        settings: everything else that determines the image, ready for JSON.
    """

    method: str
    prompt_id: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    seed: int
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        """SHA-256 of all that determines the image, hexadecimal."""
        return hashlib.sha256(canonical(self.identity()).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Relative to the store."""
        return Path("samples", self.method, f"{self.prompt_id}-seed{self.seed}-{self.key[:KEY_LENGTH]}")

    def identity(self) -> dict[str, Any]:
        """What the key is the hash of."""
        return {
            "method": self.method,
            "prompt_id": self.prompt_id,
            "positive": list(self.positive),
            "negative": list(self.negative),
            "seed": self.seed,
            "settings": dict(self.settings),
        }


@dataclass(frozen=True)
class Record:
    """A finished sample as read from the store.

    Attributes:
        folder: relative to the store.
        sample: what was asked for.
        result: numbers of the finished image by the guide: guide_aesthetic_score, clip_positive, clip_negative.
        image_sha256: of image.png.
        scores: by evaluator: {"score": …, "digest": …}, for this very image.
        provenance: where and how it was made.
    """

    folder: Path
    sample: Sample
    result: Mapping[str, float]
    image_sha256: str
    scores: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]

    @property
    def image(self) -> Path:
        """The image's path relative to the store."""
        return self.folder / IMAGE


class Store:
    """The samples of one experiment.

    Args:
        root: its folder, for instance outputs/embedded; made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Makes the folder, sees that it can be written to, and clears what dead processes left half-written.

        Raises:
            UserError: the folder cannot be written to, or a newer version of this program wrote it.
        """
        format_path = self.root / "store.json"
        if format_path.exists():
            self._check_format(format_path)
        with self._writing():
            (self.root / "samples").mkdir(parents=True, exist_ok=True)
            if not format_path.exists():
                write_atomically(format_path, (pretty({"format": FORMAT})).encode())
            probe = self.root / f"{UNFINISHED}{process_name()}-probe"
            probe.write_bytes(b"")
            probe.unlink()
            self._sweep_unfinished()

    def _check_format(self, path: Path) -> None:
        try:
            got = read_json(path).get("format")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: expected a store's description, could not read it ({error}); delete it."
            ) from error
        if got != FORMAT:
            raise UserError(
                f"{self.root}: expected a store of format {FORMAT}, got {got}; use the version of das-ag that made it, "
                "or another name=."
            )

    def is_finished(self, sample: Sample) -> bool:
        """Whether the sample stands in the store: its folder, named after its key, appears only when it is whole."""
        return (self.root / sample.folder / SAMPLE).is_file()

    def write(
        self,
        sample: Sample,
        image: UInt8[np.ndarray, "_ _ 3"],
        trace: Sequence[Mapping[str, float]],
        result: Mapping[str, float],
        provenance: Mapping[str, Any],
        *,
        levels: Sequence[Float[np.ndarray, "3 _ _"]] = (),
    ) -> None:
        """Adds a finished sample.

        Args:
            levels: of the pyramid, coarse to fine; kept as float16, to look at.

        Raises:
            UserError: the disk is full or cannot be written to; the store is as before.
        """
        png, table = encode_png(image), encode_csv(trace)
        record = {
            "format": FORMAT,
            "key": sample.key,
            **sample.identity(),
            "result": dict(result),
            "image_sha256": hashlib.sha256(png).hexdigest(),
            "trace_sha256": hashlib.sha256(table).hexdigest(),
            "provenance": dict(provenance),
        }
        final = self.root / sample.folder
        unfinished = final.parent / f"{UNFINISHED}{process_name()}-{sample.key[:KEY_LENGTH]}"
        with self._writing():
            try:
                unfinished.mkdir(parents=True, exist_ok=True)
                files = {IMAGE: png, TRACE: table, SAMPLE: pretty(record).encode()}
                for name, data in (files | ({LEVELS: encode_levels(levels)} if levels else {})).items():
                    write_synced(unfinished / name, data)
                sync_folder(unfinished)
                unfinished.rename(final)
                sync_folder(final.parent)
            except FileExistsError:
                pass  # another process finished the same sample; its key says that it is the same
            except OSError as error:
                # A folder that is not empty stands there already: finished by another process meanwhile.
                if error.errno != errno.ENOTEMPTY:
                    raise
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            self._failure_path(sample).unlink(missing_ok=True)

    def write_failure(self, sample: Sample, error: str) -> None:
        """Remembers why a sample could not be made; a later success forgets it."""
        with self._writing():
            path = self._failure_path(sample)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, pretty({"error": error, **sample.identity()}).encode())

    def failures(self, since: float = 0.0) -> dict[str, str]:
        """Error by name of the sample, of those that failed and were not made later.

        Args:
            since: seconds since the epoch; older failures are left out.
        """
        found: dict[str, str] = {}
        for path in sorted((self.root / "failures").glob("*.json")):
            if path.stat().st_mtime < since:
                continue
            try:
                entry = read_json(path)
                name, error = f"{entry['method']} {entry['prompt_id']} seed {entry['seed']}", entry["error"]
            except (OSError, KeyError, ValueError) as damage:
                name, error = path.name, f"could not be read ({damage}); delete it"
            found[f"{name}, key {path.stem}" if name in found else name] = error
        return found

    def records(self) -> tuple[list[Record], list[str]]:
        """The finished samples in the order of their folders' names, and a sentence for each one that is damaged."""
        records, damaged = [], []
        for path in sorted((self.root / "samples").glob("*/*/")):
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
            with np.load(path) as arrays:
                return [arrays[name].astype(np.float32) for name in sorted(arrays.files, key=int)]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
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

    def write_score(self, record: Record, evaluator: str, score: float, digest: str, **details: Any) -> None:
        """Puts an evaluator's score beside the image.

        Args:
            digest: of all that determines the score beside the image.
            details: what else is worth keeping, ready for JSON: title, version, weights.
        """
        path = self.root / record.folder / SCORES
        scores = read_json(path) if path.is_file() else {}
        scores[evaluator] = {"score": score, "digest": digest, "image_sha256": record.image_sha256, **details}
        with self._writing():
            write_atomically(path, pretty(scores).encode())

    def _read(self, path: Path) -> Record:
        entry = read_json(path / SAMPLE)
        if not (path / IMAGE).is_file() or not (path / TRACE).is_file():
            raise FileNotFoundError(f"{IMAGE} or {TRACE} is missing")
        sample = Sample(
            entry["method"], entry["prompt_id"], tuple(entry["positive"]), tuple(entry["negative"]), entry["seed"],
            entry["settings"],
        )  # fmt: skip
        if entry["key"] != sample.key:
            raise ValueError("the key does not belong to the settings")
        scores = read_json(path / SCORES) if (path / SCORES).is_file() else {}
        return Record(
            folder=path.relative_to(self.root),
            sample=sample,
            result=entry["result"],
            image_sha256=entry["image_sha256"],
            scores={name: s for name, s in scores.items() if s["image_sha256"] == entry["image_sha256"]},
            provenance=entry["provenance"],
        )

    def _failure_path(self, sample: Sample) -> Path:
        return self.root / "failures" / f"{sample.key[:KEY_LENGTH]}.json"

    def _sweep_unfinished(self) -> None:
        """Removes half-written folders and files of processes of this machine that are no more."""
        prefix = f"{UNFINISHED}{socket.gethostname()}-"
        for path in list(self.root.rglob(f"{prefix}*")):
            pid = path.name.removeprefix(prefix).split("-")[0]
            if pid.isdigit() and not is_alive(int(pid)):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedies = {
                errno.ENOSPC: "free some space and start the same command again",
                errno.EDQUOT: "free some of your quota and start the same command again",
            }
            remedy = remedies.get(error.errno or 0, "choose another folder with name=, or mend its permissions")
            got = error.strerror or error
            raise UserError(
                f"{self.root}: expected to write here, got “{got}”; {remedy}; finished samples are kept."
            ) from error
