"""Random views of the canvas: `draw_view_numbers` draws the random numbers, `random_views` applies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from das_ag.synthesis.pyramid import seen_colours
from das_ag.synthesis.resize import resize, resize_matrix
from das_ag.synthesis.schedules import Schedule


@dataclass(frozen=True)
class ViewSettings:
    """Settings of the views.

    Attributes:
        count: views of each sample in each step, B.
        max_shift_px: m; also the width of the border, which the final image does not include.
        noise: standard deviation of the Gaussian noise by step, in CLIP-normalised units.
        colour_shift: half width c of the uniform colour change by step: x·exp(u) + v with u, v in [-c, c].
        augment: False for a single view of the canvas without its border, with no shift, colour change or noise.
        crops: share of the views that are random square crops of the canvas instead of windows of the image's size. A
            crop shows a detail at the model's full resolution. Rounded to whole views; 0 in the published settings.
        crop_size: smallest and largest side of a crop, as a share of the canvas' side.
    """

    count: int
    max_shift_px: int
    noise: Schedule
    colour_shift: Schedule
    augment: bool
    crops: float = 0.0
    crop_size: tuple[float, float] = (0.4, 0.9)

    @property
    def crops_in_step(self) -> int:
        """Number of crops among the views of each sample; the crops come last."""
        return round(self.count * self.crops)

    @property
    def views_in_step(self) -> int:
        """Number of views of each sample in a step."""
        return self.count if self.augment else 1


@dataclass(frozen=True)
class ViewNumbers:
    """The random numbers of one step, for a batch of samples with B views each.

    Attributes:
        square_px: (side, top, left) of each view's square of the canvas, on the CPU.
        gain: u / c of the colour change, in [-1, 1].
        offset: v / c of the colour change, in [-1, 1].
        noise: noise at the model's size; on the canvas it has standard deviation 1.
    """

    square_px: Int[Tensor, "batch views 3"]
    gain: Float[Tensor, "batch views 3 1 1"]
    offset: Float[Tensor, "batch views 3 1 1"]
    noise: Float[Tensor, "batch views 3 image image"]


@dataclass(frozen=True)
class ViewGeometry:
    """The geometry and colours that map the canvas to the model's input.

    Attributes:
        window_px: side of the window: the canvas without its border.
        image_size_px: side of the model's input.
        interpolation: resizes the window to the model's input.
        gamut: the canvas' gamut; the model's input is CLIP-normalised.
    """

    window_px: int
    image_size_px: int
    interpolation: str = "bilinear"
    gamut: str = "clip_normalised"


def draw_view_numbers(
    settings: ViewSettings, geometry: ViewGeometry, generators: Sequence[Generator], device: torch.device | str = "cpu"
) -> ViewNumbers:
    """Draws a step's numbers; each sample uses its own generator, so it gets the same numbers in any batch.

    Source: DAS-AG v1. differs: the noise is sampled directly at the model's resolution, with the variance of resized
    noise (`noise_scale`), since only the resized noise has an effect.
    """
    b, m, image_px = settings.count, settings.max_shift_px, geometry.image_size_px
    squares, colours = [], []
    noise = torch.empty(len(generators), b, 3, image_px, image_px, device=generators[0].device)
    for g, own_noise in zip(generators, noise, strict=True):
        shift = torch.randint(-m, m + 1, (b, 2), generator=g, device=g.device)
        colours.append(torch.rand(2, b, 3, 1, 1, generator=g, device=g.device) * 2 - 1)
        own_noise.normal_(std=noise_scale(geometry), generator=g)
        windows = windows_at(shift, geometry.window_px, m)[: b - settings.crops_in_step]
        crops = _draw_crops(settings, geometry.window_px + 2 * m, g)
        squares.append(torch.cat([windows, crops]))
    gain, offset = torch.stack(colours, dim=1).to(device)
    return ViewNumbers(torch.stack(squares).cpu(), gain, offset, noise.to(device))


def windows_at(shift_px: Int[Tensor, "*views 2"], window_px: int, max_shift_px: int) -> Int[Tensor, "*views 3"]:
    """Squares that show what the middle of the canvas shows after a shift down and right by (dy, dx)."""
    return torch.cat([torch.full_like(shift_px[..., :1], window_px), max_shift_px - shift_px], dim=-1)


@lru_cache
def noise_scale(geometry: ViewGeometry) -> float:
    """Standard deviation of noise after resizing, mean over pixels; before resizing it is 1.

    If the sizes are equal or 2 : 1, as published, resized noise is white, so this number describes it completely. At
    other ratios, resizing would also correlate neighbouring pixels; this noise stays white.
    """
    like = torch.empty(0, dtype=torch.float64)
    matrix = resize_matrix(geometry.image_size_px, geometry.window_px, geometry.interpolation, like)
    return float(matrix.square().sum(dim=1).mean())  # two axes, each with the square root of this factor


_CROP_GRID_PX = 4
"""Sides of crops are multiples of this, so that few resizing matrices are needed."""


def _draw_crops(settings: ViewSettings, canvas_px: int, generator: Generator) -> Int[Tensor, "crops 3"]:
    """Squares of one sample's crops: uniform sides, then uniform positions among those that fit."""
    smallest, largest = settings.crop_size
    size, *place = torch.rand(3, settings.crops_in_step, generator=generator, device=generator.device)
    side = (canvas_px * (smallest + (largest - smallest) * size) / _CROP_GRID_PX).round().long() * _CROP_GRID_PX
    side = side.clamp(min(_CROP_GRID_PX, canvas_px), canvas_px)
    top, left = ((share * (canvas_px - side + 1)).long() for share in place)
    return torch.stack([side, top, left], dim=1)


