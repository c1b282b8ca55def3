"""Many windows of one canvas, each brought to the model's size, without a product for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from das_ag.synthesis.resize import Polyphase, polyphase, resize

_COPY = Polyphase(1, (((0, 1.0),),))
_APART = 16
"""Numbers between planes: some processors mistake addresses for each other that lie whole memory pages apart."""


def resized_windows(
    pixels: Float[Tensor, "batch 3 h w"],
    corners: Int[Tensor, "batch views 2"],
    window_px: int,
    image_size_px: int,
    interpolation: str = "bilinear",
) -> Float[Tensor, "batch views 3 image image"]:
    """Square windows, `window_px` wide, whose upper left corners (y, x) are given on the CPU, brought to one size.

    A resizing that repeats after few pixels is done once, on the whole canvas, and its windows are sliced out of that;
    any other is done to each window.

    Raises:
        ValueError: a window reaches beyond the canvas.
    """
    height, width = pixels.shape[-2:]
    highest = torch.tensor([height, width]) - window_px
    if bool((corners < 0).any() or (corners > highest).any()):
        got = f"{corners.min().item()}…{corners.max().item()}"
        raise ValueError(f"corners: expected within 0…{highest.tolist()}, got {got}; shift less.")
    phases = polyphase(image_size_px, window_px, interpolation)
    if phases and phases.count**2 <= corners.shape[1]:  # no more planes than views
        return _Windows.apply(pixels, corners.tolist(), phases, image_size_px)
    windows = _Windows.apply(pixels, corners.tolist(), _COPY, window_px)
    return resize(windows, (image_size_px, image_size_px), interpolation)


class _Windows(torch.autograd.Function):
    """Slices of the canvas blended in every phase of rows and columns.

    Pictures are blended as one row of numbers, next to itself a pixel or a line further on: what crosses the end of a
    line or of a picture is in no window. Their gradient adds up in one canvas and in fixed order, where autograd makes
    one for each window.
    """

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, corners: list[list[list[int]]], phases: Polyphase, size: int) -> Tensor:
        ctx.shape, ctx.corners, ctx.phases = pixels.shape, corners, phases
        planes = _blend(_blend(pixels.reshape(-1), phases, 1), phases, pixels.shape[-1])
        views = pixels.new_empty(len(corners), len(corners[0]), pixels.shape[1], size, size)
        slices = _slices(planes, pixels.shape, corners, phases, size)
        for window, view in zip(slices, _by_phase(views, phases), strict=True):
            view.copy_(window)
        return views

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,), phases = gradients, ctx.phases
        n = ctx.shape.numel()
        planes = gradient.new_zeros(phases.count, phases.count, n + _APART)[..., :n]
        slices = _slices(planes, ctx.shape, ctx.corners, phases, gradient.shape[-1])
        for window, view in zip(slices, _by_phase(gradient, phases), strict=True):
            window.add_(view)
        return _unblend(_unblend(planes, phases, ctx.shape[-1]), phases, 1).view(ctx.shape), None, None, None


def _blend(numbers: Float[Tensor, "*planes n"], phases: Polyphase, stride: int) -> Float[Tensor, "phases *planes n"]:
    """For each phase the weighted sum of its taps, which are `stride` numbers apart; without a value at the end."""
    *planes, n = numbers.shape
    blended = numbers.new_empty(phases.count, *planes, n + _APART)[..., :n]
    for plane, taps in zip(blended, phases.taps, strict=True):
        whole = numbers.shape[-1] - taps[-1][0] * stride
        (first, weight), *rest = taps
        torch.mul(numbers[..., first * stride :][..., :whole], weight, out=plane[..., :whole])
        for place, weight in rest:
            plane[..., :whole].add_(numbers[..., place * stride :][..., :whole], alpha=weight)
    return blended


def _unblend(planes: Float[Tensor, "phases *planes n"], phases: Polyphase, stride: int) -> Float[Tensor, "*planes n"]:
    """The gradient of `_blend`."""
    numbers = torch.empty_like(planes[0])
    taps = [
        (plane, place * stride, weight) for plane, of in zip(planes, phases.taps, strict=True) for place, weight in of
    ]
    (plane, start, weight), *rest = taps
    numbers[..., :start] = 0
    torch.mul(plane[..., : plane.shape[-1] - start], weight, out=numbers[..., start:])
    for plane, start, weight in rest:
        numbers[..., start:].add_(plane[..., : plane.shape[-1] - start], alpha=weight)
    return numbers


def _slices(
    planes: Float[Tensor, "phases phases n"],
    shape: torch.Size,
    corners: list[list[list[int]]],
    phases: Polyphase,
    size: int,
) -> Iterator[Tensor]:
    """A view (3, size / phases, phases, size / phases, phases) into `planes` for each corner."""
    _, channels, height, width = shape
    # `_blend` puts the phases of rows, which it takes last, first.
    of_row, of_column, _ = planes.stride()
    strides = (height * width, phases.period * width, of_row, phases.period, of_column)
    sizes = (channels, size // phases.count, phases.count, size // phases.count, phases.count)
    for sample, row in enumerate(corners):
        for y, x in row:
            yield planes.as_strided(sizes, strides, sample * channels * height * width + y * width + x)


def _by_phase(views: Float[Tensor, "batch views 3 size size"], phases: Polyphase) -> Tensor:
    """Each view, with the places of `_slices`."""
    return views.flatten(0, 1).unflatten(3, (-1, phases.count)).unflatten(2, (-1, phases.count))
