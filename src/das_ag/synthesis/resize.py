"""Resizing as matrix products.

Interpolation is linear and separable: M·X·Mᵀ with constant M gives what `F.interpolate` gives, and its gradient is a
matrix product too, which CUDA computes deterministically where PyTorch's own upsampling does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
_BAND_PX = 32
"""Outputs of a band: fewer need fewer inputs, and more products."""
_DENSE_PX = 128
"""Where the smaller side has no more pixels, one product is faster than its bands."""

Taps = tuple[tuple[int, float], ...]
"""Inputs that an output is made of: place and weight of each."""


def sum_resized(
    pictures: Sequence[Float[Tensor, "*batch _ _"]], size: tuple[int, int], interpolation: str
) -> Float[Tensor, "*batch height width"]:
    """Pictures of any sizes, each brought to `size` (height, width), and their sum, in memory of its own."""
    return _SumResized.apply(size, interpolation, *pictures)


def resize(
    pictures: Float[Tensor, "*batch h w"], size: tuple[int, int], interpolation: str = "bilinear"
) -> Float[Tensor, "*batch out_h out_w"]:
    """Resizes pictures to `size` (height, width); equal to `F.interpolate(..., antialias=False)`."""
    return pictures if pictures.shape[-2:] == size else sum_resized([pictures], size, interpolation)


@lru_cache(maxsize=4096)
def _matrix(
    size_out: int, size_in: int, interpolation: str, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "out in"]:
    """Column j is the resized unit impulse at place j, so every convention of `F.interpolate` carries over."""
    impulses = torch.eye(size_in, dtype=torch.float64)[:, None, :, None]  # a batch of pictures of one column
    options = {} if interpolation == "nearest" else {"align_corners": False}
    columns = F.interpolate(impulses, size=(size_out, 1), mode=interpolation, **options)
    return columns[:, 0, :, 0].T.contiguous().to(dtype=dtype, device=device)


def resize_matrix(size_out: int, size_in: int, interpolation: str, like: Tensor) -> Float[Tensor, "out in"]:
    """The matrix that resizes a column of `size_in` pixels to `size_out`, in the dtype and on the device of `like`.

    Args:
        interpolation: `bilinear`, `bicubic` or `nearest`, without antialiasing, `align_corners=False`.
    """
    return _matrix(size_out, size_in, interpolation, like.dtype, like.device)


@dataclass(frozen=True)
class Polyphase:
    """A resizing that repeats: one input further on by `period`, one output further on by the number of phases.

    Attributes:
        period: inputs after which it repeats.
        taps: of each phase, the inputs that its outputs are made of: how far from the period's first, and weight.
    """

    period: int
    taps: tuple[Taps, ...]

    @property
    def count(self) -> int:
        """Phases, which are the outputs of a period."""
        return len(self.taps)


@lru_cache(maxsize=64)
def polyphase(size_out: int, size_in: int, interpolation: str) -> Polyphase | None:
    """The repeating pattern of a resizing; None where there is none, as at edges beyond which there are taps."""
    periods = math.gcd(size_out, size_in)
    matrix = _matrix(size_out, size_in, interpolation, torch.float64, torch.device("cpu"))
    blocks = matrix.view(periods, size_out // periods, periods, size_in // periods)
    first = blocks[0, :, 0]
    if not torch.allclose(matrix, torch.block_diag(*[first] * periods), rtol=0, atol=1e-12):
        return None
    taps = tuple(tuple((int(place), float(row[place])) for place in row.nonzero()[:, 0]) for row in first)
    return Polyphase(size_in // periods, taps)


@dataclass(frozen=True)
class _Band:
    """Some neighbouring outputs of a resizing, or of several that are added up, and the inputs that they are made of.

    Attributes:
        outputs: their places.
        inputs: the places of all that any of them needs.
        matrix: from the one to the other.
    """

    outputs: slice
    inputs: Int[Tensor, " k"]
    matrix: Float[Tensor, "out k"]


@lru_cache(maxsize=64)
def _side_by_side(
    size_out: int, sizes_in: tuple[int, ...], interpolation: str, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "out k"]:
    """The matrices of some resizings."""
    return torch.cat([_matrix(size_out, size, interpolation, dtype, device) for size in sizes_in], dim=1)


@lru_cache(maxsize=64)
def _bands(
    size_out: int, sizes_in: tuple[int, ...], interpolation: str, dtype: torch.dtype, device: torch.device
) -> tuple[_Band, ...]:
    """The same, cut into bands of rows, each without its columns of zeros."""
    matrices = [_matrix(size_out, size, interpolation, dtype, device) for size in sizes_in]
    bands = []
    for first in range(0, size_out, _BAND_PX):
        rows = torch.cat([matrix[first : first + _BAND_PX] for matrix in matrices], dim=1)
        inputs = rows.any(dim=0).nonzero()[:, 0]
        bands.append(_Band(slice(first, first + len(rows)), inputs, rows[:, inputs].contiguous()))
    return tuple(bands)


class _SumResized(torch.autograd.Function):
    """Each picture is widened by itself; then all are heightened and added up by one product."""

    @staticmethod
    def forward(ctx: Any, size: tuple[int, int], interpolation: str, *pictures: Tensor) -> Tensor:
        height, width = size
        ctx.shapes, ctx.interpolation = [picture.shape for picture in pictures], interpolation
        widened = [_widen(picture, width, interpolation) for picture in pictures]
        small = [lines for lines in widened if lines.shape[-2] != height]
        heights = tuple(lines.shape[-2] for lines in small)
        total = None
        if small:
            below_each_other = torch.cat(small, dim=-2) if len(small) > 1 else small[0]
            total = _multiply(below_each_other, height, heights, interpolation)
        for lines, picture in zip(widened, pictures, strict=True):
            if lines.shape[-2] == height:
                own = lines.clone() if total is None and lines is picture else lines
                total = own if total is None else total.add_(own)
        assert total is not None
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), interpolation = gradients, ctx.interpolation
        *_, height, _ = gradient.shape
        heights = tuple(shape[-2] for shape in ctx.shapes if shape[-2] != height)
        small = iter(_multiply_gradient(gradient, heights, interpolation).split(heights, dim=-2) if heights else ())
        lines = [gradient if shape[-2] == height else next(small) for shape in ctx.shapes]
        pictures = [_widen_gradient(g, shape[-1], interpolation) for g, shape in zip(lines, ctx.shapes, strict=True)]
        return None, None, *pictures


def _widen(picture: Float[Tensor, "*batch h w"], width: int, interpolation: str) -> Float[Tensor, "*batch h width"]:
    """A picture resized along its lines."""
    before = picture.shape[-1]
    if before == width:
        return picture
    if min(before, width) > _DENSE_PX:
        return _multiply(picture.mT, width, (before,), interpolation).mT
    return picture @ resize_matrix(width, before, interpolation, picture).T


def _widen_gradient(
    gradient: Float[Tensor, "*batch h width"], before: int, interpolation: str
) -> Float[Tensor, "*batch h w"]:
    """The gradient of `_widen`, w being `before`."""
    width = gradient.shape[-1]
    if before == width:
        return gradient
    if min(before, width) > _DENSE_PX:
        return _multiply_gradient(gradient.mT, (before,), interpolation).mT
    return gradient @ resize_matrix(width, before, interpolation, gradient)


def _multiply(
    lines: Float[Tensor, "*batch k w"], size_out: int, sizes_in: tuple[int, ...], interpolation: str
) -> Float[Tensor, "*batch out w"]:
    """Lines, those of several pictures one below the other, resized along their columns and added up."""
    if min(size_out, lines.shape[-2]) <= _DENSE_PX:
        return _bmm(_side_by_side(size_out, sizes_in, interpolation, lines.dtype, lines.device), lines)
    made = lines.new_empty(*lines.shape[:-2], size_out, lines.shape[-1])
    for band in _bands(size_out, sizes_in, interpolation, lines.dtype, lines.device):
        made[..., band.outputs, :] = band.matrix @ lines.index_select(-2, band.inputs)
    return made


def _multiply_gradient(
    gradient: Float[Tensor, "*batch out w"], sizes_in: tuple[int, ...], interpolation: str
) -> Float[Tensor, "*batch k w"]:
    """The gradient of `_multiply`."""
    size_out, inputs = gradient.shape[-2], sum(sizes_in)
    if min(size_out, inputs) <= _DENSE_PX:
        return _bmm(_side_by_side(size_out, sizes_in, interpolation, gradient.dtype, gradient.device).T, gradient)
    lines = gradient.new_zeros(*gradient.shape[:-2], inputs, gradient.shape[-1])
    for band in _bands(size_out, sizes_in, interpolation, gradient.dtype, gradient.device):
        lines.index_add_(-2, band.inputs, band.matrix.T @ gradient[..., band.outputs, :])
    return lines


def _bmm(matrix: Float[Tensor, "out k"], lines: Float[Tensor, "*batch k w"]) -> Float[Tensor, "*batch out w"]:
    """The product without the copies that `matmul` makes to have but one."""
    pictures = lines.reshape(-1, *lines.shape[-2:])
    made = lines.new_empty(*lines.shape[:-2], len(matrix), lines.shape[-1])
    torch.bmm(matrix.expand(len(pictures), -1, -1), pictures, out=made.view(-1, *made.shape[-2:]))
    return made
