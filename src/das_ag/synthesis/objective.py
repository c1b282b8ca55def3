"""The loss: for each sample, a weighted sum of named terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.terms import IMAGE_TERMS, VIEW_TERMS

Dropout = tuple[tuple[int, float], ...]
"""Width and rate of each dropout layer of a guide's head, in order; empty if there is none or dropout is off."""

Terms = Mapping[str, Float[Tensor, " batch"]]
"""Measurements of a step: one number per sample, by the term's name; see `ObjectiveSettings.weights`."""


@dataclass(frozen=True)
class Guide:
    """The frozen networks that guide an image, as differentiable functions.

    Attributes:
        image_size_px: side of the pictures that `encode_images` takes.
        encode_images: CLIP-normalised pixels (N, 3, H, W) → L2-normalised features (N, D).
        rate_features: features (N, D) → aesthetic scores (N,), on a scale around 1 to 10. If dropout is on, it also
            takes one mask for each dropout layer. None if the networks do not rate.
        dropout: width and rate of each dropout layer that is on.
    """

    image_size_px: int
    encode_images: Callable[[Tensor], Tensor]
    rate_features: Callable[..., Tensor] | None
    dropout: Dropout = ()


@dataclass(frozen=True)
class ObjectiveSettings:
    """Weights of the terms; `weights` adds their signs.

    Attributes:
        aesthetic: λ_a by step, at least 0.
        aesthetic_sign: 0 for DAS, 1 for DAS-AG (a reward), -1 for DAS-rAG (a penalty).
        clip: λ_clip.
        others: λ of each term in `terms.py` to measure, by name.
    """

    aesthetic: Schedule
    aesthetic_sign: int
    clip: float
    others: Mapping[str, float]

    def weights(self, step: int, steps: int) -> dict[str, float]:
        """Weight of each term in the loss, which is minimised. Source: DAS-AG v1."""
        return {
            "aesthetic": -self.aesthetic_sign * self.aesthetic(step, steps),  # mean of score / 10 over views
            "positive": -self.clip,  # mean cosine over views and positive prompts
            "negative": self.clip,  # the same for negative prompts; 0 if there are none
            **self.others,
        }


@dataclass(frozen=True)
class Objective:
    """The loss of each sample of a batch, for that sample's prompts.

    Attributes:
        positive, negative: mean of the L2-normalised features of a sample's prompts; zeros for no prompt. The mean
            cosine over prompts equals the product with this mean, so more prompts cost no time.
    """

    settings: ObjectiveSettings
    positive: Float[Tensor, "batch d"]
    negative: Float[Tensor, "batch d"]

    def loss(self, terms: Terms, step: int, steps: int) -> Float[Tensor, " batch"]:
        """The loss of each sample; absent terms count as 0."""
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
        """Measures the view terms: means over a sample's views.

        Args:
            views_per_pass: views in the encoder at a time. The loss is a sum over views, so parts can be computed
                one after the other.

        Returns:
            The terms, and the gradient of their weighted sum with respect to the views; None if gradients are off.
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
        whole = gradients[0] if len(gradients) == 1 else torch.cat(gradients)  # avoid a copy of a single part
        return means, whole.view_as(views)


def _measure(
    guide: Guide,
    views: Float[Tensor, "n 3 size size"],
    prompts: Float[Tensor, "n 2 d"],
    dropout: Sequence[Float[Tensor, "n _"]],
    weights: Mapping[str, float],
) -> dict[str, Float[Tensor, " n"]]:
    """The terms of each view, differentiable with respect to the view."""
    features = guide.encode_images(views)
    positive, negative = (prompts @ features[:, :, None]).squeeze(2).unbind(dim=1)
    terms = {"positive": positive, "negative": negative}
    if guide.rate_features:
        terms["aesthetic"] = guide.rate_features(features, *dropout) / 10
    for name, term in VIEW_TERMS.items():
        if name in weights:
            # A term with weight 0 needs a value for the trace, but no gradient.
            with torch.set_grad_enabled(views.requires_grad and weights[name] > 0):
                terms[name] = term(views, features)
    return terms


def measure_image(
    rgb: Float[Tensor, "batch 3 h w"], weights: Mapping[str, float]
) -> dict[str, Float[Tensor, " batch"]]:
    """The terms of the whole image with a positive weight, differentiable with respect to the image."""
    return {name: term(rgb) for name, term in IMAGE_TERMS.items() if weights.get(name, 0) > 0}
