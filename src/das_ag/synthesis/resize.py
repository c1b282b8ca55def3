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
def _matrix(size_out: int, size_in: int, interpolation: str) -> Float[Tensor, "out in"]:
    """Column j is the resized unit impulse at place j, so every convention of `F.interpolate` carries over."""
    impulses = torch.eye(size_in, dtype=torch.float64)[:, None, :, None]  # a batch of pictures of one column
    options = {} if interpolation == "nearest" else {"align_corners": False}
    columns = F.interpolate(impulses, size=(size_out, 1), mode=interpolation, **options)
    return columns[:, 0, :, 0].T.contiguous()


def resize_matrix(size_out: int, size_in: int, interpolation: str, like: Tensor) -> Float[Tensor, "out in"]:
    """The matrix that resizes a column of `size_in` pixels to `size_out`, in the dtype and on the device of `like`.

    Args:
        interpolation: `bilinear`, `bicubic` or `nearest`, without antialiasing, `align_corners=False`.
    """
    return _matrix(size_out, size_in, interpolation).to(like)


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
