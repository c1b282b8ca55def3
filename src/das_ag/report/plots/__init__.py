"""Figures of an experiment. Each function returns a matplotlib Figure for a paper or notebook.

>>> from das_ag.report import plots, read_scores, trace_table
>>> scored = read_scores("outputs/wonders")
>>> scores, judge = scored.scores, scored.title  # a pandas DataFrame, and the name of the evaluator
>>> figure = plots.scores_figure(scores, judge)  # each score, means and intervals
>>> plots.save(figure, "scores")  # scores.png and scores.svg
>>> figure = plots.response_figure(scores, judge)  # against the number of a sweep; None if there is none
>>> figure = plots.fidelity_figure(scores, judge)  # against the similarity to the prompt
>>> figure = plots.fooling_figure(scores, judge)  # against the guide's own score
>>> figure = plots.images_figure(scores, scored.store.read_image)  # prompts by methods
>>> figure = plots.seeds_figure(scores, scored.store.read_image)  # all seeds; None if there is one of each prompt
>>> traces, damaged = trace_table(scored.store, scored.records)
>>> figure = plots.trajectories_figure(traces)  # loss and scores, step by step

`pyramid_figure` draws the levels of one image. A notebook shows a figure below its cell after `%matplotlib inline`.
"""

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
