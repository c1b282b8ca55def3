"""The method: tensors in, tensors out."""

from das_ag.synthesis.ascent import (
    REVISION,
    AscentSettings,
    Iterate,
    ascend,
    image_rgb,
    measure_result,
    to_bytes,
)
from das_ag.synthesis.objective import Guide, Objective, ObjectiveSettings, Terms, mean_features
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, initial_levels
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import ViewNumbers, ViewSettings, draw_view_numbers

__all__ = [
    "REVISION",
    "AscentSettings",
    "Guide",
    "Iterate",
    "Objective",
    "ObjectiveSettings",
    "Pyramid",
    "PyramidSettings",
    "Schedule",
    "Terms",
    "ViewNumbers",
    "ViewSettings",
    "ascend",
    "draw_view_numbers",
    "image_rgb",
    "initial_levels",
    "mean_features",
    "measure_result",
    "to_bytes",
]
