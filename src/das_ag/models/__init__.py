"""Frozen networks, behind contracts: what guides an image and what rates it."""

from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel

__all__ = ["AestheticModel", "FeatureRater", "ImageTextModel"]
