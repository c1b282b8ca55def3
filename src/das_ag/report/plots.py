"""Figures of scores and images."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from das_ag.report.statistics import METHODS, method_summary

STYLES = {"das": ("#0072B2", "o"), "das_ag": ("#D55E00", "^"), "das_rag": ("#7A7A7A", "v")}
"""Colour and marker of each method, which differ in lightness and form: for colour blindness and grey print."""
_OTHER = ("#CC79A7", "s")

MOST_COLUMNS = 8
"""Prompts that one sheet of images shows; more would be too small to see."""


def scores_figure(scores: pd.DataFrame, evaluator_title: str) -> Figure:
    """Every score as a point, with mean and standard deviation of each method.

    Args:
        scores: as `score_table` gives it.
    """
    summary = method_summary(scores)
    figure = Figure(figsize=(1.8 + 1.6 * max(len(summary), 2), 4.4), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(summary.itertuples(index=False)):
        chosen = (scores["method"] == row.method) & (scores["settings"] == row.settings)
        values = np.sort(scores.loc[chosen, "aesthetic_score"].dropna().to_numpy())
        colour, marker = STYLES.get(row.method, _OTHER)
        axes.scatter(
            place + _spread(len(values)), values, s=34, color=colour, marker=marker, alpha=0.75, linewidths=0, zorder=3
        )
        spread = row.std if row.n > 1 else 0.0
        axes.errorbar(
            place + 0.33, row.mean, yerr=spread, fmt=marker, color="black", markersize=6, capsize=5, linewidth=1.4
        )
        axes.annotate(
            f"{row.mean:.2f}", (place + 0.33, row.mean), xytext=(8, 0), textcoords="offset points", va="center",
            fontsize=9,
        )  # fmt: skip
    names = [METHODS.get(r.method, r.method) + (f"\n{r.settings}" if r.settings else "") + f"\nn = {r.n}"
             for r in summary.itertuples(index=False)]  # fmt: skip
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5 + 0.3)
    axes.set_ylabel("aesthetic score, 1–10 (↑ better)")
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"Scores by {evaluator_title}", loc="left", fontsize=11)
    figure.supxlabel("points: one image each; black: mean ± standard deviation (n - 1)", fontsize=8, color="#555555")
    return figure


def images_figure(scores: pd.DataFrame, read: Callable[[str], UInt8[np.ndarray, "h w 3"]]) -> Figure:
    """The images of the first seed: a row for each method, a column for each prompt, the score under each image.

    Args:
        scores: as `score_table` gives it.
        read: gives the pixels of an image by its path in the table.
    """
    shown = scores[scores["seed"] == scores["seed"].min()].drop_duplicates(["method", "prompt_id"])
    methods = list(dict.fromkeys(shown["method"]))
    prompts = list(dict.fromkeys(shown["prompt_id"]))[:MOST_COLUMNS]
    size = 0.5 + 1.55 * len(prompts), 0.45 + 1.8 * len(methods)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.02))
    grid = figure.subplots(len(methods), len(prompts), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for row in shown[shown["prompt_id"].isin(prompts)].itertuples(index=False):
        axes = grid[methods.index(row.method), prompts.index(row.prompt_id)]
        axes.imshow(read(row.image), interpolation="lanczos")
        axes.set_xlabel(f"{row.aesthetic_score:.2f}", fontsize=9, labelpad=2)
        if row.method == methods[0]:
            axes.set_title(textwrap.fill(row.prompt, 22), fontsize=8)
    for method, axes in zip(methods, grid[:, 0], strict=True):
        axes.set_ylabel(METHODS.get(method, method), fontsize=11, fontweight="bold")
    caption = "under each image: aesthetic score by a predictor that did not guide, 1–10 (↑ better)"
    figure.supxlabel(caption, fontsize=8, color="#555555")
    return figure


def _spread(n: int) -> np.ndarray:
    """Horizontal offsets that keep points apart, the same on every run."""
    return (np.arange(n) * 0.618034 % 1 - 0.5) * 0.36
