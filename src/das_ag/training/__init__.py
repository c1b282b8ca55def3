"""Trains the quality heads of the ImageNet models."""
