"""Generates the samples of a plan in batches, and reproduces finished samples."""
