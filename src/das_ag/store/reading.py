"""Reads the files of a sample, and checks that each is what the store writes. Nothing else opens these files."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from das_ag.errors import first_line
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

log = logging.getLogger(__name__)

DAMAGED = (OSError, ValueError, EOFError, SyntaxError, MemoryError, RuntimeError, zipfile.BadZipFile, csv.Error,
           Image.DecompressionBombError)  # fmt: skip
"""What reading a file of another form raises; Pillow's, numpy's and zipfile's errors vary."""
MOST_LEVEL_BYTES = 2**30
"""Largest size of all levels together, unpacked; all resolutions up to 512 px have 270 MB."""
MOST_FRAMES, FRAME_PX = 48, 256
"""Most pictures of an ascent that are kept, and the largest side of each; WebP ends at 16,383 px."""
_HEADER_BYTES = 4096
"""More than the header of an array needs."""


def reason(error: BaseException) -> str:
    """Why a file cannot be used, in one line."""
    if isinstance(error, SchemaError):
        return str(error)
    return f"{type(error).__name__}: {first_line(error)}" if isinstance(error, Exception) else type(error).__name__


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
        scores={
            name: score for name, score in read_scores(folder).items() if score["image_sha256"] == entry["image_sha256"]
        },
        provenance=entry["provenance"],
    )


def read_scores(folder: Path) -> dict[str, Any]:
    """Each evaluator's score; empty if the file is damaged, since scoring again is cheap."""
    path = folder / SCORES
    if not path.is_file():
        return {}
    try:
        scores = read_json(path)
        for name, score in scores.items():
            check(score, SCORE, SCORE_OPTIONAL, name)
    except (OSError, ValueError) as error:
        log.warning("%s: damaged (%s); the image is scored again", path, reason(error))
        return {}
    return scores


def read_image(path: Path) -> UInt8[np.ndarray, "_ _ 3"]:
    """The pixels of a sample's image.

    Raises:
        Exception: one of `DAMAGED`, if the file is missing, or not the one that the sample describes.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != read_json(path.parent / SAMPLE).get("image_sha256"):
        raise ValueError(f"its checksum differs from the one in {SAMPLE}")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as opened:
        if max(opened.size) > MOST_CANVAS_PX:  # before the pixels are unpacked
            raise SchemaError(
                f"expected at most {MOST_CANVAS_PX} × {MOST_CANVAS_PX} px, got {opened.width} × {opened.height}"
            )
        return np.array(opened.convert("RGB"))


def read_levels(folder: Path) -> list[Float[np.ndarray, "3 _ _"]]:
    """The levels of a sample's pyramid, coarse to fine, float32; empty if they were not stored.

    Raises:
        Exception: one of `DAMAGED`, if the file is not what the store writes.
    """
    path = folder / LEVELS
    if not path.is_file():
        return []
    with np.load(io.BytesIO(path.read_bytes())) as arrays:  # np.load(path) leaves a damaged file open
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise SchemaError("expected an archive of arrays, got one array")
        _check_sizes(arrays)
        return [_level(arrays, name) for name in sorted(arrays.files, key=int)]


def read_frames(folder: Path) -> list[UInt8[np.ndarray, "side side 3"]]:
    """The small pictures of a sample's ascent, in order; empty if they were not stored.

    Raises:
        Exception: one of `DAMAGED`, if the file is not what the store writes.
    """
    path = folder / FRAMES
    if not path.is_file():
        return []
    with Image.open(io.BytesIO(path.read_bytes()), formats=["WEBP"]) as opened:
        width, height = opened.size
        if width > FRAME_PX or height % width or height > MOST_FRAMES * width:  # before the pixels are unpacked
            raise SchemaError(
                f"expected at most {MOST_FRAMES} pictures of at most {FRAME_PX} px, got {width} × {height} px"
            )
        return list(np.array(opened.convert("RGB")).reshape(-1, width, width, 3))


def _check_sizes(arrays: np.lib.npyio.NpzFile) -> None:
    """Checks the size of each level before it is unpacked."""
    left = MOST_LEVEL_BYTES
    assert arrays.zip is not None
    for entry in arrays.zip.infolist():
        name = entry.filename.removesuffix(".npy")
        if not name.isdecimal() or not 1 <= int(name[:6]) <= MOST_CANVAS_PX:
            raise SchemaError(f"expected levels of 1 to {MOST_CANVAS_PX} px, got {entry.filename!r}")
        left -= entry.file_size
        if left < 0 or entry.file_size > 3 * int(name[:6]) ** 2 * 8 + _HEADER_BYTES:
            raise SchemaError(f"the level of {name[:6]} px is larger than its side allows")


def _level(arrays: np.lib.npyio.NpzFile, name: str) -> Float[np.ndarray, "3 _ _"]:
    assert arrays.zip is not None
    with arrays.zip.open(f"{name}.npy") as file:  # the header first: it may tell of any size
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if shape != (3, int(name), int(name)) or dtype.kind != "f":
        raise SchemaError(f"expected numbers (3, {name}, {name}), got {dtype} {shape}")
    level = arrays[name].astype(np.float32)
    if not np.isfinite(level).all():
        raise SchemaError(f"the level of {name} px has NaN or infinity")
    return level


def read_trace(path: Path) -> pd.DataFrame:
    """A trace as a table of numbers, one row for each step; a value that was not recorded is NaN.

    Raises:
        Exception: one of `DAMAGED`, if the file is missing, or not what the store writes.
    """
    import pandas as pd

    table = pd.read_csv(path)
    if table.empty or not {"step", "loss"} <= {*table}:
        raise SchemaError(f"expected the columns step and loss, got {', '.join(map(str, table))}")
    if not all(pd.api.types.is_numeric_dtype(kind) and kind.kind != "b" for kind in table.dtypes):
        raise SchemaError("expected only numbers")
    table = table.astype(float)
    if table[["step", "loss"]].isna().any(axis=None) or table["step"].duplicated().any():
        raise SchemaError("expected one loss for each step")
    return table