def random_views(
    canvas: Float[Tensor, "batch 3 size size"],
    numbers: ViewNumbers,
    noise: float,
    colour_shift: float,
    geometry: ViewGeometry,
) -> Float[Tensor, "batch views 3 image image"]:
    """Applies the random numbers: crops, resizes, changes colours, adds noise.

    Args:
        canvas: values in [-1, 1].
        noise, colour_shift: the step's standard deviation and half width.

    Returns:
        CLIP-normalised pixels.

    Source: DAS-AG v1, which shifts, changes colours, adds noise, crops and resizes. differs: a shifted window replaces
    rolling and cropping; resizing comes first. Both give the same result, since resizing is linear and preserves
    constants.
    """
    scale, offset = seen_colours(geometry.gamut, canvas)
    gain = (numbers.gain * colour_shift).exp()
    pictures = cut(canvas, numbers.square_px, geometry)
    coloured = torch.addcmul(offset * gain + numbers.offset * colour_shift, pictures, scale * gain)
    return torch.add(coloured, numbers.noise, alpha=noise)


def cut(
    canvas: Float[Tensor, "batch 3 size size"], square_px: Int[Tensor, "batch views 3"], geometry: ViewGeometry
) -> Float[Tensor, "batch views 3 image image"]:
    """Cuts squares out of the canvas and resizes each to the model's size."""
    size = (geometry.image_size_px, geometry.image_size_px)
    views = [
        resize(pixels[:, top : top + side, left : left + side], size, geometry.interpolation)
        for pixels, squares in zip(canvas, square_px.tolist(), strict=True)
        for side, top, left in squares
    ]
    return torch.stack(views).unflatten(0, square_px.shape[:2])


def plain_view(
    canvas: Float[Tensor, "batch 3 size size"], geometry: ViewGeometry
) -> Float[Tensor, "batch 1 3 image image"]:
    """The canvas without its border, at the model's size and in its colours."""
    border_px = (canvas.shape[-1] - geometry.window_px) // 2
    middle = torch.tensor([[[geometry.window_px, border_px, border_px]]]).expand(len(canvas), -1, -1)
    scale, offset = seen_colours(geometry.gamut, canvas)
    return cut(canvas, middle, geometry) * scale + offset
