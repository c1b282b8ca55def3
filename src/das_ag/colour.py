"""CLIP's colour space, which images, views and every model of this project share."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of RGB in 0…1 by which CLIP normalises its input. Source: OpenAI CLIP."""
