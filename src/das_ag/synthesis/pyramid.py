"""The image as a pyramid: trainable levels of every size, summed into one canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from das_ag.colour import CLIP_MEAN, CLIP_STD, COLOUR_BASIS
from das_ag.synthesis.resize import sum_resized

LEVELS = ("powers_of_two", "all_resolutions")
COMBINE = ("mean", "sum")
INITIAL = ("scaled_noise", "zeros")

GAMUTS = ("clip_normalised", "full", "decorrelated")
"""Meaning of the canvas in [-1, 1]. `clip_normalised`: CLIP-normalised colours, so RGB stays within mean ± std (the
published pictures). `full`: RGB = (canvas + 1) / 2 (the DAS paper). `decorrelated`: the same RGB, but the levels hold
brightness and two colour contrasts, which are uncorrelated in photographs, instead of red, green and blue."""


@dataclass(frozen=True)
class PyramidSettings:
    """How the image is parameterised.

    Attributes:
        canvas_px: side of the canvas.
        levels: `powers_of_two` (1, 2, 4, … up to the canvas) or `all_resolutions` (1, 2, 3, … up to the canvas).
        max_level_px: the largest level; at most the canvas, and for `powers_of_two` the powers up to it.
        combine: `mean` or `sum` over the levels.
        initial: `scaled_noise`, standard normal over the level's size, or `zeros`.
        interpolation: resizes the levels to the largest level, and the combined levels to the canvas.
        gamut: one of `GAMUTS`.
        gamut_gain: for `decorrelated`: RGB = sigmoid(gain · C · x); C is the basis over the norm of its longest column.
        initial_scale: for `scaled_noise`: factor of the noise.
    """

    canvas_px: int
    levels: str
    max_level_px: int
    combine: str
    initial: str
    interpolation: str
    gamut: str
    gamut_gain: float = 4.0
    initial_scale: float = 1.0

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """Sides of the levels, coarse to fine."""
        if self.levels == "all_resolutions":
            return tuple(range(1, self.max_level_px + 1))
        return tuple(2**k for k in range(self.max_level_px.bit_length()))


def initial_levels(
    settings: PyramidSettings, generators: Sequence[Generator], device: torch.device | str = "cpu"
) -> list[Float[Tensor, "batch 3 s s"]]:
    """Initial levels, coarse to fine, one row for each generator, float32."""
    levels = []
    for size in settings.sizes_px:
        if settings.initial == "zeros":
            level = torch.zeros(len(generators), 3, size, size, device=device)
        else:
            drawn = [torch.randn(3, size, size, generator=g, device=g.device) for g in generators]
            level = torch.stack(drawn).to(device) / size * settings.initial_scale
        levels.append(level)
    return levels


class Pyramid:
    """Trainable levels of a batch of images.

    Args:
        levels: one tensor (batch, 3, s, s) for each size, coarse to fine, float32; copied.

    Source: DAS (arXiv:2502.07753): every size, zeros, sum. DAS-AG v1: powers of two, noise, mean.
    """

    def __init__(self, levels: Sequence[Float[Tensor, "batch 3 _ _"]], settings: PyramidSettings) -> None:
        sizes = tuple(level.shape[-1] for level in levels)
        if sizes != settings.sizes_px:
            raise ValueError(f"levels: expected sizes {settings.sizes_px}, got {sizes}; pass one level for each size.")
        self.settings = settings
        self.levels = [level.detach().clone().requires_grad_(True) for level in levels]

    def canvas(self) -> Float[Tensor, "batch 3 size size"]:
        """Combines the levels at the largest size, resizes to the canvas, applies tanh: values in [-1, 1]."""
        s, largest = self.settings, self.levels[-1].shape[-1]
        total = sum_resized(self.levels, (largest, largest), s.interpolation)
        if s.combine == "mean":
            total = total / len(self.levels)
        if s.gamut == "decorrelated":
            total = self._mix(total)
        return torch.tanh(sum_resized([total], (s.canvas_px, s.canvas_px), s.interpolation))

    def _mix(self, pixels: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch 3 h w"]:
        """Decorrelated colours to RGB, both before tanh; 2 · sigmoid(x) - 1 = tanh(x / 2)."""
        basis = pixels.new_tensor(COLOUR_BASIS)
        basis = basis / basis.norm(dim=0).max() * (self.settings.gamut_gain / 2)
        return (basis @ pixels.flatten(2)).view_as(pixels)


def clip_statistics(like: Tensor) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
    """CLIP's mean and standard deviation per channel, in the dtype and on the device of `like`."""
    return like.new_tensor(CLIP_MEAN)[:, None, None], like.new_tensor(CLIP_STD)[:, None, None]


def seen_colours(gamut: str, like: Tensor) -> tuple[Float[Tensor, "3 1 1"], Float[Tensor, "3 1 1"]]:
    """Scale and offset that convert a canvas in [-1, 1] to CLIP-normalised pixels, the model's input."""
    mean, std = clip_statistics(like)
    if gamut == "clip_normalised":
        return torch.ones_like(mean), torch.zeros_like(mean)
    return 0.5 / std, (0.5 - mean) / std


def as_rgb(canvas: Float[Tensor, "batch 3 h w"], gamut: str) -> Float[Tensor, "batch 3 h w"]:
    """Converts a canvas in [-1, 1] to RGB in 0…1."""
    if gamut == "clip_normalised":
        mean, std = clip_statistics(canvas)
        return canvas * std + mean  # mean ± std lie within 0…1
    return (canvas + 1) / 2
