"""The method: tensors in, tensors out."""

from das_ag.synthesis.ascent import (
    REVISION,
    Ascent,
    Iterate,
    geometry_of,
    image_rgb,
    measure_result,
    to_bytes,
)
from das_ag.synthesis.objective import Dropout, Guide, Objective, ObjectiveSettings, Terms, mean_features
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, initial_levels
from das_ag.synthesis.randomness import (
    RANDOMNESS,
    Numbers,
    PublishedNumbers,
    SampleNumbers,
    StepNumbers,
    as_default,
)
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import ViewGeometry, ViewNumbers, ViewSettings, draw_view_numbers

__all__ = [
    "RANDOMNESS",
    "REVISION",
    "Ascent",
    "AscentSettings",
    "Dropout",
    "Guide",
    "Iterate",
    "Numbers",
    "Objective",
    "ObjectiveSettings",
    "PublishedNumbers",
    "Pyramid",
    "PyramidSettings",
    "SampleNumbers",
    "Schedule",
    "StepNumbers",
    "Terms",
    "ViewGeometry",
    "ViewNumbers",
    "ViewSettings",
    "as_default",
    "draw_view_numbers",
    "geometry_of",
    "image_rgb",
    "initial_levels",
    "mean_features",
    "measure_result",
    "to_bytes",
]
