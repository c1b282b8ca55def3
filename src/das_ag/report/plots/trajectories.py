"""Plots loss and scores during the ascent."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from das_ag.report.plots.style import Group, caption, groups_of, head, say, tidy
from das_ag.report.plots.text import drawn_as_written
from das_ag.report.traces import COLUMNS

PANELS = {
    "loss": (1.0, "loss (↓ better)"),
    "positive": (1.0, "similarity to the prompt, cosine (↑ closer)"),
    "aesthetic": (10.0, "guide's score, 1–10 (↑ better)"),
}
"""Factor and label of the columns that every figure shows."""

FEWEST_FOR_A_DEVIATION = 3


@drawn_as_written
def trajectories_figure(traces: pd.DataFrame) -> Figure:
    """Loss, similarity, aesthetic score and further terms over the steps: mean and band of each method.

    Args:
        traces: as `trace_table` gives it.
    """
    further = {name: (1.0, f"{name.replace('_', ' ')} (↓ less)") for name in traces if name not in COLUMNS}
    shown = PANELS | further
    figure = Figure(figsize=(11.0 / 3 * len(shown), 4.3), layout=ConstrainedLayoutEngine(w_pad=0.15))
    panels = figure.subplots(1, len(shown), sharex=True)
    groups = groups_of(traces)
    for axes, (column, (factor, label)) in zip(panels, shown.items(), strict=True):
        for group in groups:
            rows = group.rows(traces)
            _draw(axes, group, rows["step"], rows[column] * factor, f"{group.name}, n = {_count(rows)}")
        if not traces[column].notna().any():
            say(axes, "not recorded")
        axes.set_xlabel("step of the optimiser")
        axes.set_ylabel(label, fontsize=9.5)
        axes.margins(x=0.02)
        tidy(axes)
    head(panels[0], "The ascent, step by step", legend=True)
    counts = [_count(group.rows(traces)) for group in groups]
    caption(
        figure,
        "Lines: mean over images.",
        _about_bands(counts),
        "The guide measures all values on the views of each step.",
        "Methods minimise different losses: compare the shapes of the curves, not their values.",
    )
    return figure


def _count(rows: pd.DataFrame) -> int:
    return int(rows["key"].nunique())


def _about_bands(counts: Sequence[int]) -> str:
    """A sentence that explains the bands, for these numbers of images."""
    deviation = any(n >= FEWEST_FOR_A_DEVIATION for n in counts)
    extent = any(1 < n < FEWEST_FOR_A_DEVIATION for n in counts)
    if deviation and extent:
        return f"Bands: ± standard deviation (n - 1); minimum to maximum where n < {FEWEST_FOR_A_DEVIATION}."
    if deviation:
        return "Bands: ± standard deviation (n - 1)."
    return "Bands: minimum to maximum." if extent else ""


def _draw(axes: Axes, group: Group, steps: pd.Series, values: pd.Series, label: str) -> None:
    found = values.groupby(steps).agg(["mean", "std", "min", "max", "count"])
    n = int(found["count"].max())
    low, high = found["min"], found["max"]
    if n >= FEWEST_FOR_A_DEVIATION:
        low, high = found["mean"] - found["std"], found["mean"] + found["std"]
        low = low.clip(lower=0) if values.min() >= 0 else low  # a penalty cannot be negative
    marker = group.marker if len(found) == 1 else "none"  # one step makes no line
    axes.plot(
        found.index, found["mean"], color=group.colour, linestyle=group.line, linewidth=1.8, zorder=3, label=label,
        marker=marker,
    )  # fmt: skip
    if n > 1:
        axes.fill_between(found.index, low, high, color=group.colour, alpha=0.18, linewidth=0, zorder=2)
