"""Finished samples on disk.

    samples/<method>/<prompt>-seed<seed>-<key>/ {image.png, sample.json, trace.csv, scores.json}
    failures/<key>.json

A sample appears whole or not at all: it is written into a folder whose name begins with a dot, synced, then renamed.
The key is a hash of all that determines the image, so a finished sample is never made again and never overwritten.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from das_ag.errors import UserError

FORMAT = 1
KEY_LENGTH = 12
IMAGE, SAMPLE, TRACE, SCORES = "image.png", "sample.json", "trace.csv", "scores.json"
_UNFINISHED = ".unfinished-"


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
        return hashlib.sha256(_canonical(self.identity()).encode()).hexdigest()

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
                _write_atomically(format_path, (_pretty({"format": FORMAT})).encode())
            probe = self.root / f"{_UNFINISHED}{_process()}-probe"
            probe.write_bytes(b"")
            probe.unlink()
            self._sweep_unfinished()

    def _check_format(self, path: Path) -> None:
        try:
            got = _read_json(path).get("format")
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
    ) -> None:
        """Adds a finished sample.

        Raises:
            UserError: the disk is full or cannot be written to; the store is as before.
        """
        png, table = _encode_png(image), _encode_csv(trace)
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
        unfinished = final.parent / f"{_UNFINISHED}{_process()}-{sample.key[:KEY_LENGTH]}"
        with self._writing():
            try:
                unfinished.mkdir(parents=True, exist_ok=True)
                for name, data in ((IMAGE, png), (TRACE, table), (SAMPLE, _pretty(record).encode())):
                    _write_synced(unfinished / name, data)
                _sync_folder(unfinished)
                unfinished.rename(final)
                _sync_folder(final.parent)
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
            _write_atomically(path, _pretty({"error": error, **sample.identity()}).encode())

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
                entry = _read_json(path)
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
            if hashlib.sha256(data).hexdigest() != _read_json(path.parent / SAMPLE)["image_sha256"]:
                raise ValueError(f"it is not the image that {SAMPLE} tells of")
            with Image.open(io.BytesIO(data)) as opened:
                return np.array(opened.convert("RGB"))
        except (OSError, KeyError, SyntaxError, ValueError) as error:  # Pillow has many words for a damaged file
            expected = "expected the image as it was stored"
            raise UserError(
                f"{path}: {expected}, could not read it ({error}); delete its folder and run again."
            ) from error

    def write_score(self, record: Record, evaluator: str, score: float, digest: str) -> None:
        """Puts an evaluator's score beside the image."""
        path = self.root / record.folder / SCORES
        scores = _read_json(path) if path.is_file() else {}
        scores[evaluator] = {"score": score, "digest": digest, "image_sha256": record.image_sha256}
        with self._writing():
            _write_atomically(path, _pretty(scores).encode())

    def _read(self, path: Path) -> Record:
        entry = _read_json(path / SAMPLE)
        if not (path / IMAGE).is_file() or not (path / TRACE).is_file():
            raise FileNotFoundError(f"{IMAGE} or {TRACE} is missing")
        sample = Sample(
            entry["method"], entry["prompt_id"], tuple(entry["positive"]), tuple(entry["negative"]), entry["seed"],
            entry["settings"],
        )  # fmt: skip
        if entry["key"] != sample.key:
            raise ValueError("the key does not belong to the settings")
        scores = _read_json(path / SCORES) if (path / SCORES).is_file() else {}
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
        prefix = f"{_UNFINISHED}{socket.gethostname()}-"
        for path in list(self.root.rglob(f"{prefix}*")):
            pid = path.name.removeprefix(prefix).split("-")[0]
            if pid.isdigit() and not _is_alive(int(pid)):
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


def _encode_png(image: UInt8[np.ndarray, "_ _ 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def _encode_csv(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Numbers are written so that reading gives the same float32 again."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([f"{v:.9g}" for v in row.values()] for row in rows)
    return buffer.getvalue().encode()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no object")
    return value


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _write_atomically(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f"{_UNFINISHED}{_process()}-{path.name}")
    try:
        _write_synced(unfinished, data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _process() -> str:
    """Names this process among all that may write to a shared folder."""
    return f"{socket.gethostname()}-{os.getpid()}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
