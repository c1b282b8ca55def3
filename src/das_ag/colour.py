"""CLIP's colour space, which images, views and every model of this project share."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of RGB in 0…1 by which CLIP normalises its input. Source: OpenAI CLIP."""

COLOUR_BASIS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""Columns: what one unit of brightness, of red against blue, and of green against magenta adds to R, G and B. The
square root of the covariance of ImageNet's colours. Source: tensorflow/lucid."""
