"""Pictures of a pyramid's levels."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from das_ag.errors import UserError
from das_ag.report.plots.pyramid import contributions, stretch
from das_ag.store.samples import Record
from das_ag.store.store import Store

_SIDE_PX = 260
"""Largest side of a level's picture; twice its size on the page."""


@dataclass(frozen=True)
class Level:
    """A level and its contribution.

    Attributes:
        size_px: its side.
        alone: only this level, resized to the canvas; grey where it is 0, with stretched contrast.
        total: the image from all levels up to this one.
    """

    size_px: int
    alone: UInt8[np.ndarray, "side side 3"]
    total: UInt8[np.ndarray, "side side 3"]


def levels_of(store: Store, record: Record) -> list[Level]:
    """The levels to show, coarse to fine.

    Raises:
        UserError: the levels are missing or damaged.
    """
    levels = store.read_levels(record)
    if not levels:
        raise UserError(
            f"{record.sample.name}: an earlier version made it without levels; delete it and make it again."
        )
    side_px = store.read_image(record.image).shape[0]
    parts = contributions(levels, record.sample.all_settings["pyramid"], side_px)
    return [
        Level(parts.sizes_px[place], _as_bytes(stretch(alone)[0]), _as_bytes(total))
        for place, alone, total in zip(parts.shown, parts.alone, parts.sums, strict=True)
    ]


def levels_html(levels: Sequence[Level]) -> str:
    """The levels side by side, in rows that fit the page."""
    figures = (
        f'<figure><img src="{_source(level.alone)}" alt="Level of {level.size_px} px alone">'
        f'<img src="{_source(level.total)}" alt="Image from all levels up to {level.size_px} px">'
        f"<figcaption>{level.size_px} px</figcaption></figure>"
        for level in levels
    )
    return f'<div class="das-levels">{"".join(figures)}</div>'


def _source(picture: UInt8[np.ndarray, "side side 3"]) -> str:
    buffer, image = io.BytesIO(), Image.fromarray(picture)
    image.thumbnail((_SIDE_PX, _SIDE_PX))
    image.save(buffer, format="WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _as_bytes(rgb: Float[np.ndarray, "side side 3"]) -> UInt8[np.ndarray, "side side 3"]:
    return (np.clip(rgb, 0, 1) * 255).astype(np.uint8)
