"""Figures of the scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from das_ag.report.statistics import METHODS, method_summary

STYLES = {"das": ("#0072B2", "o"), "das_ag": ("#D55E00", "^"), "das_rag": ("#7A7A7A", "v")}
"""Colour and marker of each method, which differ in lightness and form: for colour blindness and grey print."""
_OTHER = ("#CC79A7", "s")


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


def _spread(n: int) -> np.ndarray:
    """Horizontal offsets that keep points apart, the same on every run."""
    return (np.arange(n) * 0.618034 % 1 - 0.5) * 0.36
