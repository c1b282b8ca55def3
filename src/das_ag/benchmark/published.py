"""An optimisation step as in the published program, the baseline for the speed of this one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from das_ag.generation.batch import mean_features
from das_ag.models.aesthetic import DROPOUT, LaionHead
from das_ag.models.clip import build_clip
from das_ag.models.guides.openai_clip import OpenAIClipChoice
from das_ag.models.sources import clip_package
from das_ag.settings.plan import Plan
from das_ag.store.samples import Sample
from das_ag.synthesis.objective import Guide
from das_ag.synthesis.reference import synthesise


def published_way(
    plan: Plan, sample: Sample, device: torch.device, cpu_state: Tensor | None = None
) -> Iterator[tuple[float, Float[Tensor, "1 3 size size"]]]:
    """The reference's loop with CLIP called through its own package: one image, all views in one pass, float32.

    Weights get no gradients, as in the published program: `DasAttacker._freeze` turns them off for all parameters of
    CLIP and head (read in its source).

    Args:
        plan: has CLIP as its guide, levels of powers of two, and only the published terms.
        cpu_state: of the CPU's generator after the networks' initial weights were drawn; None for the seed's.

    Source: DAS-AG v1.
    """
    assert isinstance(plan.guide, OpenAIClipChoice)
    clip, s, head_file = clip_package(), plan.settings, plan.guide.head_file()
    assert head_file is not None
    model = build_clip(plan.guide.clip_file().path).to(device)
    head = LaionHead(head_file.path, device=device, dropout=DROPOUT if plan.guide.guide_dropout else ())

    def encode_images(views: Tensor) -> Tensor:
        return F.normalize(model.encode_image(views), dim=-1)

    with torch.no_grad():
        tokens = [clip.tokenize(list(t), truncate=True).to(device) for t in (sample.positive, sample.negative)]
        features = [list(F.normalize(model.encode_text(t), dim=-1)) for t in tokens]
        positive, negative = mean_features(features, features[0][0])
    generator = torch.Generator(device).manual_seed(sample.seed)
    if cpu_state is not None:
        generator.set_state(cpu_state)
    guide = Guide(model.visual.input_resolution, encode_images, head.rate_features, head.dropout)
    return synthesise(guide, positive, negative, (s.pyramid, s.views, s.objective, s.ascent), generator)
