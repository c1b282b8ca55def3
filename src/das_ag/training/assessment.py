"""What an embedded model has learned, measured on scenes that it has not seen."""

from __future__ import annotations

import torch
from scipy.stats import spearmanr
from torch import Generator, Tensor
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.models.embedded import Towers
from das_ag.world import COLOURS, GROUNDS, SHAPES, Scenes, rate, render, sample_scenes


@torch.no_grad()
def assess(towers: Towers, *, n: int = 1000, seed: int = 1) -> dict[str, float]:
    """Accuracies and rank correlation of a model on the CPU.

    Args:
        n: scenes of each kind.
        seed: of the scenes; no recipe uses it.

    Returns:
        `shape`, `colour`, `background`: zero-shot accuracy on clean scenes of one figure, in 0…1. As CLIP is used, a
            class is the mean feature of many captions: of a shape those in all colours, and so on.
        `rating`: Spearman's correlation of the head with the formula on scenes of all kinds, nuisances included.
    """
    generator = Generator().manual_seed(seed)
    scenes = sample_scenes(n, generator, pair_fraction=0.0, nuisance=0.0)
    clean, _ = _features(towers, scenes, generator)
    mixed, rating = _features(towers, sample_scenes(n, generator), generator)
    return {
        "shape": _zero_shot(towers, clean, [[f"a {c} {s}" for c in COLOURS] for s in SHAPES], scenes.shape[:, 0]),
        "colour": _zero_shot(towers, clean, [[f"a {c} {s}" for s in SHAPES] for c in COLOURS], scenes.colour[:, 0]),
        "background": _zero_shot(
            towers,
            clean,
            [[f"a {c} {s} on a {g} background" for s in SHAPES for c in COLOURS if c != g] for g in GROUNDS],
            scenes.ground,
        ),
        "rating": float(spearmanr(towers.rate_features(mixed), rating).statistic),
    }


def _features(towers: Towers, scenes: Scenes, generator: Generator) -> tuple[Tensor, Tensor]:
    """Features and true ratings of the scenes' pictures."""
    pictures = render(scenes, generator)
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return towers.encode_images((pictures.rgb - mean) / std), rate(pictures)


def _zero_shot(towers: Towers, features: Tensor, captions: list[list[str]], answer: Tensor) -> float:
    """Share of pictures whose class (a list of captions) is named rightly."""
    classes = torch.stack([towers.encode_texts(texts).mean(dim=0) for texts in captions])
    named = (features @ F.normalize(classes, dim=-1).T).argmax(dim=1)
    return (named == answer).float().mean().item()
