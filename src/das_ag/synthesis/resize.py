"""Resizing as matrix products.

Interpolation is linear and separable: M·X·Mᵀ with constant M gives what `F.interpolate` gives, and its gradient is a
matrix product too, which CUDA computes deterministically where PyTorch's own upsampling does not.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
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


@lru_cache(maxsize=64)
def _root(
    size_out: int, size_in: int, interpolation: str, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "out k"]:
    matrix = _matrix(size_out, size_in, interpolation, torch.float64, torch.device("cpu"))
    root = torch.linalg.cholesky(matrix @ matrix.T) if size_out < size_in else matrix
    return root.to(dtype=dtype, device=device)


def noise_root(size_out: int, size_in: int, interpolation: str, like: Tensor) -> Float[Tensor, "out k"]:
    """F with F·Fᵀ = M·Mᵀ, M being the resizing, and k the smaller of both sizes.

    Normal noise is known by its covariance alone: F·Z·Fᵀ of k × k standard normal numbers has the same distribution as
    M·N·Mᵀ of `size_in` × `size_in` of them, and where pictures shrink it needs fewer.
    """
    return _root(size_out, size_in, interpolation, like.dtype, like.device)


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
