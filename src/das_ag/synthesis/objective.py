"""What is minimised: named terms of each sample, weighted and summed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from das_ag.errors import UserError
from das_ag.synthesis.schedules import Schedule

Dropout = tuple[tuple[int, float], ...]
"""Width and rate of each dropout layer of a guide's head, in order; empty where it has none or leaves it off."""


@dataclass(frozen=True)
class Guide:
    """The frozen networks that an image is made for, as functions that can be differentiated.

    Attributes:
        image_size_px: side of the pictures that `encode_images` takes.
        encode_images: CLIP-normalised pixels (N, 3, H, W) → L2-normalised features (N, D).
        rate_features: features (N, D) → aesthetic score of each (N,), on a scale around 1 to 10; where its dropout is
            left on, what each such layer multiplies with follows. None where the networks do not rate.
        dropout: width and rate of those layers.
    """

    image_size_px: int
    encode_images: Callable[[Tensor], Tensor]
    rate_features: Callable[..., Tensor] | None
    dropout: Dropout = ()


@dataclass(frozen=True)
class ObjectiveSettings:
    """Weights of the terms; the sign of each stands in `Objective.loss`.

    Attributes:
        aesthetic: λ_a by step, at least 0.
        aesthetic_sign: 0 for DAS, 1 for DAS-AG (a reward), -1 for DAS-rAG (a penalty).
        clip: λ_clip.
        total_variation: λ_tv.
        l1: λ_l1.
        highlights: λ_h; 0 in the published settings.
    """

    aesthetic: Schedule
    aesthetic_sign: int
    clip: float
    total_variation: float
    l1: float
    highlights: float = 0.0

    def __post_init__(self) -> None:
        if min(self.aesthetic.start, self.aesthetic.end) < 0:
            raise UserError(
                f"objective.aesthetic: expected start and end of at least 0, got {self.aesthetic.start} and "
                f"{self.aesthetic.end}; the method gives the sign."
            )
        if self.aesthetic_sign not in (-1, 0, 1):
            raise UserError(f"aesthetic_sign: expected -1, 0 or 1, got {self.aesthetic_sign}; choose a method.")
        for name in ("clip", "total_variation", "l1", "highlights"):
            weight = getattr(self, name)
            if not (math.isfinite(weight) and weight >= 0):
                raise UserError(f"objective.{name}: expected a weight of at least 0, got {weight}; change it.")


