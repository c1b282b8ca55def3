"""A short film of an ascent, made from its previews."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from das_ag.store.samples import KEY_LENGTH, Sample
from das_ag.store.store import Store

FRAMES = 32
SIDE_PX = 224
"""Largest side of a frame and of a preview."""
FRAME_MS, LAST_MS = 90, 1500
FOLDER = "films"
"""Folder in a store. Films are not in the folders of the samples, so those match the folders that run.py makes."""


def is_frame(step: int, steps: int) -> bool:
    """Whether to keep a preview after this step: about `FRAMES` of them, evenly spaced, including the last step."""
    return step == steps - 1 or step % -(-steps // FRAMES) == 0


def shrunk(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """The image, scaled down to fit a frame."""
    small = Image.fromarray(image)
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return np.array(small)


def encode_film(frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> bytes:
    """A GIF that loops and pauses on its last frame."""
    size, colours = (SIDE_PX, SIDE_PX), 255
    pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    first, *others = [picture.quantize(colours, Image.Quantize.FASTOCTREE) for picture in pictures]
    durations = [FRAME_MS] * len(others) + [LAST_MS]
    buffer = io.BytesIO()
    first.save(buffer, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()


def film_path(store: Store, sample: Sample) -> Path:
    """Path of a sample's film, whether or not it exists."""
    return store.root / FOLDER / f"{sample.key[:KEY_LENGTH]}.gif"
