"""Frozen networks, behind contracts: what guides an image and what rates it."""
