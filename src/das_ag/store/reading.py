"""Reads the files of a sample, and checks that each is what the store writes. Nothing else opens these files."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from das_ag.errors import UserError, first_line
from das_ag.store.files import read_json
from das_ag.store.samples import FRAMES, IMAGE, LEVELS, SAMPLE, SCORES, TRACE, Record, Sample
from das_ag.store.schema import (
    MOST_CANVAS_PX,
    PROVENANCE,
    RECORD,
    RESULT,
    RESULT_OPTIONAL,
    SCORE,
    SCORE_OPTIONAL,
    SchemaError,
    check,
)

if TYPE_CHECKING:
    import pandas as pd

DAMAGED = (OSError, ValueError, EOFError, SyntaxError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error,
           lzma.LZMAError, csv.Error, Image.DecompressionBombError)  # fmt: skip
"""What reading a file of another form raises; Pillow's, numpy's and zipfile's errors vary."""
MOST_LEVEL_BYTES = 2**30
"""Largest size of all levels together, unpacked; all resolutions up to 512 px have 270 MB."""
MOST_FRAMES, FRAME_PX = 48, 256
"""Most pictures of an ascent that are kept, and the largest side of each; WebP ends at 16,383 px."""
_HEADER_BYTES = 4096
"""More than the header of an array needs."""
_TOLD = {
    IMAGE: ("the image is missing or damaged", "delete its folder and run again"),
    TRACE: ("cannot read the trace", "delete its folder and run again"),
    LEVELS: ("cannot read the levels of the pyramid", "delete the file"),
    FRAMES: ("cannot read the pictures of the ascent", "delete the file"),
    SCORES: ("cannot read the scores", "run das-ag score on this experiment"),
}
"""What is wrong with a file that cannot be used, and the remedy."""


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Turns what reading a file raises into a sentence for a person, the same wherever the file is read.

    Raises:
        UserError: the block raises one of `DAMAGED`.
    """
    try:
        yield
    except DAMAGED as error:
        wrong, remedy = _TOLD[path.name]
        raise UserError(f"{path}: {wrong} ({reason(error)}); {remedy}.") from error


def damage_of(root: Path, record: Record) -> Iterator[str]:
    """A sentence for each damaged file of a sample in the store `root`, except sample.json.

    It compares checksums, and decodes neither image nor trace nor levels: that takes ten times as long.
    """
    folder = root / record.folder
    checks: dict[str, Callable[[Path], object]] = {
        IMAGE: lambda path: read_checked(path, record.image_sha256),
        TRACE: lambda path: read_checked(path, record.trace_sha256),
        LEVELS: _check_levels,
        SCORES: read_scores,
    }
    for name, check_file in checks.items():
        try:
            with telling(folder / name):
                check_file(folder / name)
        except UserError as error:
            yield str(error)


def reason(error: Exception) -> str:
    """Why a file cannot be used, in one line."""
    return str(error) if isinstance(error, SchemaError) else f"{type(error).__name__}: {first_line(error)}"


def read_record(root: Path, folder: Path) -> Record:
    """The record of the sample in a folder of the store `root`.

    Raises:
        OSError, ValueError: a file is missing, or is not what the store writes.
    """
    entry = read_json(folder / SAMPLE)
    if not (folder / IMAGE).is_file() or not (folder / TRACE).is_file():
        raise FileNotFoundError(f"{IMAGE} or {TRACE} is missing")
    sample = Sample.from_identity(entry)
    check(entry, RECORD)
    check(entry["result"], RESULT, RESULT_OPTIONAL, "result")
    check(entry["provenance"], {}, PROVENANCE, "provenance")
    if entry["key"] != sample.key:
        raise SchemaError("the key does not match the settings")
    return Record(
        folder=folder.relative_to(root),
        sample=sample,
        result={name: entry["result"][name] for name in {**RESULT_OPTIONAL, **RESULT} if name in entry["result"]},
        image_sha256=entry["image_sha256"],
        trace_sha256=entry["trace_sha256"],
        scores=_scores_of(folder / SCORES, entry["image_sha256"]),
        provenance=entry["provenance"],
    )


def _scores_of(path: Path, image_sha256: str) -> dict[str, Any]:
    """The scores of exactly this image; none if the file is damaged, since scoring again is cheap."""
    try:
        scores = read_scores(path)
    except DAMAGED:
        return {}
    return {name: score for name, score in scores.items() if score["image_sha256"] == image_sha256}


def read_scores(path: Path) -> dict[str, Any]:
    """Each evaluator's score; empty if there is no file.

    Raises:
        OSError, ValueError: the file is not what the store writes.
    """
    scores = read_json(path) if path.exists() else {}
    for name, score in scores.items():
        check(score, SCORE, SCORE_OPTIONAL, name)
    return scores


def read_checked(path: Path, sha256: object) -> bytes:
    """The bytes of a file that the sample describes.

    Raises:
        OSError, ValueError: the file is missing, or has another checksum.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SchemaError(f"its checksum differs from the one in {SAMPLE}")
    return data


