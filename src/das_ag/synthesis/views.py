"""Random views of the canvas: one function draws the random numbers, another applies them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from das_ag.errors import UserError
from das_ag.synthesis.noise import fill_with_resized_noise
from das_ag.synthesis.pyramid import seen_colours
from das_ag.synthesis.resize import resize
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.windows import resized_windows


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

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"views.count: expected at least 1, got {self.count}; the published value is 8.")
        if self.max_shift_px < 0:
            raise UserError(f"views.max_shift_px: expected at least 0, got {self.max_shift_px}; raise it.")
        for name in ("noise", "colour_shift"):
            schedule: Schedule = getattr(self, name)
            if min(schedule.start, schedule.end) < 0:
                raise UserError(f"views.{name}: expected start and end of at least 0, got {schedule}; raise them.")
        if not 0 <= self.crops <= 1:
            raise UserError(
                f"views.crops: expected a share from 0 to 1, got {self.crops}; 0.5 makes half of the views."
            )
        if not 0 < self.crop_size[0] <= self.crop_size[1] <= 1:
            raise UserError(
                f"views.crop_size: expected two shares of the canvas, the smaller first, got {list(self.crop_size)}; "
                "try [0.4,0.9]."
            )


@dataclass(frozen=True)
class ViewNumbers:
    """The random numbers of one step, for a batch of samples with B views each.

    Attributes:
        shift_px: (dy, dx) by which each view's picture is moved down and right, in [-m, m], on the CPU.
        crop_px: (side, top, left) of each crop on the canvas, on the CPU; None where no view is one.
        gain: u / c of the colour change, in [-1, 1].
        offset: v / c of the colour change, in [-1, 1].
        noise: standard normal noise on the canvas without its border, as it reaches the model's size.
    """

    shift_px: Int[Tensor, "batch views 2"]
    gain: Float[Tensor, "batch views 3 1 1"]
    offset: Float[Tensor, "batch views 3 1 1"]
    noise: Float[Tensor, "batch views 3 image image"]
    crop_px: Int[Tensor, "batch crops 3"] | None = None


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

    Source: DAS-AG v1. differs: where the window shrinks on its way to the model, the noise is drawn at the size at
    which it arrives. It acts on nothing before, and has exactly the same distribution (`fill_with_resized_noise`).
    """
    b, m, image_px, on = settings.count, settings.max_shift_px, geometry.image_size_px, generators[0].device
    noise = torch.empty(len(generators), b * 3, image_px, image_px, device=on)
    canvas_px = geometry.window_px + 2 * m
    shifts, colours, crops = [], [], []
    for g, own in zip(generators, noise, strict=True):
        shifts.append(torch.randint(-m, m + 1, (b, 2), generator=g, device=on))
        colours.append(torch.rand(2, b, 3, 1, 1, generator=g, device=on))
        fill_with_resized_noise(own, geometry.window_px, geometry.interpolation, g)
        if settings.crops_in_step:
            crops.append(_draw_crops(settings, canvas_px, g))
    gain, offset = (torch.stack(colours, dim=1) * 2 - 1).to(device)
    return ViewNumbers(
        shift_px=torch.stack(shifts).cpu(), gain=gain, offset=offset, noise=noise.unflatten(1, (b, 3)).to(device),
        crop_px=torch.stack(crops).cpu() if crops else None,
    )  # fmt: skip


_CROP_GRID_PX = 4
"""Sides of crops are multiples of this, so that few resizing matrices serve them all."""


def _draw_crops(settings: ViewSettings, canvas_px: int, generator: Generator) -> Int[Tensor, "crops 3"]:
    """Side, top and left of one sample's crops: sides uniform, then places uniform among those that fit."""
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
    """Applies the numbers: shift, cut, colour change, noise, resize, in this order.

    Args:
        canvas: values in [-1, 1].
        noise, colour_shift: the step's standard deviation and half width.

    Returns:
        CLIP-normalised pixels.

    Source: DAS-AG v1. differs: cuts an offset window where the original rolls and then cuts, the same pixels; resizes
    the noise by itself, and mostly the canvas before the colour change, on fewer pixels: resizing is linear and leaves
    a constant as it is.
    """
    corners = (canvas.shape[-1] - geometry.window_px) // 2 - numbers.shift_px
    scale, offset = seen_colours(geometry.gamut, canvas)
    gain = (numbers.gain * colour_shift).exp()
    gain, offset = gain * scale, torch.addcmul(numbers.offset * colour_shift, gain, offset)
    whole = corners.shape[1] - (0 if numbers.crop_px is None else numbers.crop_px.shape[1])
    windows = resized_windows(
        canvas, corners[:, :whole], geometry.window_px, geometry.image_size_px, geometry.interpolation,
        gain=gain[:, :whole], offset=offset[:, :whole], noise=numbers.noise[:, :whole], deviation=noise,
    )  # fmt: skip
    if numbers.crop_px is None:
        return windows
    crops = resized_crops(canvas, numbers.crop_px, geometry.image_size_px, geometry.interpolation)
    crops = torch.addcmul(offset[:, whole:], crops, gain[:, whole:])
    return torch.cat([windows, torch.add(crops, numbers.noise[:, whole:], alpha=noise)], dim=1)


def resized_crops(
    canvas: Float[Tensor, "batch 3 size size"],
    crop_px: Int[Tensor, "batch crops 3"],
    image_size_px: int,
    interpolation: str,
) -> Float[Tensor, "batch crops 3 image image"]:
    """Squares of the canvas, given by side, top and left, each resized."""
    size = (image_size_px, image_size_px)
    return torch.stack([
        torch.stack([
            resize(pixels[:, top : top + side, left : left + side], size, interpolation) for side, top, left in crops
        ])
        for pixels, crops in zip(canvas, crop_px.tolist(), strict=True)
    ])  # fmt: skip


def plain_view(
    canvas: Float[Tensor, "batch 3 size size"], geometry: ViewGeometry
) -> Float[Tensor, "batch 1 3 image image"]:
    """The canvas without its border, brought to the model's size and colours."""
    border_px = (canvas.shape[-1] - geometry.window_px) // 2
    window = slice(border_px, border_px + geometry.window_px)
    size = (geometry.image_size_px, geometry.image_size_px)
    scale, offset = seen_colours(geometry.gamut, canvas)
    return resize(canvas[:, None, :, window, window], size, geometry.interpolation) * scale + offset
