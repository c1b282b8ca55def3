"""What is minimised: the weighted sum of named terms of each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.terms import IMAGE_TERMS, VIEW_TERMS

Dropout = tuple[tuple[int, float], ...]
"""Width and rate of each dropout layer of a guide's head, in order; empty where it has none or leaves it off."""

Terms = Mapping[str, Float[Tensor, " batch"]]
"""What a step measured, one number for each sample by the term's name; `Objective.weights` says what each is."""


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
    """Weights of the terms; the sign of each stands in `weights`.

    Attributes:
        aesthetic: λ_a by step, at least 0.
        aesthetic_sign: 0 for DAS, 1 for DAS-AG (a reward), -1 for DAS-rAG (a penalty).
        clip: λ_clip.
        others: λ of the terms in `terms.py` that are to be measured, by name.
    """

    aesthetic: Schedule
    aesthetic_sign: int
    clip: float
    others: Mapping[str, float]

    def weights(self, step: int, steps: int) -> dict[str, float]:
        """Weight of each term in the loss, which is minimised. Source: DAS-AG v1."""
        return {
            "aesthetic": -self.aesthetic_sign * self.aesthetic(step, steps),  # mean over views of the score, over 10
            "positive": -self.clip,  # mean cosine over views and positive prompts
            "negative": self.clip,  # likewise over negative prompts; 0 where there are none
            **self.others,
        }


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

    def loss(self, terms: Terms, step: int, steps: int) -> Float[Tensor, " batch"]:
        """The loss of each sample; terms that are not there count nothing."""
        weights = self.settings.weights(step, steps)
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum(dim=0)

    def measure_views(
        self,
        guide: Guide,
        views: Float[Tensor, "batch views 3 size size"],
        dropout: Sequence[Float[Tensor, "batch views _"]] = (),
        *,
        weights: Mapping[str, float],
        views_per_pass: int,
    ) -> tuple[Terms, Float[Tensor, "batch views 3 size size"] | None]:
        """The terms that are means over a sample's views, and the gradient of their weighted sum in the views.

        Args:
            views_per_pass: views that are held in the encoder at a time. Each view adds a share of its own to the loss,
                so that the views can pass by parts.

        Returns:
            The gradient is None where torch's gradients are off.
        """
        batch, count = views.shape[:2]
        flat, masks = views.detach().flatten(0, 1), [mask.flatten(0, 1) for mask in dropout]
        prompts = torch.stack([self.positive, self.negative], dim=1).repeat_interleave(count, dim=0)
        measured, gradients = list[dict[str, Tensor]](), list[Tensor]()
        for first in range(0, batch * count, views_per_pass):
            part = slice(first, first + views_per_pass)
            pixels = flat[part].requires_grad_(torch.is_grad_enabled())
            terms = _measure(guide, pixels, prompts[part], [mask[part] for mask in masks], weights)
            if pixels.requires_grad:
                loss = torch.stack([weights[name] * value for name, value in terms.items()])
                gradients += torch.autograd.grad(loss.sum() / count, pixels)
            measured.append({name: value.detach() for name, value in terms.items()})
        means = {name: torch.cat([t[name] for t in measured]).view(batch, count).mean(dim=1) for name in measured[0]}
        if not gradients:
            return means, None
        whole = gradients[0] if len(gradients) == 1 else torch.cat(gradients)  # no copy where it is whole already
        return means, whole.view_as(views)


def _measure(
    guide: Guide,
    views: Float[Tensor, "n 3 size size"],
    prompts: Float[Tensor, "n 2 d"],
    dropout: Sequence[Float[Tensor, "n _"]],
    weights: Mapping[str, float],
) -> dict[str, Float[Tensor, " n"]]:
    """The terms of each view, differentiable in it."""
    features = guide.encode_images(views)
    positive, negative = (prompts @ features[:, :, None]).squeeze(2).unbind(dim=1)
    terms = {"positive": positive, "negative": negative}
    if guide.rate_features:
        terms["aesthetic"] = guide.rate_features(features, *dropout) / 10
    for name in (name for name in VIEW_TERMS if name in weights):
        # A weight of 0 needs the value for the trace, and no gradient.
        with torch.set_grad_enabled(views.requires_grad and weights[name] > 0):
            terms[name] = VIEW_TERMS[name](views, features)
    return terms


def measure_image(
    rgb: Float[Tensor, "batch 3 h w"], weights: Mapping[str, float]
) -> dict[str, Float[Tensor, " batch"]]:
    """The terms of the whole image that have a weight, differentiable in it."""
    return {name: term(rgb) for name, term in IMAGE_TERMS.items() if weights.get(name, 0) > 0}
