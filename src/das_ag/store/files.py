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


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        OSError, ValueError: the file cannot be read, or holds no object.
    """
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} contains no JSON object")
    return value
