"""Resizing as matrix products.

Interpolation is linear and separable: M·X·Mᵀ with a constant M equals `F.interpolate`. The gradient is a matrix product
too, which CUDA computes deterministically; the gradient of PyTorch's own upsampling is not deterministic on CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


def _options(interpolation: str) -> dict[str, bool]:
    """Further arguments of `F.interpolate`; it accepts none for `nearest`."""
    return {} if interpolation == "nearest" else {"align_corners": False}


@lru_cache(maxsize=4096)
def _matrix(
    size_out: int, size_in: int, interpolation: str, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "out in"]:
    """Column j is the resized unit impulse at position j, so all conventions of `F.interpolate` apply."""
    impulses = torch.eye(size_in, dtype=torch.float64)[:, None, :, None]  # a batch of one-column pictures
    columns = F.interpolate(impulses, size=(size_out, 1), mode=interpolation, **_options(interpolation))
    return columns[:, 0, :, 0].T.contiguous().to(dtype=dtype, device=device)


def resize_matrix(size_out: int, size_in: int, interpolation: str, like: Tensor) -> Float[Tensor, "out in"]:
    """The matrix that resizes a column of `size_in` pixels to `size_out`, in the dtype and on the device of `like`.

    Args:
        interpolation: `bilinear`, `bicubic` or `nearest`, without antialiasing, `align_corners=False`.
    """
    return _matrix(size_out, size_in, interpolation, like.dtype, like.device)


def resize(
    pictures: Float[Tensor, "*batch h w"], size: tuple[int, int], interpolation: str = "bilinear"
) -> Float[Tensor, "*batch out_h out_w"]:
    """Resizes pictures to `size` (height, width); equal to `F.interpolate(..., antialias=False)`."""
    if pictures.shape[-2:] == size:
        return pictures
    if pictures.device.type != "cpu":
        return sum_resized([pictures], size, interpolation)
    # F.interpolate is deterministic on a CPU; with the default guide, matrix products would take 8 % of a step.
    channels = pictures.reshape(1, -1, *pictures.shape[-2:])
    return F.interpolate(channels, size, mode=interpolation, **_options(interpolation)).view(
        *pictures.shape[:-2], *size
    )


def sum_resized(
    pictures: Sequence[Float[Tensor, "*batch _ _"]], size: tuple[int, int], interpolation: str
) -> Float[Tensor, "*batch height width"]:
    """Resizes pictures of any sizes to `size` (height, width) by matrix products, and adds them up.

    Each picture is first resized along its width. The results are stacked vertically, so that one product both resizes
    along the height and sums.
    """
    others = [p for p in pictures if p.shape[-2:] != size]
    total = sum(p for p in pictures if p.shape[-2:] == size)
    if others:
        height, width = size
        wide = [p @ resize_matrix(width, p.shape[-1], interpolation, p).T for p in others]
        rows = [resize_matrix(height, p.shape[-2], interpolation, p) for p in others]
        columns = torch.cat(wide, dim=-2)
        columns = columns.reshape(-1, *columns.shape[-2:])
        made = torch.bmm(torch.cat(rows, dim=1).expand(len(columns), -1, -1), columns)  # one picture at a time
        total = total + made.view(*others[0].shape[:-2], height, width)
    return torch.as_tensor(total)
