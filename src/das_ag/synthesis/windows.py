"""Many windows of one canvas, each brought to the model's size, without a resizing for each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from das_ag.synthesis.resize import Polyphase, Taps, polyphase, resize

_COPY = Polyphase(1, (((0, 1.0),),))


@dataclass(frozen=True)
class _Cut:
    """Which windows: their corners (y, x) by sample and view, and what resizes them."""

    corners: list[list[list[int]]]
    phases: Polyphase


def resized_windows(
    pixels: Float[Tensor, "batch 3 h w"],
    corners: Int[Tensor, "batch views 2"],
    window_px: int,
    image_size_px: int,
    interpolation: str,
    *,
    gain: Float[Tensor, "batch views 3 1 1"],
    offset: Float[Tensor, "batch views 3 1 1"],
    noise: Float[Tensor, "batch views 3 image image"],
    deviation: float,
) -> Float[Tensor, "batch views 3 image image"]:
    """Square windows brought to one size, times gain, plus offset, plus noise times its deviation.

    Differentiable in the pixels alone. A resizing that repeats after few pixels is done once on the whole canvas, from
    each place at which a window may begin, so that every window is a block of that; any other is done to each window.

    Args:
        corners: upper left corner (y, x) of each window, on the CPU.
        gain, offset: of each view's channels, in the units of the views.
        noise: at the size at which it arrives; it is added last and not resized.

    Raises:
        ValueError: a window reaches beyond the canvas.
    """
    height, width = pixels.shape[-2:]
    highest = torch.tensor([height, width]) - window_px
    if bool((corners < 0).any() or (corners > highest).any()):
        got = f"{corners.min().item()}…{corners.max().item()}"
        raise ValueError(f"corners: expected within 0…{highest.tolist()}, got {got}; shift less.")
    places, phases = corners.tolist(), polyphase(image_size_px, window_px, interpolation)
    if phases and phases.count**2 <= corners.shape[1]:  # no more planes than views
        begin = functools.partial(torch.add, offset, noise, alpha=deviation)
        return _Windows.apply(pixels, gain, begin, _Cut(places, phases))
    begin = functools.partial(offset.repeat, 1, 1, 1, window_px, window_px)
    windows = _Windows.apply(pixels, gain, begin, _Cut(places, _COPY))
    return torch.add(resize(windows, (image_size_px, image_size_px), interpolation), noise, alpha=deviation)


class _Windows(torch.autograd.Function):
    """Blocks of the resized canvas, times gain, added to what the views start with.

    Their gradient adds up in one canvas and in fixed order, where autograd makes one for each window.
    """

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, gain: Tensor, begin: Callable[[], Tensor], cut: _Cut) -> Tensor:
        ctx.shape, ctx.cut = pixels.shape, cut
        ctx.save_for_backward(gain)
        planes = _resize_columns(_resize_lines(pixels.contiguous(), cut.phases), cut.phases)
        views = begin().contiguous()  # made only now, so that they are in the processor's cache
        for block, view, factor in _blocks(planes, cut, views, gain):
            view.addcmul_(block, factor)
        return views

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,), (gain,), phases = gradients, ctx.saved_tensors, ctx.cut.phases
        planes = gradient.new_zeros(_planes_shape(ctx.shape, phases))
        for block, view, factor in _blocks(planes, ctx.cut, gradient, gain):
            block.addcmul_(view, factor)
        return _resize_lines_gradient(_resize_columns_gradient(planes, phases), phases, ctx.shape[-1]), None, None, None


def _planes_shape(canvas: torch.Size, phases: Polyphase) -> tuple[int, ...]:
    """Phases of a line; batch, 3, height; beginnings of a window in a period; outputs of the periods of a line."""
    *lines, width = canvas
    return (phases.count, *lines, phases.period, width // phases.period * phases.count)


def _blocks(
    planes: Float[Tensor, "phases batch 3 h shift w"],
    cut: _Cut,
    views: Float[Tensor, "batch views 3 size size"],
    gain: Float[Tensor, "batch views 3 1 1"],
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each window its part of `planes`, its view and gain; their axes are 3, size / phases, phases, size."""
    of_phase, of_sample, of_channel, of_row, of_shift, _ = planes.stride()
    period, count, size = cut.phases.period, cut.phases.count, views.shape[-1]
    sizes, strides = (views.shape[2], size // count, count, size), (of_channel, period * of_row, of_phase, 1)
    first = planes.storage_offset()
    places = [(first + sample * of_sample + y * of_row, x) for sample, row in enumerate(cut.corners) for y, x in row]
    for (place, x), view, factor in zip(places, _by_line(views, cut.phases), _by_line(gain, _COPY), strict=True):
        periods, start = divmod(x, period)
        yield planes.as_strided(sizes, strides, place + start * of_shift + periods * count), view, factor


def _by_line(of_views: Float[Tensor, "batch views 3 _ _"], phases: Polyphase) -> Iterable[Tensor]:
    """Each view, its lines by phase: (3, lines / phases, phases, columns)."""
    return of_views.flatten(0, 1).unflatten(-2, (-1, phases.count)).unbind()


def _resize_lines(pixels: Float[Tensor, "*lines w"], phases: Polyphase) -> Float[Tensor, "*lines shift v"]:
    """Lines resized from each place in a period at which a window may begin.

    Each phase is blended all along the lines, then put where it belongs.
    """
    if phases == _COPY:
        return pixels[..., None, :]
    *lines, width = pixels.shape
    wide = pixels.new_empty(*lines, phases.period, width // phases.period, phases.count)
    for phase, taps in enumerate(phases.taps):
        blended = torch.empty_like(pixels)
        _blend(pixels, taps, 1, blended)
        wide[..., phase] = _by_beginning(blended, phases)
    return wide.flatten(-2)


def _resize_lines_gradient(
    wide: Float[Tensor, "*lines shift v"], phases: Polyphase, width: int
) -> Float[Tensor, "*lines w"]:
    """The gradient of `_resize_lines`."""
    if phases == _COPY:
        return wide[..., 0, :]
    by_phase = wide.unflatten(-1, (-1, phases.count))
    pixels = wide.new_empty(*wide.shape[:-2], width)
    for phase, taps in enumerate(phases.taps):
        blended = torch.empty_like(pixels)
        blended[..., width // phases.period * phases.period :] = 0
        _by_beginning(blended, phases).copy_(by_phase[..., phase])
        _blend_gradient(blended, taps, 1, pixels, is_first=phase == 0)
    return pixels


def _by_beginning(pixels: Float[Tensor, "*lines w"], phases: Polyphase) -> Float[Tensor, "*lines shift periods"]:
    """A view: for each beginning in a period the pixels that lie so far on in every period."""
    periods = pixels.shape[-1] // phases.period
    return pixels[..., : periods * phases.period].unflatten(-1, (periods, phases.period)).mT


def _resize_columns(
    wide: Float[Tensor, "batch 3 h shift w"], phases: Polyphase
) -> Float[Tensor, "phases batch 3 h shift w"]:
    """Columns blended in each phase, from every line on."""
    if phases == _COPY:
        return wide[None]
    planes = wide.new_empty(phases.count, *wide.shape)
    for plane, taps in zip(planes, phases.taps, strict=True):
        _blend(wide, taps, wide.shape[-2:].numel(), plane)
    return planes


def _resize_columns_gradient(
    planes: Float[Tensor, "phases batch 3 h shift w"], phases: Polyphase
) -> Float[Tensor, "batch 3 h shift w"]:
    """The gradient of `_resize_columns`."""
    if phases == _COPY:
        return planes[0]
    wide = torch.empty_like(planes[0])
    for phase, taps in enumerate(phases.taps):
        _blend_gradient(planes[phase], taps, wide.shape[-2:].numel(), wide, is_first=phase == 0)
    return wide


def _blend(pixels: Tensor, taps: Taps, stride: int, blended: Tensor) -> None:
    """Weighted sums of pixels that are `stride` apart.

    All pictures count as one row of numbers: what crosses the end of a line or of a picture is in no window.
    """
    whole = pixels.numel() - taps[-1][0] * stride
    numbers, target = pixels.view(-1), blended.view(-1)[:whole]
    blended.view(-1)[whole:] = 0
    (first, weight), *rest = taps
    if len(rest) == 1:  # linear interpolation, whose weights add up to 1
        ((second, weight),) = rest
        torch.lerp(numbers[first * stride :][:whole], numbers[second * stride :][:whole], weight, out=target)
        return
    torch.mul(numbers[first * stride :][:whole], weight, out=target)
    for place, weight in rest:
        target.add_(numbers[place * stride :][:whole], alpha=weight)


def _blend_gradient(blended: Tensor, taps: Taps, stride: int, pixels: Tensor, *, is_first: bool) -> None:
    """Adds the gradient of `_blend` to that of its pixels, or puts it there if it is the first."""
    numbers, gradient = pixels.view(-1), blended.view(-1)
    (first, weight), *rest = taps
    if is_first:
        numbers[: first * stride] = 0
        torch.mul(gradient[: len(gradient) - first * stride], weight, out=numbers[first * stride :])
    for place, weight in rest if is_first else taps:
        numbers[place * stride :].add_(gradient[: len(gradient) - place * stride], alpha=weight)
