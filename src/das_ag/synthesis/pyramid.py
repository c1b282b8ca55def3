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
"""What the canvas in [-1, 1] means: `clip_normalised`, a pixel as CLIP sees it, so that RGB stays within mean ± std
(the published pictures); `full`, RGB = (canvas + 1) / 2 (the DAS paper); `decorrelated`, the same RGB, but the levels
hold brightness and two contrasts of colour, which photographs vary independently, in place of red, green and blue."""


@dataclass(frozen=True)
class PyramidSettings:
    """How the image is parameterised.

    Attributes:
        canvas_px: side of the canvas.
        levels: `powers_of_two` (1, 2, 4, … up to the canvas) or `all_resolutions` (1, 2, 3, … up to the canvas).
        max_level_px: the largest level; at most the canvas, and for `powers_of_two` the powers up to it.
        combine: `mean` or `sum` over the levels.
        initial: `scaled_noise`, standard normal over the level's size, or `zeros`.
        interpolation: how levels are brought to the size of the largest, and what they make to that of the canvas.
        gamut: see `GAMUTS`.
        gamut_gain: of `decorrelated`: RGB = sigmoid(gain · C · x), C the basis over the length of its longest column.
        initial_scale: of `scaled_noise`: what it is multiplied with.
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
    """Levels to start from, coarse to fine, one row for each generator, float32."""
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

    Source: DAS (arXiv:2502.07753), every size, zeros, sum; DAS-AG v1, powers of two, noise, mean.
    """

    def __init__(self, levels: Sequence[Float[Tensor, "batch 3 _ _"]], settings: PyramidSettings) -> None:
        sizes = tuple(level.shape[-1] for level in levels)
        if sizes != settings.sizes_px:
            raise ValueError(f"levels: expected sizes {settings.sizes_px}, got {sizes}; pass one level for each size.")
        self.settings = settings
        self.levels = [level.detach().clone().requires_grad_(True) for level in levels]

    def canvas(self) -> Float[Tensor, "batch 3 size size"]:
        """The levels combined at the size of the largest and brought to the canvas', then tanh: values in [-1, 1]."""
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
    """Scale and offset that take a canvas in [-1, 1] to CLIP-normalised pixels, which the model sees."""
    mean, std = clip_statistics(like)
    if gamut == "clip_normalised":
        return torch.ones_like(mean), torch.zeros_like(mean)
    return 0.5 / std, (0.5 - mean) / std


def as_rgb(canvas: Float[Tensor, "batch 3 h w"], gamut: str) -> Float[Tensor, "batch 3 h w"]:
    """Canvas in [-1, 1] to RGB in 0…1."""
    if gamut == "clip_normalised":
        mean, std = clip_statistics(canvas)
        return canvas * std + mean  # mean ± std lie within 0…1
    return (canvas + 1) / 2