def read_image(path: Path) -> UInt8[np.ndarray, "_ _ 3"]:
    """The pixels of a sample's image.

    Raises:
        Exception: one of `DAMAGED`, if the file is missing, or not the one that the sample describes.
    """
    data = read_checked(path, read_json(path.parent / SAMPLE).get("image_sha256"))
    with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
        if max(opened.size) > MOST_CANVAS_PX:  # before the pixels are unpacked
            raise SchemaError(
                f"expected at most {MOST_CANVAS_PX} × {MOST_CANVAS_PX} px, got {opened.width} × {opened.height}"
            )
        return np.array(opened.convert("RGB"))


def read_levels(path: Path) -> list[Float[np.ndarray, "3 _ _"]]:
    """The levels of a sample's pyramid, coarse to fine, float32; empty if they were not stored.

    Raises:
        Exception: one of `DAMAGED`, if the file is not what the store writes.
    """
    if not path.is_file():
        return []
    with _opened(path) as archive:
        _check_sizes(archive)
        return [_level(archive, name) for name in sorted(archive.namelist(), key=_side_of)]


def _check_levels(path: Path) -> None:
    """Compares the levels, if there are any, with the checksums in their archive."""
    if path.is_file():
        with _opened(path) as archive:
            _check_sizes(archive)
            if broken := archive.testzip():
                raise SchemaError(f"the checksum of {broken} is wrong")


def _opened(path: Path) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(path):
        raise SchemaError("it is no archive of arrays")
    return zipfile.ZipFile(path)


def read_frames(path: Path) -> list[UInt8[np.ndarray, "side side 3"]]:
    """The small pictures of a sample's ascent, in order; empty if they were not stored.

    Raises:
        Exception: one of `DAMAGED`, if the file is not what the store writes.
    """
    if not path.is_file():
        return []
    with Image.open(io.BytesIO(path.read_bytes()), formats=["WEBP"]) as opened:
        width, height = opened.size
        if width > FRAME_PX or height % width or height > MOST_FRAMES * width:  # before the pixels are unpacked
            raise SchemaError(
                f"expected at most {MOST_FRAMES} pictures of at most {FRAME_PX} px, got {width} × {height} px"
            )
        return list(np.array(opened.convert("RGB")).reshape(-1, width, width, 3))


def _check_sizes(archive: zipfile.ZipFile) -> None:
    """Checks the size of each level before it is unpacked."""
    left = MOST_LEVEL_BYTES
    for entry in archive.infolist():
        side_px = _side_of(entry.filename)
        left -= entry.file_size
        if left < 0 or entry.file_size > 3 * side_px**2 * 8 + _HEADER_BYTES:
            raise SchemaError(f"the level of {side_px} px is larger than its side allows")


def _side_of(name: str) -> int:
    """The side of a level in pixels, which is its name in the archive."""
    side = name.removesuffix(".npy")
    if not side.isdecimal() or not 1 <= int(side[:6]) <= MOST_CANVAS_PX:
        raise SchemaError(f"expected levels of 1 to {MOST_CANVAS_PX} px, got {name!r}")
    return int(side[:6])


def _level(archive: zipfile.ZipFile, name: str) -> Float[np.ndarray, "3 _ _"]:
    side_px = _side_of(name)
    with archive.open(name) as file:  # the header first: it may tell of any size
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape != (3, side_px, side_px) or dtype.kind != "f":
        raise SchemaError(f"expected numbers (3, {side_px}, {side_px}), got {dtype} {shape}")
    with archive.open(name) as file:
        level = np.lib.format.read_array(file).astype(np.float32)
    if not np.isfinite(level).all():
        raise SchemaError(f"the level of {side_px} px has NaN or infinity")
    return level


def read_trace(file: Path | io.BytesIO) -> pd.DataFrame:
    """A trace as a table of numbers, one row for each step; a value that was not recorded is NaN.

    Raises:
        Exception: one of `DAMAGED`, if the file is missing, or not what the store writes.
    """
    import pandas as pd

    table = pd.read_csv(file)
    if table.empty or not {"step", "loss"} <= {*table}:
        raise SchemaError(f"expected the columns step and loss, got {', '.join(map(str, table))}")
    if not all(pd.api.types.is_numeric_dtype(kind) and kind.kind != "b" for kind in table.dtypes):
        raise SchemaError("expected only numbers")
    table = table.astype(float)
    if table[["step", "loss"]].isna().any(axis=None) or table["step"].duplicated().any():
        raise SchemaError("expected one loss for each step")
    return table
