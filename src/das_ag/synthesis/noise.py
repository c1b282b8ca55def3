"""Noise as it is after a resizing, drawn at the size at which it arrives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from das_ag.synthesis.resize import polyphase, resize_matrix

_MAX_NOISE_PHASES = 4
"""More of them are faster as one product of matrices."""


@lru_cache(maxsize=64)
def noise_root(size_out: int, size_in: int, interpolation: str) -> Float[Tensor, "out k"]:
    """F with F·Fᵀ = M·Mᵀ, M being the resizing, and k the smaller of both sizes; float64, on the CPU."""
    matrix = resize_matrix(size_out, size_in, interpolation, torch.empty(0, dtype=torch.float64))
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
