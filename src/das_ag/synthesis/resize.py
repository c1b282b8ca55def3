"""Resizing as matrix products.

Interpolation is linear and separable: M·X·Mᵀ with constant M gives what `F.interpolate` gives, and its gradient is a
matrix product too, which CUDA computes deterministically where PyTorch's own upsampling does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
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


def fill_with_resized_noise(
    pictures: Float[Tensor, "n size size"], size_in: int, interpolation: str, generator: Generator
) -> None:
    """Fills pictures with numbers of the distribution that `size_in` × `size_in` standard normal ones, resized, have.

    Normal noise is known by its covariance alone: F·Z·Fᵀ of k × k numbers has exactly that of M·N·Mᵀ, and where
    pictures shrink it needs fewer.
    """
    size_out = pictures.shape[-1]
    phases = polyphase(size_out, size_in, interpolation) if size_out <= size_in else None
    root = noise_root(size_out, size_in, interpolation)
    if not phases or phases.count > _MAX_NOISE_PHASES:
        root = root.to(pictures)
        drawn = torch.randn(len(pictures), *root.shape[1:] * 2, generator=generator, device=generator.device)
        torch.matmul(root, drawn @ root.T, out=pictures)
        return
    torch.randn(pictures.shape, generator=generator, out=pictures)
    if size_out == size_in:
        return
    # Outputs of different periods share no input: the root is one small triangle again and again.
    triangle = root[: phases.count, : phases.count].tolist()
    for dim in (-2, -1):
        lines = pictures.unflatten(dim, (-1, phases.count))
        for row in reversed(range(phases.count)):
            line = lines.select(dim, row).mul_(triangle[row][row])
            for column in range(row):
                line.add_(lines.select(dim, column), alpha=triangle[row][column])


def resize(
    pictures: Float[Tensor, "*batch h w"], size: tuple[int, int], interpolation: str = "bilinear"
) -> Float[Tensor, "*batch out_h out_w"]:
    """Resizes pictures to `size` (height, width); equal to `F.interpolate(..., antialias=False)`."""
    height, width = pictures.shape[-2:]
    if width != size[1]:
        pictures = pictures @ resize_matrix(size[1], width, interpolation, pictures).T
    if height != size[0]:
        pictures = resize_matrix(size[0], height, interpolation, pictures) @ pictures
    return pictures
