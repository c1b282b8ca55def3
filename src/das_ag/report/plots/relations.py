"""The evaluator's score against similarity to the prompt, and against the guide's own score."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from das_ag.report.plots.style import (
    ABOUT_SPREAD,
    INK,
    caption,
    draw_mean,
    draw_points,
    groups_of,
    head,
    intervals_of,
    say,
    tidy,
    unscored,
)
from das_ag.report.plots.text import drawn_as_written
from das_ag.report.statistics import scale_of

GUIDES_SCALE = "1–10"


@drawn_as_written
def fidelity_figure(scores: pd.DataFrame, evaluator_title: str) -> Figure:
    """Evaluator's score against similarity to the prompt: does a better score cost similarity?

    Args:
        scores: as `score_table` gives it.
        evaluator_title: whose scores these are.
    """
    has_negative = bool(scores["clip_negative"].fillna(0).ne(0).any())
    similarity = scores["clip_positive"] - scores["clip_negative"] if has_negative else scores["clip_positive"]
    table = scores.assign(x=similarity).dropna(subset=["x", "aesthetic_score"])
    figure, axes = _drawing(table, with_correlation=False)
    what = "cosine with positive − negative prompts" if has_negative else "cosine with the prompt"
    axes.set_xlabel(f"similarity to the prompt, measured by the guide: {what} (→ closer)")
    head(axes, f"Score by {evaluator_title} and fidelity to the prompt", legend=True)
    caption(
        figure,
        "Small markers: one image each. Large markers: mean of a method.",
        ABOUT_SPREAD if table.duplicated(["method", "settings"]).any() else "",
        "A method that is higher but further left has a better score and less fidelity.",
        unscored(scores, len(table)),
    )
    return figure


@drawn_as_written
def fooling_figure(scores: pd.DataFrame, evaluator_title: str) -> Figure:
    """Evaluator's score against the guide's own: has the ascent fooled the guide?

    Args:
        scores: as `score_table` gives it.
        evaluator_title: whose scores these are.
    """
    table = scores.assign(x=scores["guide_aesthetic_score"]).dropna(subset=["x", "aesthetic_score"])
    figure, axes = _drawing(table, with_correlation=True)
    has_line = not table.empty and scale_of(table) == GUIDES_SCALE and _identity(axes)
    axes.set_xlabel(f"score by the guide, {GUIDES_SCALE} (→ better)")
    head(axes, f"Score by {evaluator_title} and by the guide", legend=True)
    caption(
        figure,
        "Small markers: one image each. Large markers: mean of a method.",
        ABOUT_SPREAD if table.duplicated(["method", "settings"]).any() else "",
        "ρ: Spearman's rank correlation." if not table.empty else "",
        "Dashed line: equal scores; below it, the guide's score is the higher one." if has_line
        else "",
        unscored(scores, len(table)),
    )  # fmt: skip
    return figure


def _drawing(table: pd.DataFrame, *, with_correlation: bool) -> tuple[Figure, Axes]:
    """Points and means of `aesthetic_score` against `x`, with a legend that states n."""
    figure = Figure(figsize=(7.0, 5.2), layout="constrained")
    axes = figure.subplots()
    groups, intervals = groups_of(table), intervals_of(table)
    for group in groups:
        rows = group.rows(table)
        rank = f", {_rank_correlation(rows)}" if with_correlation else ""
        label = f"{group.name}, n = {len(rows)}{rank}"
        draw_points(axes, rows["x"], rows["aesthetic_score"], group, of=len(table), label=label)
        draw_mean(axes, rows["x"], rows["aesthetic_score"], group, intervals[group.method, group.settings])
    axes.margins(0.06)
    axes.set_ylabel(f"score, {scale_of(table)} (↑ better)")
    tidy(axes)
    if not groups:
        say(axes, "no scored image")
    return figure, axes


def _rank_correlation(rows: pd.DataFrame) -> str:
    from scipy.stats import spearmanr  # takes a second to import

    if len(rows) < 3 or rows["x"].nunique() < 2 or rows["aesthetic_score"].nunique() < 2:
        return "ρ = –"
    return f"ρ = {float(spearmanr(rows['x'], rows['aesthetic_score']).statistic):.2f}".replace("-", "−")


def _identity(axes: Axes) -> bool:
    """Draws the line of equal scores where the axes overlap; returns whether they do."""
    across, up = axes.get_xlim(), axes.get_ylim()
    ends = [max(across[0], up[0]), min(across[1], up[1])]
    overlap = bool(ends[0] < ends[1])
    if overlap:
        axes.plot(ends, ends, color=INK, linewidth=1.0, linestyle=(0, (5, 4)), zorder=2)
        axes.set(xlim=across, ylim=up)
    return overlap
