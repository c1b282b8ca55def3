"""Trains an embedded model from nothing: plainly first, then on the worst pictures inside an L2 ball."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.models.embedded import Architecture, Towers
from das_ag.training.contrastive import (
    ascend_in_ball,
    image_to_text_loss,
    meaningless_pictures,
    random_in_ball,
    text_to_image_loss,
)
from das_ag.world import COLOURS, SHAPES, Scenes, caption_scenes, contradict, holds, rate, render, sample_scenes
from das_ag.world.captions import vocabulary

_MEAN, _STD = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Attributes:
        image_tower, options: see `Architecture`.
        updates: optimiser steps in all.
        plain_updates: of which the first are without disturbance.
        radius: L2 radius of the disturbance in RGB units on a 64 px picture, reached in the middle of the robust part.
        replays: updates on one batch, each of which also moves the disturbance ("free" adversarial training,
            arXiv:1904.12843): one backward pass serves weights and pictures.
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
    dim: int = 128
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    rating_weight: float = 0.3
    average: float = 0.998


@dataclass
class _Batch:
    """Pictures, their captions (own ones first, then false ones), which of those are true, and ratings."""

    rgb: Tensor
    tokens: Tensor
    truth: Tensor
    rating: Tensor


def train(
    recipe: Recipe, report: Callable[[dict], None], checkpoint: Callable[[int, Towers], None] | None = None
) -> Towers:
    """Returns the trained towers (the running average of the weights, in evaluation mode)."""
    torch.manual_seed(recipe.seed)  # the initial weights draw from the global generator
    generator = Generator().manual_seed(recipe.seed)
    network = Towers(Architecture(recipe.image_tower, recipe.options, recipe.dim, vocabulary()))
    network.to(memory_format=torch.channels_last)
    log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(
        [*network.parameters(), log_scale], lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
    )
    warmup = 150
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda t: min((t + 1) / warmup, 0.5 * (1 + math.cos(math.pi * min(t / recipe.updates, 1))) + 0.005),
    )
    started, update = time.monotonic(), 0
    dreams = _Dreams(recipe, generator)
    while update < recipe.updates:
        batch = _draw(recipe, network, generator)
        radius = _radius(recipe, update)
        delta = random_in_ball(tuple(batch.rgb.shape), radius, generator) if radius else torch.zeros_like(batch.rgb)
        for _ in range(recipe.replays if radius else 1):
            delta.requires_grad_(radius > 0)
            parts = _losses(network, log_scale, batch, delta, dreams.rgb.requires_grad_(True), generator)
            loss = parts["image_to_text"] + parts["text_to_image"] + recipe.rating_weight * parts["rating"]
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                log_scale.clamp_(max=math.log(60.0))
                keep = min(recipe.average, (update + 1) / (update + 10))
                for mean, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                    mean.lerp_(new, 1 - keep) if mean.is_floating_point() else mean.copy_(new)
                dreams.move(generator)
                if radius:
                    assert delta.grad is not None
                    delta = ascend_in_ball(delta.detach(), delta.grad, radius, step=radius / 2)
            if update % 50 == 0:
                report({"update": update, "minutes": (time.monotonic() - started) / 60, "radius": radius,
                        "scale": log_scale.exp().item(), **{k: v.item() for k, v in parts.items()}})  # fmt: skip
            if checkpoint and update and update % 500 == 0:
                checkpoint(update, _frozen(average))
            update += 1
    return _frozen(average)


class _Dreams:
    """Pictures that climb the model's own belief while it trains, and that it learns not to believe.

    They start as clouds of colour or shuffled scenes; each update moves them up the loss at all scales at once, as the
    ascent through a pyramid does, with the gradient that the update computes anyway. In the loss they are pictures of
    which every caption is false. Without them ascent ends in scattered colour that only the guide believes.
    """

    step = 0.04
    renewed = 1 / 60

    def __init__(self, recipe: Recipe, generator: Generator) -> None:
        self.rgb = self._start(recipe.dreams, generator)

    def _start(self, n: int, generator: Generator) -> Tensor:
        return meaningless_pictures(render(sample_scenes(n, generator), generator).rgb, generator)

    def move(self, generator: Generator) -> None:
        assert self.rgb.grad is not None
        direction = torch.zeros_like(self.rgb)
        for size in (4, 8, 16, 32, 64):
            g = F.interpolate(F.adaptive_avg_pool2d(self.rgb.grad, size), size=64, mode="bilinear")
            direction += g / g.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        direction /= direction.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        moved = (self.rgb.detach() + self.step * direction).clamp(0, 1)
        renew = torch.rand(len(moved), generator=generator) < self.renewed
        if renew.any():
            moved[renew] = self._start(len(moved), generator)[renew]
        self.rgb = moved


def _frozen(network: Towers) -> Towers:
    return copy.deepcopy(network).eval().requires_grad_(False)


def _radius(recipe: Recipe, update: int) -> float:
    if update < recipe.plain_updates or recipe.radius == 0:
        return 0.0
    progress = (update - recipe.plain_updates) / max(recipe.updates - recipe.plain_updates, 1)
    return recipe.radius * min(1.0, 0.2 + 1.6 * progress)


def _draw(recipe: Recipe, network: Towers, generator: Generator) -> _Batch:
    scenes = sample_scenes(recipe.batch, generator)
    pictures = render(scenes, generator)
    own = caption_scenes(scenes, generator)
    false = contradict(own.claims.repeat(3, 1), generator)
    return _Batch(
        rgb=pictures.rgb,
        tokens=network.tokenizer(own.texts + false.texts),
        truth=torch.cat([holds(own.claims, scenes), holds(false.claims, scenes)], dim=1),
        rating=rate(pictures),
    )


def _losses(
    network: Towers, log_scale: Tensor, batch: _Batch, delta: Tensor, dreams: Tensor, generator: Generator
) -> dict[str, Tensor]:
    n = len(batch.rgb)
    pixels = (torch.cat([batch.rgb + delta, dreams]) - _MEAN) / _STD
    u, v = (torch.rand(2, len(pixels), 3, 1, 1, generator=generator) * 2 - 1) * 0.1
    image = network.encode_images(pixels * u.exp() + v)
    text = F.normalize(network.text(batch.tokens), dim=-1)
    similarity = log_scale.exp() * image @ text.T
    return {
        "image_to_text": image_to_text_loss(similarity[:n], batch.truth),
        "text_to_image": text_to_image_loss(similarity[:n], batch.truth, similarity[n:]),
        "rating": F.mse_loss(network.rate_features(image[:n]), batch.rating) / 2,
    }


@torch.no_grad()
def accuracies(towers: Towers, *, n: int = 1000, seed: int = 1) -> dict[str, float]:
    """Zero-shot accuracies on clean scenes of one figure, and the rank correlation of the head with the rating."""
    generator = Generator().manual_seed(seed)
    scenes = sample_scenes(n, generator, pair_fraction=0, nuisance=0)

    def features(scenes: Scenes) -> tuple[Tensor, Tensor]:
        pictures = render(scenes, generator)
        return towers.encode_images((pictures.rgb - _MEAN) / _STD), rate(pictures)

    def zero_shot(image: Tensor, captions: list[str], answer: Tensor) -> float:
        text = towers.encode_texts(captions)
        return ((image @ text.T).argmax(dim=1) == answer).float().mean().item()

    clean, _ = features(scenes)
    mixed, rating = features(sample_scenes(n, generator))
    return {
        "shape": zero_shot(clean, [f"a {s}" for s in SHAPES], scenes.shape[:, 0]),
        "colour": zero_shot(clean, [f"a {c} shape" for c in COLOURS], scenes.colour[:, 0]),
        "ground": zero_shot(clean, [f"a shape on a {c} background" for c in COLOURS], scenes.ground),
        "rating": float(spearmanr(towers.rate_features(mixed), rating).statistic),
    }