@dataclass(frozen=True)
class Terms:
    """What one step measured, one number for each sample.

    Attributes:
        aesthetic: mean over views of the aesthetic score, over 10; None where the guide does not rate.
        positive: mean cosine over views and positive prompts.
        negative: likewise over negative prompts; 0 where there are none.
        total_variation: mean absolute difference along rows plus along columns, of the views as the model sees them.
        l1: mean absolute value of the views.
        highlights: of the whole canvas, see `highlights`; None where its weight is 0.
    """

    aesthetic: Float[Tensor, " batch"] | None
    positive: Float[Tensor, " batch"]
    negative: Float[Tensor, " batch"]
    total_variation: Float[Tensor, " batch"]
    l1: Float[Tensor, " batch"]
    highlights: Float[Tensor, " batch"] | None = None

    def by_name(self) -> dict[str, Float[Tensor, " batch"]]:
        """What was measured."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Objective:
    """The loss of each sample of a batch, with that sample's prompts.

    Attributes:
        positive, negative: mean over a sample's prompts of their L2-normalised features; zeros for no prompt. The mean
            cosine over prompts is the product with their mean, so the number of prompts costs nothing.
    """

    settings: ObjectiveSettings
    positive: Float[Tensor, "batch d"]
    negative: Float[Tensor, "batch d"]

    def rows(self, rows: slice) -> Objective:
        """The objective of some of the samples."""
        return Objective(self.settings, self.positive[rows], self.negative[rows])

    def measure(
        self,
        guide: Guide,
        views: Float[Tensor, "batch views 3 size size"],
        dropout: Sequence[Float[Tensor, "batch views _"]] = (),
    ) -> Terms:
        """The terms of the views, differentiable in them; each is a mean over views."""
        batch, count = views.shape[:2]
        # While the processor's cache still holds the views, before the encoder fills it.
        variation = total_variation(views)
        # A weight of zero needs the value for the trace, and no gradient.
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.settings.l1 > 0):
            l1 = _mean_of_sample(views.abs())
        features = guide.encode_images(views.flatten(0, 1))
        aesthetic = None
        if guide.rate_features:
            scores = guide.rate_features(features, *(mask.flatten(0, 1) for mask in dropout))
            aesthetic = scores.view(batch, count).mean(dim=1) / 10
        features = features.view(batch, count, -1)
        return Terms(
            aesthetic=aesthetic,
            positive=(features @ self.positive[:, :, None]).squeeze(2).mean(dim=1),
            negative=(features @ self.negative[:, :, None]).squeeze(2).mean(dim=1),
            total_variation=variation,
            l1=l1,
        )

    def loss(self, terms: Terms, step: int, steps: int) -> Float[Tensor, " batch"]:
        """The loss of each sample, linear in the terms. Source: DAS-AG v1.

        Raises:
            ValueError: the aesthetic term has a weight, and the guide does not rate.
        """
        s = self.settings
        if s.aesthetic_sign and terms.aesthetic is None:
            raise ValueError("aesthetic: expected a guide that rates, got one that does not; use aesthetic_sign=0.")
        return (
            (0 if terms.aesthetic is None else -s.aesthetic_sign * s.aesthetic(step, steps) * terms.aesthetic)
            - s.clip * (terms.positive - terms.negative)
            + s.total_variation * terms.total_variation
            + s.l1 * terms.l1
            + (0 if terms.highlights is None else s.highlights * terms.highlights)
        )


HIGHLIGHT = 0.9
"""From here on a colour counts as one: classifiers like white backgrounds more than people do."""


def highlights(rgb: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, " batch"]:
    """Mean over pixels and channels of what exceeds `HIGHLIGHT`; RGB in 0…1."""
    return (rgb - HIGHLIGHT).clamp(min=0).flatten(1).mean(dim=1)


def total_variation(views: Float[Tensor, "batch views 3 h w"]) -> Float[Tensor, " batch"]:
    """Mean absolute difference of neighbours along rows plus that along columns."""
    return _TotalVariation.apply(views)


class _TotalVariation(torch.autograd.Function):
    """Keeps the signs of the differences and adds them up where they belong: half of autograd's passes over memory."""

    @staticmethod
    def forward(ctx: Any, views: Tensor) -> Tensor:
        along_rows = views[..., :, 1:] - views[..., :, :-1]
        along_columns = views[..., 1:, :] - views[..., :-1, :]
        ctx.save_for_backward(along_rows.sign(), along_columns.sign())
        return _mean_of_sample(along_rows.abs_()) + _mean_of_sample(along_columns.abs_())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        along_rows, along_columns = ctx.saved_tensors
        weight = gradients[0][:, None, None, None, None]
        n, views, channels, height, width = along_columns.shape
        gradient = weight.new_empty(n, views, channels, height + 1, width)
        rows, columns = weight / _per_sample(along_rows), weight / _per_sample(along_columns)
        torch.mul(along_rows, rows, out=gradient[..., :, 1:])
        gradient[..., :, 0] = 0
        gradient[..., :, :-1].addcmul_(along_rows, rows, value=-1)
        gradient[..., 1:, :].addcmul_(along_columns, columns)
        gradient[..., :-1, :].addcmul_(along_columns, columns, value=-1)
        return gradient


def _mean_of_sample(numbers: Float[Tensor, "batch _ _ _ _"]) -> Float[Tensor, " batch"]:
    """The mean of each sample's numbers; of absolute values faster than a norm, and a hundred times as exact."""
    return numbers.flatten(1).sum(dim=1) / _per_sample(numbers)


def _per_sample(pictures: Tensor) -> int:
    return pictures[0].numel()


def mean_features(
    features: Sequence[Sequence[Float[Tensor, " d"]]], like: Float[Tensor, " d"]
) -> Float[Tensor, "batch d"]:
    """The mean over each sample's prompts, zeros where a sample has none."""
    return torch.stack([torch.stack(list(f)).mean(dim=0) if f else torch.zeros_like(like) for f in features])
