"""Scores finished images by models that did not guide, and says whether all models are ready."""
