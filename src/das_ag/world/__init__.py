"""The procedural world that trains the embedded models: scenes, their pictures, captions and aesthetic rating."""

from das_ag.world.captions import (
    Captions,
    Claims,
    all_shape_colour_captions,
    caption_scenes,
    contradict,
    holds,
    swap_figure_and_ground,
)
from das_ag.world.rating import rate
from das_ag.world.render import Pictures, render
from das_ag.world.scenes import COLOURS, GROUNDS, QUALITIES, SHAPES, Scenes, sample_scenes

__all__ = [
    "COLOURS",
    "GROUNDS",
    "QUALITIES",
    "SHAPES",
    "Captions",
    "Claims",
    "Pictures",
    "Scenes",
    "all_shape_colour_captions",
    "caption_scenes",
    "contradict",
    "holds",
    "rate",
    "render",
    "sample_scenes",
    "swap_figure_and_ground",
]
