"""Frozen networks, behind two contracts: what guides an image and what rates it."""

from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel
from das_ag.models.registry import EVALUATORS, GUIDES, EvaluatorFamily, GuideFamily

__all__ = [
    "EVALUATORS",
    "GUIDES",
    "AestheticModel",
    "EvaluatorFamily",
    "FeatureRater",
    "GuideFamily",
    "ImageTextModel",
]
