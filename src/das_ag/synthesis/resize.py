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
from torch import Generator, Tensor
from torch.nn import functional as F

INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


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
    taps: tuple[tuple[tuple[int, float], ...], ...]

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


_MAX_NOISE_PHASES = 4
"""More of them are faster as one product of matrices."""


@lru_cache(maxsize=64)
def noise_root(size_out: int, size_in: int, interpolation: str) -> Float[Tensor, "out k"]:
    """F with F·Fᵀ = M·Mᵀ, M being the resizing, and k the smaller of both sizes; float64, on the CPU."""
    matrix = _matrix(size_out, size_in, interpolation, torch.float64, torch.device("cpu"))
    return torch.linalg.cholesky(matrix @ matrix.T) if size_out < size_in else matrix


@dataclass(frozen=True)
class _RepeatedRoot:
    """A root that is one small triangle again and again: outputs of different periods share no input.

    Attributes:
        triangle: below its diagonal, with ones on that.
        diagonals: what stood on the diagonal, for rows and columns at once.
    """

    triangle: tuple[tuple[float, ...], ...]
    diagonals: Float[Tensor, "size size"]


@lru_cache(maxsize=64)
def _repeated_root(
    size_out: int, size_in: int, interpolation: str, dtype: torch.dtype, device: torch.device
) -> _RepeatedRoot | None:
    """The root in few numbers; None where it has none."""
    phases = polyphase(size_out, size_in, interpolation) if size_out <= size_in else None
    if not phases or phases.count > _MAX_NOISE_PHASES:
        return None
    root = noise_root(size_out, size_in, interpolation)
    diagonal = root.diagonal()
    triangle = (root / diagonal[:, None])[: phases.count, : phases.count].tolist()
    below = tuple(tuple(row[:place]) for place, row in enumerate(triangle))
    return _RepeatedRoot(below, torch.outer(diagonal, diagonal).to(dtype=dtype, device=device))


def fill_with_resized_noise(
    pictures: Float[Tensor, "n size size"], size_in: int, interpolation: str, generator: Generator
) -> None:
    """Fills pictures with numbers of the distribution that `size_in` × `size_in` standard normal ones, resized, have.

    Normal noise is known by its covariance alone: F·Z·Fᵀ of k × k numbers has exactly that of M·N·Mᵀ, and where
    pictures shrink it needs fewer.
    """
    size_out = pictures.shape[-1]
    side = min(size_out, size_in)
    # Into memory of its own, which stays in the processor's cache.
    drawn = torch.randn(len(pictures), side, side, generator=generator, device=generator.device)
    repeated = _repeated_root(size_out, size_in, interpolation, drawn.dtype, drawn.device)
    if not repeated:
        root = noise_root(size_out, size_in, interpolation).to(drawn)
        torch.matmul(root, drawn @ root.T, out=pictures)
        return
    for dim in (-2, -1):
        lines = drawn.unflatten(dim, (-1, len(repeated.triangle)))
        for row, weights in reversed(list(enumerate(repeated.triangle))):
            for column, weight in enumerate(weights):
                lines.select(dim, row).add_(lines.select(dim, column), alpha=weight)
    torch.mul(drawn, repeated.diagonals, out=pictures)


_BAND_PX = 32
"""Outputs of a band: fewer need fewer inputs, and more products."""

_DENSE_PX = 128
"""Where the smaller side has no more pixels, one product is faster than its bands."""


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
def _bands(
    size_out: int, sizes_in: tuple[int, ...], interpolation: str, dtype: torch.dtype, device: torch.device
) -> tuple[_Band, ...]:
    """The matrices of some resizings side by side, cut into bands of rows, each without its columns of zeros."""
    matrices = [_matrix(size_out, size, interpolation, dtype, device) for size in sizes_in]
    bands = []
    for first in range(0, size_out, _BAND_PX):
        rows = torch.cat([matrix[first : first + _BAND_PX] for matrix in matrices], dim=1)
        inputs = rows.any(dim=0).nonzero()[:, 0]
        bands.append(_Band(slice(first, first + len(rows)), inputs, rows[:, inputs].contiguous()))
    return tuple(bands)


class _BandedProduct(torch.autograd.Function):
    """Lines of pictures, by the bands of a matrix: time grows as the outputs do, not as they and the inputs do."""

    @staticmethod
    def forward(ctx: Any, lines: Tensor, bands: tuple[_Band, ...]) -> Tensor:
        ctx.shape, ctx.bands = lines.shape, bands
        *batch, _, width = lines.shape
        made = lines.new_empty(*batch, bands[-1].outputs.stop, width)
        for band in bands:
            made[..., band.outputs, :] = band.matrix @ lines.index_select(-2, band.inputs)
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        lines = gradient.new_zeros(ctx.shape)
        for band in ctx.bands:
            lines.index_add_(-2, band.inputs, band.matrix.T @ gradient[..., band.outputs, :])
        return lines, None


def sum_heightened(
    pictures: Sequence[Float[Tensor, "*batch _ w"]], height: int, interpolation: str
) -> Float[Tensor, "*batch height w"]:
    """Pictures of one width, each brought to `height`, and their sum, in memory of its own."""
    sizes, like = tuple(picture.shape[-2] for picture in pictures), pictures[0]
    if min(height, sum(sizes)) <= _DENSE_PX:
        matrices = [resize_matrix(height, size, interpolation, like) for size in sizes]
        return torch.cat(matrices, dim=1) @ torch.cat(list(pictures), dim=-2)
    bands = _bands(height, sizes, interpolation, like.dtype, like.device)
    return _BandedProduct.apply(torch.cat(list(pictures), dim=-2), bands)


def resize(
    pictures: Float[Tensor, "*batch h w"], size: tuple[int, int], interpolation: str = "bilinear"
) -> Float[Tensor, "*batch out_h out_w"]:
    """Resizes pictures to `size` (height, width); equal to `F.interpolate(..., antialias=False)`."""
    height, width = pictures.shape[-2:]
    if width != size[1]:
        if min(width, size[1]) > _DENSE_PX:
            pictures = sum_heightened([pictures.mT], size[1], interpolation).mT
        else:
            pictures = pictures @ resize_matrix(size[1], width, interpolation, pictures).T
    return sum_heightened([pictures], size[0], interpolation) if height != size[0] else pictures
