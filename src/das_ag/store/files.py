"""Encodings of a store's files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def encode_png(image: UInt8[np.ndarray, "_ _ 3"], text: Mapping[str, str]) -> bytes:
    """Encodes an RGB image as PNG, with text by keyword; equal images and texts give equal bytes."""
    buffer, chunks = io.BytesIO(), PngInfo()
    for keyword, value in text.items():
        chunks.add_itxt(keyword, value)  # tEXt supports Latin-1 only
    Image.fromarray(image).save(buffer, format="PNG", pnginfo=chunks)
    return buffer.getvalue()


def encode_levels(levels: Sequence[Float[np.ndarray, "3 _ _"]]) -> bytes:
    """Encodes levels as float16 arrays, each named by its side in pixels; equal levels give equal bytes."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {str(level.shape[-1]): level.astype(np.float16) for level in levels}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def encode_frames(frames: Sequence[UInt8[np.ndarray, "side side 3"]]) -> bytes:
    """Encodes square pictures, one below the other, as one WebP; lossy, for viewing only.

    In an animated WebP, pictures that are nearly equal would become one.
    """
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(frames)).save(buffer, format="WEBP", quality=90)
    return buffer.getvalue()


def encode_csv(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Encodes rows of numbers as CSV; reading them gives the same float32 values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([f"{v:.9g}" for v in row.values()] for row in rows)
    return buffer.getvalue().encode()


def canonical(value: Any) -> str:
    """JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def pretty(value: Any) -> str:
    """JSON for people."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


DEEPEST = 20
"""Most groups and lists inside each other; a sample has four."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError, ValueError: the file cannot be read, or holds no object.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is no regular file")  # reading a pipe would wait for ever
    return parse_json(path.read_text(encoding="utf-8"), path.name)


def parse_json(text: str, name: str) -> dict[str, Any]:
    """The object in a JSON text.

    Args:
        name: of the text, for messages.

    Raises:
        ValueError: the text holds no object, or values that JSON or UTF-8 do not have: NaN, half a character.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{name} is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} contains no JSON object")
    _check_depth(value, name, DEEPEST)
    canonical(value).encode()
    return value


def _check_depth(value: object, name: str, left: int) -> None:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if items and left == 0:
        raise ValueError(f"{name} is nested too deeply")
    for item in items:
        _check_depth(item, name, left - 1)
