"""Random views of the canvas: one function draws the random numbers, another applies them."""

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
    """How the canvas is looked at.

    Attributes:
        count: views of each sample in each step, B.
        max_shift_px: m; also the border that no view and no final image includes.
        noise: standard deviation of the Gaussian noise by step, in CLIP-normalised units.
        colour_shift: half width c of the uniform colour change by step: x·exp(u) + v with u, v in [-c, c].
        augment: False for one view that is cut but neither shifted, changed in colour nor made noisy.
        crops: share of the views that are random square crops of the canvas instead of windows as large as the image:
            details get as many pixels of the model's input as the whole has. Rounded to whole views; 0 in the
            published settings.
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
        """Views of each sample that are crops; they are the last."""
        return round(self.count * self.crops)

    @property
    def views_in_step(self) -> int:
        """Views of each sample that the model sees in a step."""
        return self.count if self.augment else 1


@dataclass(frozen=True)
class ViewNumbers:
    """The random numbers of one step, for a batch of samples with B views each.

    Attributes:
        square_px: (side, top, left) of what each view shows of the canvas, on the CPU.
        gain: u / c of the colour change, in [-1, 1].
        offset: v / c of the colour change, in [-1, 1].
        noise: of standard deviation 1 on the canvas, as it reaches the model's size.
    """

    square_px: Int[Tensor, "batch views 3"]
    gain: Float[Tensor, "batch views 3 1 1"]
    offset: Float[Tensor, "batch views 3 1 1"]
    noise: Float[Tensor, "batch views 3 image image"]


@dataclass(frozen=True)
class ViewGeometry:
    """What becomes of a canvas on its way to the model.

    Attributes:
        window_px: side of what is cut out of the canvas: all but its border.
        image_size_px: side of the model's input.
        interpolation: that brings the one to the other.
        gamut: of the canvas; the model sees CLIP-normalised colours.
    """

    window_px: int
    image_size_px: int
    interpolation: str = "bilinear"
    gamut: str = "clip_normalised"


def draw_view_numbers(
    settings: ViewSettings, geometry: ViewGeometry, generators: Sequence[Generator], device: torch.device | str = "cpu"
) -> ViewNumbers:
    """Draws a step's numbers; each sample from its own generator, so that it draws the same in any batch.

    Source: DAS-AG v1. differs: the noise is drawn at the model's size, with the variance that resized noise has there
    (`noise_scale`), since it acts on nothing before.
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
    """Squares that show what is in the middle of the canvas once it has been moved down and right by (dy, dx)."""
    return torch.cat([torch.full_like(shift_px[..., :1], window_px), max_shift_px - shift_px], dim=-1)


@lru_cache
def noise_scale(geometry: ViewGeometry) -> float:
    """Standard deviation that resizing leaves of noise of standard deviation 1, its mean over pixels.

    Where the sizes are equal or 2 : 1, as published, resized noise is white, and this all there is to it. Elsewhere
    resizing would also make neighbours alike.
    """
    like = torch.empty(0, dtype=torch.float64)
    matrix = resize_matrix(geometry.image_size_px, geometry.window_px, geometry.interpolation, like)
    return float(matrix.square().sum(dim=1).mean())  # along both axes, each a factor of its root


_CROP_GRID_PX = 4
"""Sides of crops are multiples of this, so that few resizing matrices serve them all."""


def _draw_crops(settings: ViewSettings, canvas_px: int, generator: Generator) -> Int[Tensor, "crops 3"]:
    """Squares of one sample's crops: sides uniform, then places uniform among those that fit."""
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
    """Applies the numbers: cut, resize, colour change, noise.

    Args:
        canvas: values in [-1, 1].
        noise, colour_shift: the step's standard deviation and half width.

    Returns:
        CLIP-normalised pixels.

    Source: DAS-AG v1, which shifts, changes colours, adds noise, cuts and resizes. differs: an offset window shows what
    rolling and then cutting does; and resizing comes first, which changes nothing, since it is linear and leaves a
    constant as it is.
    """
    scale, offset = seen_colours(geometry.gamut, canvas)
    gain = (numbers.gain * colour_shift).exp()
    pictures = cut(canvas, numbers.square_px, geometry)
    coloured = torch.addcmul(offset * gain + numbers.offset * colour_shift, pictures, scale * gain)
    return torch.add(coloured, numbers.noise, alpha=noise)


def cut(
    canvas: Float[Tensor, "batch 3 size size"], square_px: Int[Tensor, "batch views 3"], geometry: ViewGeometry
) -> Float[Tensor, "batch views 3 image image"]:
    """Squares of the canvas, each brought to the model's size."""
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
    """The canvas without its border, brought to the model's size and colours."""
    border_px = (canvas.shape[-1] - geometry.window_px) // 2
    middle = torch.tensor([[[geometry.window_px, border_px, border_px]]]).expand(len(canvas), -1, -1)
    scale, offset = seen_colours(geometry.gamut, canvas)
    return cut(canvas, middle, geometry) * scale + offset
