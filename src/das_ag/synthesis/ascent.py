"""The loop: each step looks at the canvas, measures, and moves every level of the pyramid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from das_ag.errors import UserError
from das_ag.synthesis.objective import Guide, Objective, Terms
from das_ag.synthesis.pyramid import Pyramid, as_model_sees, as_rgb
from das_ag.synthesis.views import ViewNumbers, ViewSettings, plain_view, random_views

REVISION = 1
"""Counts changes of the algorithm that change its images."""

MAX_LEARNING_RATE = 1000.0
"""Far beyond any use; float32 overflows beyond 1e38."""

LAST_LEARNING_RATE = 0.01
"""Share of the learning rate that is left at the last step. Source: DAS-AG v1."""


@dataclass(frozen=True)
class AscentSettings:
    """The optimiser.

    Attributes:
        steps: T, one Adam step each.
        learning_rate: of the first step; cosine annealing takes it down to 1 %.
        betas: Adam's.
    """

    steps: int
    learning_rate: float
    betas: tuple[float, float]

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"steps: expected at least 1, got {self.steps}; the usual value is 200.")
        if not 0 < self.learning_rate <= MAX_LEARNING_RATE:  # NaN fails too
            raise UserError(
                f"learning_rate: expected above 0 and at most {MAX_LEARNING_RATE}, got {self.learning_rate}; "
                "the usual value is 0.05."
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"betas: expected two numbers from 0 to below 1, got {self.betas}; change them.")


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


def ascend(
    pyramid: Pyramid,
    guide: Guide,
    objective: Objective,
    views: ViewSettings,
    settings: AscentSettings,
    *,
    draw: Callable[[], ViewNumbers],
) -> Iterator[Iterate]:
    """Optimises the pyramid in place and yields after each step.

    Args:
        draw: gives the random numbers of the next step's views; not called where `views.augment` is off.

    Source: DAS-AG v1. differs: several samples at a time, each with its own loss. The sum of their losses has the
    gradients of each, since no sample's levels enter another's loss, and Adam works elementwise.
    """
    optimiser = torch.optim.Adam(pyramid.levels, lr=settings.learning_rate, betas=settings.betas, foreach=True)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, T_max=settings.steps, eta_min=LAST_LEARNING_RATE * settings.learning_rate
    )
    finite = torch.ones(len(pyramid.levels[0]), dtype=torch.bool, device=pyramid.levels[0].device)
    for step in range(settings.steps):
        pixels = as_model_sees(pyramid.canvas(), pyramid.settings.gamut)
        size_px, interpolation = guide.image_size_px, pyramid.settings.interpolation
        if views.augment:
            noise, colour_shift = views.noise(step, settings.steps), views.colour_shift(step, settings.steps)
            seen = random_views(pixels, draw(), noise, colour_shift, image_size_px=size_px, interpolation=interpolation)
        else:
            seen = plain_view(pixels, views.max_shift_px, size_px, interpolation)
        terms = objective.measure(guide, seen)
        loss = objective.loss(terms, step, settings.steps)
        optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimiser.step()
        annealing.step()
        finite = finite & loss.detach().isfinite()
        detached = Terms(**{name: value.detach() for name, value in vars(terms).items()})
        yield Iterate(step, detached, loss.detach(), pyramid, finite)


@torch.no_grad()
def measure_result(pyramid: Pyramid, guide: Guide, objective: Objective, border_px: int) -> Terms:
    """The terms of the finished images, seen plainly."""
    pixels = as_model_sees(pyramid.canvas(), pyramid.settings.gamut)
    return objective.measure(guide, plain_view(pixels, border_px, guide.image_size_px, pyramid.settings.interpolation))


@torch.no_grad()
def image_rgb(pyramid: Pyramid, border_px: int) -> Float[Tensor, "batch 3 h w"]:
    """The images: the canvas without its border, RGB in 0…1."""
    canvas = pyramid.canvas()
    window = slice(border_px, canvas.shape[-1] - border_px)
    return as_rgb(canvas[..., window, window], pyramid.settings.gamut)


def to_bytes(rgb: Float[Tensor, "batch 3 h w"]) -> torch.Tensor:
    """RGB in 0…1 to uint8 (batch, h, w, 3) by truncating 255·v, as the published program does."""
    return (rgb * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()
