"""Plots the scores of each method, image by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from das_ag.report.plots.style import (
    ABOUT_SPREAD,
    Group,
    caption,
    draw_interval,
    draw_points,
    groups_of,
    head,
    intervals_of,
    say,
    tidy,
    unscored,
)
from das_ag.report.plots.text import drawn_as_written
from das_ag.report.statistics import pair_keys, scale_of

FEWEST_FOR_A_BOX = 10
"""Fewest points for a box; with fewer, a box says no more than the points."""

MEAN_AT = 0.36
"""Where a mean stands, to the right of its points."""

MOST_LINES = 300
"""Most pairs joined by lines; more lines would be a grey area."""


@drawn_as_written
def scores_figure(scores: pd.DataFrame, evaluator_title: str) -> Figure:
    """Every score as a point over boxes, mean, its interval and standard deviation of each method, lines between pairs.

    Args:
        scores: as `score_table` gives it.
        evaluator_title: whose scores these are.
    """
    scored = scores.dropna(subset="aesthetic_score")
    groups = groups_of(scored)
    figure = Figure(figsize=(1.8 + 1.6 * min(max(len(groups), 2), 15), 4.8), layout="constrained")
    axes = figure.subplots()
    placed = _placed(scored, groups)
    joined = _join(axes, placed)
    intervals = intervals_of(scored)
    for place, group in enumerate(groups):
        _draw_group(axes, place, group, group.rows(placed), of=len(scored))
        draw_interval(axes, place + MEAN_AT, intervals[group.method, group.settings])
    names = [f"{group.heading(22)}\nn = {len(group.rows(scored))}" for group in groups]
    axes.set_xticks(range(len(groups)), names, fontsize=8 if any(group.settings for group in groups) else 10)
    axes.set_xlim(-0.5, max(len(groups), 1) - 0.2)
    axes.set_ylabel(f"score, {scale_of(scores)} (↑ better)")
    tidy(axes, grid="y")
    head(axes, f"Scores by {evaluator_title}")
    if not groups:
        say(axes, "no scored image")
    caption(figure, *_sentences(groups, scored, joined), unscored(scores, len(scored)))
    return figure


def _placed(scored: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """The scores, sorted within their groups, with the group's `place` and the `x` of each point."""
    parts = [group.rows(scored).sort_values("aesthetic_score", kind="stable") for group in groups]
    parts = [part.assign(place=place, x=place + _spread(len(part))) for place, part in enumerate(parts)]
    return pd.concat(parts) if parts else scored.assign(place=0, x=0.0)


def _spread(n: int) -> np.ndarray:
    """Horizontal offsets that keep points apart, the same on every run."""
    return (np.arange(n) * 0.618034 % 1 - 0.5) * 0.36


def _join(axes: Axes, placed: pd.DataFrame) -> tuple[int, int]:
    """Draws a line between images of the same prompts, seed and settings if each method has exactly one.

    Returns:
        How many lines are drawn, and how many are possible.
    """
    methods, keys = placed["method"].nunique(), pair_keys(placed)
    lines = [
        part.sort_values("place")[["x", "aesthetic_score"]].to_numpy()
        for _, part in placed.groupby([keys[name] for name in keys], sort=True)
        if part["method"].is_unique and len(part) == methods > 1
    ]
    shown = lines
    if len(lines) > MOST_LINES:  # evenly spaced among all
        shown = [lines[place] for place in np.linspace(0, len(lines) - 1, MOST_LINES).astype(int)]
    opacity = float(np.clip(15 / max(len(shown), 1), 0.2, 0.8))
    if shown:
        axes.add_collection(LineCollection(shown, colors="#A8A8A8", linewidths=0.6, alpha=opacity, zorder=2))
    return len(shown), len(lines)


def _draw_group(axes: Axes, place: int, group: Group, rows: pd.DataFrame, *, of: int) -> None:
    """Draws box, points, mean and standard deviation."""
    values = rows["aesthetic_score"]
    if len(values) >= FEWEST_FOR_A_BOX:
        thin = {"color": "#8A8A8A", "linewidth": 0.8}
        axes.boxplot(
            [values.to_numpy()], positions=[place], widths=0.5, patch_artist=True, showfliers=False,
            manage_ticks=False, zorder=1, boxprops={"facecolor": "#F0F0F0", "edgecolor": "#8A8A8A", "linewidth": 0.8},
            whiskerprops=thin, capprops=thin, medianprops={"color": group.colour, "linewidth": 2.0},
        )  # fmt: skip
    draw_points(axes, rows["x"], values, group, of=of)
    mean, std = float(values.mean()), float(values.std()) if len(values) > 1 else 0.0
    axes.errorbar(
        place + MEAN_AT, mean, yerr=std, fmt=group.marker, color="black", markerfacecolor="white", markersize=7,
        capsize=5, linewidth=1.2, zorder=5,
    )  # fmt: skip
    axes.annotate(
        f"{mean:.2f}", (place + MEAN_AT, mean), xytext=(8, 0), textcoords="offset points", va="center", fontsize=9,
        zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
    )  # fmt: skip


def _sentences(groups: Sequence[Group], scored: pd.DataFrame, joined: tuple[int, int]) -> list[str]:
    shown, possible = joined
    sentences = ["Points: one image each. Marker with a number: mean."]
    if scored.duplicated(["method", "settings"]).any():
        sentences.append(ABOUT_SPREAD)
    if any(len(group.rows(scored)) >= FEWEST_FOR_A_BOX for group in groups):
        sentences.append("Boxes: quartiles and median; whiskers reach the furthest point within 1.5 box heights.")
    if shown:
        count = f"{shown} of {possible} lines are drawn" if shown < possible else f"{shown} in total"
        sentences.append(f"Lines join images with the same prompt and seed ({count}).")
    return sentences
