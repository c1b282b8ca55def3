"""Random views of the canvas: one function draws the random numbers, another applies them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from das_ag.errors import UserError
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
    """

    count: int
    max_shift_px: int
    noise: Schedule
    colour_shift: Schedule
    augment: bool

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


@dataclass(frozen=True)
class ViewNumbers:
    """The random numbers of one step, for a batch of samples with B views each.

    Attributes:
        shift_px: (dy, dx) by which each view's picture is moved down and right, in [-m, m], on the CPU.
        gain: u / c of the colour change, in [-1, 1].
        offset: v / c of the colour change, in [-1, 1].
        noise: standard normal, the size of the canvas without its border.
    """

    shift_px: Int[Tensor, "batch views 2"]
    gain: Float[Tensor, "batch views 3 1 1"]
    offset: Float[Tensor, "batch views 3 1 1"]
    noise: Float[Tensor, "batch views 3 window window"]


def draw_view_numbers(
    settings: ViewSettings, window_px: int, generators: Sequence[Generator], device: torch.device | str = "cpu"
) -> ViewNumbers:
    """Draws a step's numbers; each sample from its own generator, so that it draws the same in any batch."""
    b, m = settings.count, settings.max_shift_px
    noise = torch.empty(len(generators), b, 3, window_px, window_px, device=generators[0].device)

    def draw(g: Generator, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shift = torch.randint(-m, m + 1, (b, 2), generator=g, device=g.device)
        gain, offset = (torch.rand(b, 3, 1, 1, generator=g, device=g.device) * 2 - 1 for _ in range(2))
        torch.randn(noise.shape, generator=g, out=noise)
        return shift, gain, offset

    # A generator draws on one core; those of several samples can draw at the same time.
    with ThreadPoolExecutor(max(1, torch.get_num_threads())) as pool:
        shift, gain, offset = zip(*pool.map(draw, generators, noise), strict=True)
    return ViewNumbers(
        shift_px=torch.stack(shift).cpu(),
        gain=torch.stack(gain).to(device),
        offset=torch.stack(offset).to(device),
        noise=noise.to(device),
    )


def random_views(
    pixels: Float[Tensor, "batch 3 size size"],
    numbers: ViewNumbers,
    noise: float,
    colour_shift: float,
    *,
    image_size_px: int,
    interpolation: str = "bilinear",
) -> Float[Tensor, "batch views 3 image image"]:
    """Applies the numbers: shift, cut, colour change, noise, resize, in this order.

    Args:
        pixels: what the model sees of the whole canvas, CLIP-normalised.
        noise, colour_shift: the step's standard deviation and half width.
        image_size_px: the side of the model's input.

    Source: DAS-AG v1. differs: cuts an offset window where the original rolls and then cuts, the same pixels; resizes
    picture and noise before the colour change, on fewer pixels: resizing is linear and leaves a constant as it is.
    """
    window_px = numbers.noise.shape[-1]
    corners = (pixels.shape[-1] - window_px) // 2 - numbers.shift_px
    views = resized_windows(pixels, corners, window_px, image_size_px, interpolation)
    noise_px = resize(numbers.noise, (image_size_px, image_size_px), interpolation)
    added = torch.add(numbers.offset * colour_shift, noise_px, alpha=noise)
    return torch.addcmul(added, views, (numbers.gain * colour_shift).exp())


def plain_view(
    pixels: Float[Tensor, "batch 3 size size"], border_px: int, image_size_px: int, interpolation: str = "bilinear"
) -> Float[Tensor, "batch 1 3 image image"]:
    """The canvas without its border, brought to the model's size."""
    window = slice(border_px, pixels.shape[-1] - border_px)
    return resize(pixels[:, None, :, window, window], (image_size_px, image_size_px), interpolation)


def resized_windows(
    pixels: Float[Tensor, "batch 3 h w"],
    corners: Int[Tensor, "batch views 2"],
    window_px: int,
    image_size_px: int,
    interpolation: str = "bilinear",
) -> Float[Tensor, "batch views 3 image image"]:
    """Square windows whose upper left corners (y, x) are given on the CPU, brought to one size."""
    height, width = pixels.shape[-2:]
    highest = torch.tensor([height, width]) - window_px
    if bool((corners < 0).any() or (corners > highest).any()):
        got = f"{corners.min().item()}…{corners.max().item()}"
        raise ValueError(f"corners: expected within 0…{highest.tolist()}, got {got}; shift less.")
    matrix = resize_matrix(image_size_px, window_px, interpolation, pixels)
    narrow = _NarrowedWindows.apply(pixels, corners.tolist(), window_px, matrix)
    return resize(narrow, (image_size_px, image_size_px), interpolation)


class _NarrowedWindows(torch.autograd.Function):
    """Windows by slicing, their rows resized on the way; the gradient adds up in one canvas and in fixed order.

    Autograd would make a canvas for each window.
    """

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, corners: list[list[list[int]]], window_px: int, matrix: Tensor) -> Tensor:
        ctx.shape, ctx.corners, ctx.matrix = pixels.shape, corners, matrix
        image_px = matrix.shape[0]
        ctx.as_it_is = image_px == window_px
        views = pixels.new_empty(len(corners), len(corners[0]), pixels.shape[1], window_px, image_px)
        for window, view in zip(_windows(pixels, corners, window_px), views.flatten(0, 1), strict=True):
            if ctx.as_it_is:
                view.copy_(window)
            else:
                torch.matmul(window, matrix.T, out=view)
        return views

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        pixels = gradient.new_zeros(ctx.shape)
        windows = _windows(pixels, ctx.corners, gradient.shape[-2])
        for window, view in zip(windows, gradient.flatten(0, 1), strict=True):
            window.add_(view if ctx.as_it_is else view @ ctx.matrix)
        return pixels, None, None, None


def _windows(pixels: Tensor, corners: list[list[list[int]]], window_px: int) -> Iterator[Tensor]:
    """A view (3, window, window) into `pixels` for each corner."""
    for picture, row in zip(pixels, corners, strict=True):
        for y, x in row:
            yield picture[:, y : y + window_px, x : x + window_px]
