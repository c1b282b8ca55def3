"""The optimisation loop: each step views the canvas, measures the loss, and updates every level of the pyramid."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from das_ag.synthesis.objective import Guide, Objective, Terms, measure_image
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, as_rgb
from das_ag.synthesis.randomness import SampleNumbers
from das_ag.synthesis.views import ViewGeometry, ViewSettings, plain_view, random_views

REVISION = 5
"""Increases with each change of the algorithm that changes its images."""


@dataclass(frozen=True)
class Iterate:
    """The measurements of a step, taken before it updated the pyramid.

    Attributes:
        step: 0 … T - 1.
        terms: the terms of each sample, detached.
        loss: the loss of each sample, detached.
        pyramid: the live pyramid, already updated; read its canvas for a preview.
        finite: False from the first step with a loss that is not finite; other samples of the batch are unaffected.
    """

    step: int
    terms: Terms
    loss: Float[Tensor, " batch"]
    pyramid: Pyramid
    finite: Bool[Tensor, " batch"]


def geometry_of(pyramid: PyramidSettings, border_px: int, guide: Guide) -> ViewGeometry:
    """The geometry with which the guide views the canvas."""
    window_px = pyramid.canvas_px - 2 * border_px
    return ViewGeometry(window_px, guide.image_size_px, pyramid.interpolation, pyramid.gamut)


class Ascent:
    """An iterator that optimises a pyramid in place: each item is one step and its measurements.

    Args:
        numbers: the source of random numbers that has already drawn the levels of the pyramid.
        views_per_pass: views that pass through the encoder together, at least 1; fewer need less memory.

    Raises:
        ValueError: the aesthetic term has a weight, but the guide does not rate.

    Source: DAS-AG v1; `reference.py` does the same for one sample. differs: several samples at a time. A sample's loss
    depends only on its own levels, so the sum of all losses gives each its own gradient; Adam works elementwise.
    """

    def __init__(
        self,
        pyramid: Pyramid,
        guide: Guide,
        objective: Objective,
        views: ViewSettings,
        settings: AscentSettings,
        *,
        numbers: SampleNumbers,
        views_per_pass: int = sys.maxsize,
    ) -> None:
        if objective.settings.aesthetic_sign and not guide.rate_features:
            raise ValueError("guide: expected a guide with an aesthetic score, got one without; use aesthetic_sign=0.")
        self._pyramid, self._guide, self._objective = pyramid, guide, objective
        self._views, self._settings, self._numbers = views, settings, numbers
        self._views_per_pass = views_per_pass
        self._geometry = geometry_of(pyramid.settings, views.max_shift_px, guide)
        self._optimiser = torch.optim.Adam(pyramid.levels, settings.learning_rate, settings.betas, fused=True)
        self._step = 0
        self._finite = torch.ones(len(pyramid.levels[0]), dtype=torch.bool, device=pyramid.levels[0].device)

    def __iter__(self) -> Iterator[Iterate]:
        return self

    def __next__(self) -> Iterate:
        step, steps = self._step, self._settings.steps
        if step == steps:
            raise StopIteration
        numbers, dropout = self._numbers.step(self._views, self._geometry, self._guide.dropout)
        weights = self._objective.settings.weights(step, steps)
        canvas = self._pyramid.canvas()
        if numbers is None:
            views = plain_view(canvas, self._geometry)
        else:
            noise, colour_shift = self._views.noise(step, steps), self._views.colour_shift(step, steps)
            views = random_views(canvas, numbers, noise, colour_shift, self._geometry)
        # First the gradient with respect to the views, part by part; then one backward pass from views to levels.
        of_views, gradient = self._objective.measure_views(
            self._guide, views, dropout, weights=weights, views_per_pass=self._views_per_pass
        )
        of_image = measure_image(as_rgb(canvas, self._geometry.gamut), weights)
        losses = [weights[name] * value.sum() for name, value in of_image.items()]
        self._optimiser.zero_grad()
        torch.autograd.backward([views, *losses], [gradient, *(None for _ in losses)])
        self._optimiser.param_groups[0]["lr"] = self._settings.learning_rate_at(step)
        self._optimiser.step()

        terms = {**of_views, **{name: value.detach() for name, value in of_image.items()}}
        loss = self._objective.loss(terms, step, steps)
        self._finite = self._finite & loss.isfinite()
        self._step += 1
        return Iterate(step, terms, loss, self._pyramid, self._finite)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the remaining steps depend on; live tensors, as in torch's own state_dicts."""
        return {
            "step": self._step,
            "levels": [level.detach() for level in self._pyramid.levels],
            "optimiser": self._optimiser.state_dict(),
            "finite": self._finite,
            "numbers": self._numbers.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a saved state; the result has the same bytes as an uninterrupted run."""
        for level, kept in zip(self._pyramid.levels, state["levels"], strict=True):
            level.copy_(kept)
        self._optimiser.load_state_dict(state["optimiser"])
        self._numbers.load_state_dict(state["numbers"])
        self._step, self._finite = state["step"], state["finite"].to(self._finite.device)


@torch.no_grad()
def measure_result(pyramid: Pyramid, guide: Guide, objective: Objective, border_px: int) -> Terms:
    """The terms of the finished images, measured on plain views."""
    view = plain_view(pyramid.canvas(), geometry_of(pyramid.settings, border_px, guide))
    terms, _ = objective.measure_views(guide, view, weights=objective.settings.weights(0, 1), views_per_pass=len(view))
    return terms


@torch.no_grad()
def image_rgb(pyramid: Pyramid, border_px: int) -> Float[Tensor, "batch 3 h w"]:
    """The images: the canvas without its border, RGB in 0…1."""
    canvas = pyramid.canvas()
    window = slice(border_px, canvas.shape[-1] - border_px)
    return as_rgb(canvas[..., window, window], pyramid.settings.gamut)


def to_bytes(rgb: Float[Tensor, "batch 3 h w"]) -> torch.Tensor:
    """Converts RGB in 0…1 to uint8 (batch, h, w, 3); truncates 255·v, as the published program does."""
    return (rgb * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
