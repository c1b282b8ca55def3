"""Figures of a store. Each function returns a matplotlib Figure for a paper or notebook."""

import das_ag.report.plots.start  # noqa: F401  before all others, which import matplotlib
from das_ag.report.plots.images import images_figure, seeds_figure
from das_ag.report.plots.pyramid import pyramid_figure
from das_ag.report.plots.relations import fidelity_figure, fooling_figure
from das_ag.report.plots.response import response_figure
from das_ag.report.plots.scores import scores_figure
from das_ag.report.plots.style import save
from das_ag.report.plots.trajectories import trajectories_figure
from das_ag.report.plots.write import write_comparison_plots, write_plots

__all__ = [
    "fidelity_figure",
    "fooling_figure",
    "images_figure",
    "pyramid_figure",
    "response_figure",
    "save",
    "scores_figure",
    "seeds_figure",
    "trajectories_figure",
    "write_comparison_plots",
    "write_plots",
]
