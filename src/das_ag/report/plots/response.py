"""Plots how score and similarity respond to a number that a sweep varies."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from das_ag.methods import methods_of
from das_ag.report.labels import divide_reward, in_words, natural, pairs_of, without
from das_ag.report.plots.style import caption, head, not_shown, tidy, unscored
from das_ag.report.plots.text import drawn_as_written, wrapped
from das_ag.report.statistics import method_summary, scale_of, without_texts
from das_ag.report.table import span

ROWS = {"aesthetic_score": "score (↑ better)", "clip_positive": "similarity, cosine (↑ closer)"}
"""Columns of the table to draw, and their labels."""

MOST_PANELS = 5
"""Most values of the other settings; each has a panel."""

DECADE = 10
"""The axis is logarithmic if the largest value is at least so many times the smallest above 0."""

_BAND: dict[str, Any] = {"alpha": 0.12, "linewidth": 1.5}


def swept_number(labels: Iterable[str]) -> str:
    """The number that takes most values while the rest of the label stays the same; empty if there is none."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for label in labels:
        for name, value in pairs_of(label):
            found[name][without(label, name)].add(value)
    counts = {
        name: max(map(len, values.values()))
        for name, values in found.items()
        if not any(math.isnan(_number(value)) for value in set().union(*values.values()))
    }
    best = max(counts, key=lambda name: counts[name], default="")
    return best if counts.get(best, 0) > 1 else ""


@drawn_as_written
def response_figure(scores: pd.DataFrame, evaluator_title: str) -> Figure | None:
    """Score and similarity against the number of a sweep: a line for each method, the interval of its mean as a band.

    Each value of the other settings has a panel. A method that ignores the number has a horizontal line.

    Args:
        scores: as `score_table` gives it.
        evaluator_title: whose scores these are.

    Returns:
        None if no setting is a number with several values.
    """
    scored = without_texts(scores).dropna(subset="aesthetic_score")
    if not (name := swept_number(scored["settings"])):
        return None
    points = {column: _points(scored, column, name) for column in ROWS}
    panels = _panels(points["aesthetic_score"])
    figure, grid = _frames(name, panels[:MOST_PANELS])
    for row, column in zip(grid, ROWS, strict=True):
        for axes, panel in zip(row, panels, strict=False):
            _draw(axes, points[column], panel)
    _scale(grid[0, 0], sorted(set(points["aesthetic_score"]["value"].dropna())))
    _name_methods(grid[0, 0], points["aesthetic_score"])
    grid[0, 0].set_ylabel(f"score, {scale_of(scores)} (↑ better)")
    head(grid[0, 0], f"Score by {evaluator_title} and similarity to the prompt", legend=True)
    further = not_shown("Panels", len(panels) - MOST_PANELS)
    caption(figure, *_sentences(points["aesthetic_score"]), further, unscored(scores, len(scored)))
    return figure


def _number(value: str) -> float:
    """The value of a setting as a number; NaN if it is none."""
    try:
        number = float(value)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


def _points(scored: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """`method_summary` of a column, with the `value` of the number, NaN where it is ignored, and the other settings."""
    summary = method_summary(scored.assign(aesthetic_score=scored[column]))
    return summary.assign(
        value=[_number(dict(pairs_of(label)).get(name, "")) for label in summary["settings"]],
        others=[without(label, name) for label in summary["settings"]],
    )


def _panels(points: pd.DataFrame) -> list[str]:
    """The values of the other settings; DAS, which ignores the aesthetic weight, has no panel of its own."""
    found = set(points.loc[points["value"].notna(), "others"])
    shared = {divide_reward(others)[0] for others in found if divide_reward(others)[1]}
    return sorted(found - shared, key=natural)


def _frames(name: str, panels: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """Empty axes (rows, panels) with their labels."""
    figure = Figure(figsize=(max(2.0 + 3.2 * len(panels), 7.0), 6.0), layout="constrained")
    grid = figure.subplots(len(ROWS), len(panels), squeeze=False, sharex=True, sharey="row")
    for axes in grid.flat:
        tidy(axes)
    for axes, label in zip(grid[:, 0], ROWS.values(), strict=True):
        axes.set_ylabel(label)
    for axes, panel in zip(grid[-1], panels, strict=True):
        axes.set_xlabel("\n".join([name, *wrapped(in_words(panel), 40)]))
    return figure, grid


def _draw(axes: Axes, points: pd.DataFrame, panel: str) -> None:
    of_panel = points[points["others"].isin([panel, divide_reward(panel)[0]])].sort_values("value")
    for method in methods_of(points["method"]):
        rows = of_panel[of_panel["method"] == method.name]
        if rows["value"].isna().all():
            for row in rows.itertuples():
                axes.axhline(row.mean, color=method.colour, linestyle="--", zorder=3)
                axes.axhspan(row.low, row.high, color=method.colour, **_BAND)
        else:
            axes.plot(rows["value"], rows["mean"], color=method.colour, marker=method.marker, zorder=3)
            axes.fill_between(rows["value"], rows["low"], rows["high"], color=method.colour, **_BAND)


def _name_methods(axes: Axes, points: pd.DataFrame) -> None:
    """Adds empty lines for the legend, since not each method is in each panel."""
    for method in methods_of(points["method"]):
        ignores = points.loc[points["method"] == method.name, "value"].isna().all()
        label = f"{method.title}, which ignores it" if ignores else method.title
        line, marker = ("--", "none") if ignores else ("-", method.marker)
        axes.plot([], [], color=method.colour, linestyle=line, marker=marker, label=label)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis, linear below the smallest value above 0, if the values span a decade or more."""
    positive = [value for value in values if value > 0]
    if values[0] < 0 or values[-1] < DECADE * positive[0]:
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=all(value.is_integer() for value in values)))
        return
    if values[0] > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=positive[0])
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def _sentences(points: pd.DataFrame) -> list[str]:
    sentences = [f"Points: mean over images, n = {span(points['n'].tolist())}. The guide measures the similarity."]
    if points["low"].notna().any():
        over = "over prompts" if points["prompts"].max() > 1 else "over the seeds of the prompt"
        sentences.append(f"Bands: 95 % interval of the mean {over}, computed as in the table.")
    return sentences
