"""A short film of an ascent, from the previews that were gathered on the way."""

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
"""Of the frames, and at most of a preview."""
FRAME_MS, LAST_MS = 90, 1500
FOLDER = "films"
"""Of a store: films are no part of the samples, whose folders are as run.py makes them."""


def is_frame(step: int, steps: int) -> bool:
    """Whether a preview is gathered after this step: some `FRAMES` of them, evenly spaced, the last one included."""
    return step == steps - 1 or step % -(-steps // FRAMES) == 0


def shrunk(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "_ _ 3"]:
    """The image, no larger than a frame."""
    small = Image.fromarray(image)
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    return np.array(small)


def encode_film(frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> bytes:
    """A GIF that repeats itself and rests on its last frame."""
    size, colours = (SIDE_PX, SIDE_PX), 255
    pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    first, *others = [picture.quantize(colours, Image.Quantize.FASTOCTREE) for picture in pictures]
    durations = [FRAME_MS] * len(others) + [LAST_MS]
    buffer = io.BytesIO()
    first.save(buffer, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return buffer.getvalue()


def film_path(store: Store, sample: Sample) -> Path:
    """Where the film of a sample lies, if there is one."""
    return store.root / FOLDER / f"{sample.key[:KEY_LENGTH]}.gif"
