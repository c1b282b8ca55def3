"""Trains an embedded model from nothing: plainly first, then on the worst pictures inside an L2 ball."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.models.embedded import Architecture, Towers
from das_ag.models.towers import IMAGE_SIZE_PX
from das_ag.training.contrastive import ascend_in_ball, image_to_text_loss, random_in_ball, text_to_image_loss
from das_ag.training.dreams import Dreams
from das_ag.vector_math import choose_kernels
from das_ag.world import (
    caption_scenes,
    contradict,
    holds,
    rate,
    render,
    sample_scenes,
    swap_figure_and_ground,
)
from das_ag.world.captions import vocabulary

RATING_SPREAD = 1.5
"""Standard deviation of ratings, roughly: brings the rating's error to the scale of the contrastive losses."""

COLOUR_SHIFT = 0.1
"""Half width c of the colour change x·exp(u) + v of every picture, in CLIP-normalised units."""

WARMUP_UPDATES = 150
LOGIT_SCALE, MAX_LOGIT_SCALE = 10.0, 60.0
LAST_LEARNING_RATE = 0.005


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Attributes:
        seed: of weights and pictures.
        image_tower, options: see `Architecture`.
        updates: optimiser steps in all.
        plain_updates: of which the first are without disturbance.
        radius: L2 radius of the disturbance in RGB units on a 64 px picture, reached in the middle of the robust part.
        replays: updates on one batch, each of which also moves the disturbance ("free" adversarial training,
            arXiv:1904.12843): one backward pass serves weights and pictures.
        batch: pictures in each update.
        dreams, dreams_from: pictures of nothing in each update, and from which one on, see `Dreams`.
        dim: of the feature space.
        average: decay of the running average of the weights, which is what is kept.
    """

    seed: int
    image_tower: str
    options: dict[str, Any]
    updates: int
    plain_updates: int
    radius: float
    replays: int = 4
    batch: int = 128
    dreams: int = 32
    dreams_from: int = 0
    dim: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    rating_weight: float = 1.5
    average: float = 0.998

    def radius_at(self, update: int) -> float:
        """0 while training is plain, then from a fifth of `radius` up to all of it."""
        if update < self.plain_updates or self.radius == 0:
            return 0.0
        progress = (update - self.plain_updates) / max(self.updates - self.plain_updates, 1)
        return self.radius * min(1.0, 0.2 + 1.6 * progress)

    def learning_rate_at(self, update: int) -> float:
        """A short rise, then a cosine; a factor of `learning_rate`."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(update / self.updates, 1)))
        return min((update + 1) / WARMUP_UPDATES, cosine + LAST_LEARNING_RATE)


@dataclass(frozen=True)
class Progress:
    """Where training stands: update, minutes since its start, radius, and each loss of this update."""

    update: int
    minutes: float
    radius: float
    losses: dict[str, float]


@dataclass
class _Batch:
    """Pictures, their captions (own ones first, then false ones), which of those are true, and ratings."""

    rgb: Tensor
    tokens: Tensor
    truth: Tensor
    rating: Tensor


def train(recipe: Recipe, report: Callable[[Progress], None], device: torch.device | str = "cpu") -> Towers:
    """Returns the trained towers: the running average of the weights, on the CPU, in evaluation mode."""
    choose_kernels()
    trainer = _Trainer(recipe, torch.device(device))
    started = time.monotonic()
    while trainer.update < recipe.updates:
        radius = recipe.radius_at(trainer.update)
        batch = trainer.draw()
        delta = random_in_ball(tuple(batch.rgb.shape), radius, trainer.generator).to(device)
        for _ in range(recipe.replays if radius else 1):
            delta, losses = trainer.learn(batch, delta, radius)
            if trainer.update % 50 == 0:
                values = {name: loss.item() for name, loss in losses.items()}
                report(Progress(trainer.update, (time.monotonic() - started) / 60, radius, values))
    return trainer.average.cpu().eval().requires_grad_(False)


class _Trainer:
    """Network, optimiser and everything else that one update changes."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)  # the initial weights draw from the global generator
        self.recipe, self.device, self.update = recipe, device, 0
        self.generator = Generator().manual_seed(recipe.seed)
        architecture = Architecture(recipe.image_tower, recipe.options, recipe.dim, vocabulary())
        self.network = Towers(architecture).to(device).to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network)
        self.log_scale = nn.Parameter(torch.tensor(math.log(LOGIT_SCALE), device=device))
        self.optimiser = torch.optim.AdamW(
            [*self.network.parameters(), self.log_scale],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            betas=(0.9, 0.98),
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, recipe.learning_rate_at)
        self.dreams = Dreams(recipe.dreams, self.generator, device)
        self.nothing = torch.empty(0, 3, IMAGE_SIZE_PX, IMAGE_SIZE_PX, device=device)
        self._mean, self._std = (torch.tensor(v, device=device)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))

    def draw(self) -> _Batch:
        """New pictures with one true and two false captions each."""
        scenes = sample_scenes(self.recipe.batch, self.generator)
        pictures = render(scenes, self.generator)
        own = caption_scenes(scenes, self.generator)
        swapped = swap_figure_and_ground(own.claims, scenes, self.generator)
        wrong = contradict(own.claims, self.generator)
        claims = torch.cat([own.claims, swapped.claims, wrong.claims])
        return _Batch(
            rgb=pictures.rgb.to(self.device),
            tokens=self.network.tokenizer([*own.texts, *swapped.texts, *wrong.texts]).to(self.device),
            truth=holds(claims, scenes).to(self.device),
            rating=rate(pictures).to(self.device),
        )

    def learn(self, batch: _Batch, delta: Tensor, radius: float) -> tuple[Tensor, dict[str, Tensor]]:
        """One update of the weights; returns the disturbance moved up the loss, and the losses."""
        delta.requires_grad_(radius > 0)
        losses = self._losses(batch, delta)
        loss = losses["image_to_text"] + losses["text_to_image"] + self.recipe.rating_weight * losses["rating"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self._average()
        if self._is_dreaming:
            self.dreams.move()
        self.update += 1
        if delta.grad is None:
            return delta, losses
        return ascend_in_ball(delta.detach(), delta.grad, radius, step=radius / 2), losses

    def _losses(self, batch: _Batch, delta: Tensor) -> dict[str, Tensor]:
        n = len(batch.rgb)
        dreams = self.dreams.rgb.requires_grad_(True) if self._is_dreaming else self.nothing
        pixels = (torch.cat([batch.rgb + delta, dreams]) - self._mean) / self._std
        u, v = (torch.rand(2, len(pixels), 3, 1, 1, generator=self.generator).to(self.device) * 2 - 1) * COLOUR_SHIFT
        image = self.network.encode_images(pixels * u.exp() + v)
        text = F.normalize(self.network.text(batch.tokens), dim=-1)
        similarity = self.log_scale.exp() * image @ text.T
        return {
            "image_to_text": image_to_text_loss(similarity[:n], batch.truth),
            "text_to_image": text_to_image_loss(similarity[:n], batch.truth, similarity[n:]),
            "rating": F.mse_loss(self.network.rate_features(image[:n]), batch.rating) / RATING_SPREAD**2,
        }

    @property
    def _is_dreaming(self) -> bool:
        return self.update >= self.recipe.dreams_from

    @torch.no_grad()
    def _average(self) -> None:
        """Moves the running average; in the beginning it follows more closely."""
        self.log_scale.clamp_(max=math.log(MAX_LOGIT_SCALE))
        keep = min(self.recipe.average, (self.update + 1) / (self.update + 10))
        for mean, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - keep)
            else:
                mean.copy_(new)
