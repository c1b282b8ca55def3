"""The loop: each step looks at the canvas, measures, and moves every level of the pyramid."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from das_ag.synthesis.objective import Guide, Objective, Terms, highlights
from das_ag.synthesis.optimiser import AnnealedAdam, AscentSettings
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, as_rgb
from das_ag.synthesis.randomness import StepNumbers
from das_ag.synthesis.views import ViewGeometry, ViewSettings, plain_view, random_views

REVISION = 4
"""Counts changes of the algorithm that change its images."""


@dataclass(frozen=True)
class Iterate:
    """What a step saw, before it moved the pyramid.

    Attributes:
        step: 0 … T - 1.
        terms: of each sample, detached.
        loss: of each sample, detached.
        pyramid: the live pyramid, already moved; read its canvas for a preview.
        finite: False from the step on in which a sample's loss was not a number; its siblings are not harmed.
    """

    step: int
    terms: Terms
    loss: Float[Tensor, " batch"]
    pyramid: Pyramid
    finite: Bool[Tensor, " batch"]


def geometry_of(pyramid: PyramidSettings, border_px: int, guide: Guide) -> ViewGeometry:
    """How the guide sees the canvas."""
    window_px = pyramid.canvas_px - 2 * border_px
    return ViewGeometry(window_px, guide.image_size_px, pyramid.interpolation, pyramid.gamut)


class Ascent:
    """Optimises a pyramid in place: an iterator that takes a step each time and says what it saw.

    Args:
        draw: gives the random numbers of the next step.
        views_per_pass: views that pass the encoder together, at least 1; fewer need less memory.

    Source: DAS-AG v1. differs: several samples at a time, each with its own loss. The sum of their losses has the
    gradients of each, since no sample's levels enter another's loss, and Adam works elementwise.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        guide: Guide,
        objective: Objective,
        views: ViewSettings,
        settings: AscentSettings,
        *,
        draw: Callable[[], StepNumbers],
        views_per_pass: int = sys.maxsize,
    ) -> None:
        self._pyramid, self._guide, self._objective = pyramid, guide, objective
        self._views, self._settings = views, settings
        self._draw, self._views_per_pass = draw, views_per_pass
        self._optimiser = AnnealedAdam(pyramid.levels, settings)
        self._step = 0
        self._finite = torch.ones(len(pyramid.levels[0]), dtype=torch.bool, device=pyramid.levels[0].device)

    def __iter__(self) -> Iterator[Iterate]:
        return self

    def __next__(self) -> Iterate:
        step = self._step
        if step == self._settings.steps:
            raise StopIteration
        numbers, canvas = self._draw(), self._pyramid.canvas()
        seen = self._look(step, canvas, numbers)
        self._optimiser.zero_grad()
        terms, total = _measure_parts(
            functools.partial(self._measure, step), seen, numbers.dropout, self._views_per_pass
        )
        if weight := self._objective.settings.highlights:
            bright = highlights(as_rgb(canvas, self._pyramid.settings.gamut))
            terms, total = dataclasses.replace(terms, highlights=bright.detach()), total + weight * bright.sum()
        total.backward()
        loss = self._objective.loss(terms, step, self._settings.steps)
        self._optimiser.step(step)
        self._finite = self._finite & loss.isfinite()
        self._step += 1
        return Iterate(step, terms, loss, self._pyramid, self._finite)

    def _look(
        self, step: int, canvas: Float[Tensor, "batch 3 size size"], numbers: StepNumbers
    ) -> Float[Tensor, "batch views 3 image image"]:
        views, steps = self._views, self._settings.steps
        geometry = geometry_of(self._pyramid.settings, views.max_shift_px, self._guide)
        if numbers.views is None:
            return plain_view(canvas, geometry)
        return random_views(canvas, numbers.views, views.noise(step, steps), views.colour_shift(step, steps), geometry)

    def _measure(self, step: int, rows: slice, part: Tensor, dropout: list[Tensor]) -> tuple[Terms, Tensor]:
        terms = self._objective.rows(rows).measure(self._guide, part, dropout)
        return terms, self._objective.loss(terms, step, self._settings.steps)

    def state_dict(self) -> dict[str, Any]:
        """All that the steps to come depend on, the random numbers aside; live tensors, as torch's own state_dicts."""
        return {
            "step": self._step,
            "levels": [level.detach() for level in self._pyramid.levels],
            "optimiser": self._optimiser.state_dict(),
            "finite": self._finite,
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there, to the same bytes as without a break."""
        for level, kept in zip(self._pyramid.levels, state["levels"], strict=True):
            level.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])
        self._step, self._finite = state["step"], state["finite"].to(self._finite.device)


def _measure_parts(
    measure: Callable[[slice, Tensor, list[Tensor]], tuple[Terms, Tensor]],
    views: Float[Tensor, "batch views 3 h w"],
    dropout: Sequence[Tensor],
    views_per_pass: int,
) -> tuple[Terms, Float[Tensor, ""]]:
    """The terms of all views, and a number whose gradient is that of the loss, from some of the views at a time.

    Args:
        measure: terms and loss of some samples by some of their views, with those views' part of `dropout`.

    The loss is linear in terms that are means over views, so each part of the views gives its share of value and
    gradient by itself, and no more than one part's activations are held.
    """
    batch, count = views.shape[:2]
    terms, gradients = dict[str, Tensor](), list[Tensor]()
    for rows, columns in _parts(batch, count, views_per_pass):
        share = (columns.stop - columns.start) / count
        part = views[rows, columns].detach().requires_grad_()
        measured, loss = measure(rows, part, [mask[rows, columns] for mask in dropout])
        gradients += torch.autograd.grad((loss * share).sum(), part)
        for name, value in measured.by_name().items():
            terms.setdefault(name, views.new_zeros(batch))[rows] += share * value.detach()
    # The parts follow each other as samples and their views do.
    whole = gradients[0] if len(gradients) == 1 else torch.cat([g.flatten(0, 1) for g in gradients]).view_as(views)
    return Terms(aesthetic=terms.pop("aesthetic", None), **terms), _HandOver.apply(views, whole)


class _HandOver(torch.autograd.Function):
    """A number whose gradient with respect to the views is the given one.

    `views.backward(whole)` is the same, but has torch compare the shapes with sympy, whose import takes half a second.
    """

    @staticmethod
    def forward(ctx: Any, views: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return views.new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor, None]:
        return ctx.gradient, None


def _parts(batch: int, views: int, views_per_pass: int) -> Iterator[tuple[slice, slice]]:
    """Samples and views of each pass: all views of several samples where they fit, else some views of one."""
    if views_per_pass >= views:
        samples = views_per_pass // views
        for first in range(0, batch, samples):
            yield slice(first, min(first + samples, batch)), slice(0, views)
        return
    for row in range(batch):
        for first in range(0, views, views_per_pass):
            yield slice(row, row + 1), slice(first, min(first + views_per_pass, views))


@torch.no_grad()
def measure_result(pyramid: Pyramid, guide: Guide, objective: Objective, border_px: int) -> Terms:
    """The terms of the finished images, seen plainly."""
    geometry = geometry_of(pyramid.settings, border_px, guide)
    return objective.measure(guide, plain_view(pyramid.canvas(), geometry))


@torch.no_grad()
def image_rgb(pyramid: Pyramid, border_px: int) -> Float[Tensor, "batch 3 h w"]:
    """The images: the canvas without its border, RGB in 0…1."""
    canvas = pyramid.canvas()
    window = slice(border_px, canvas.shape[-1] - border_px)
    return as_rgb(canvas[..., window, window], pyramid.settings.gamut)


def to_bytes(rgb: Float[Tensor, "batch 3 h w"]) -> torch.Tensor:
    """RGB in 0…1 to uint8 (batch, h, w, 3) by truncating 255·v, as the published program does."""
    return (rgb * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
