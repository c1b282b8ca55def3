"""Resizes a level to the canvas like the synthesis, but without torch, which the report does not import."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from das_ag.errors import UserError

_TAPS = {"bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}


def widen(level: Float[np.ndarray, "3 s s"], size: int, interpolation: str) -> Float[np.ndarray, "3 size size"]:
    """Resizes a level to the canvas, float32.

    Args:
        size: side of the canvas, px.
        interpolation: `bilinear`, `bicubic` or `nearest`, as in `torch.nn.functional.interpolate`.

    Raises:
        UserError: the interpolation is unknown.
    """
    if level.shape[-1] == size:
        return level.astype(np.float32)
    matrix = widening_matrix(size, level.shape[-1], interpolation).astype(np.float32)
    return matrix @ level.astype(np.float32) @ matrix.T


def widening_matrix(size_out: int, size_in: int, interpolation: str) -> Float[np.ndarray, "size_out size_in"]:
    """The matrix that resizes a column of `size_in` pixels; pixels beyond the edge repeat the edge.

    Raises:
        UserError: see `widen`.
    """
    rows = np.arange(size_out)
    matrix = np.zeros((size_out, size_in))
    if interpolation == "nearest":
        scale = np.float32(size_in / size_out)  # torch computes in float32 here, which decides ties
        places = np.floor(rows.astype(np.float32) * scale).astype(int)
        matrix[rows, np.minimum(places, size_in - 1)] = 1
        return matrix
    if interpolation not in _TAPS:
        raise UserError(
            f"pyramid.interpolation: expected one of {', '.join([*_TAPS, 'nearest'])}, got {interpolation!r}; use the "
            "version of das-ag that made the sample."
        )
    places = (rows + 0.5) * size_in / size_out - 0.5
    first = np.floor(places).astype(int)
    for tap in _TAPS[interpolation]:
        columns = np.clip(first + tap, 0, size_in - 1)
        np.add.at(matrix, (rows, columns), _weight(np.abs(places - first - tap), interpolation))
    return matrix


def _weight(distance: Float[np.ndarray, " n"], interpolation: str) -> Float[np.ndarray, " n"]:
    """Weight of a pixel at a distance in pixels of the level. Source: Keys 1981, with PyTorch's a = -0.75."""
    if interpolation == "bilinear":
        return 1 - distance
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)
