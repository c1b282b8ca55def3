"""The contact sheets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from das_ag.report.labels import divide, shortened
from das_ag.report.plots.style import caption, groups_of, say
from das_ag.report.plots.text import drawn_as_written, wrapped
from das_ag.report.statistics import scale_of

MOST_ROWS, MOST_COLUMNS = 8, 12
"""Prompts (rows) and methods with settings (columns) on one sheet; more would be too small to see."""

MOST_SEED_ROWS, MOST_SEEDS = 16, 12
"""Prompts with methods (rows) and seeds (columns) on the sheet of all seeds."""

_PROMPT = ["prompt_id", "prompt", "negative"]
"""Columns that together define a row of the sheet."""

_SIDE_IN, _SMALL_IN, _TEXT_IN = 1.6, 1.15, 1.3
"""Width of an image, of one among many, and of the column of prompts, in inches."""


@drawn_as_written
def images_figure(scores: pd.DataFrame, read: Callable[[str], UInt8[np.ndarray, "h w 3"]]) -> Figure:
    """The images of each prompt's smallest seed: a row for each prompt, a column for each method, with scores.

    Args:
        scores: as `score_table` gives it.
        read: returns the pixels of an image, given its path in the table.
    """
    chosen = _without_texts(scores)
    chosen = chosen[chosen["seed"] == chosen.groupby(_PROMPT)["seed"].transform("min")]
    groups = groups_of(chosen)
    prompts = list(chosen[[*_PROMPT, "seed"]].drop_duplicates().itertuples(index=False))
    rows, columns = prompts[:MOST_ROWS], groups[:MOST_COLUMNS]
    labels = _labels(prompts)[:MOST_ROWS]
    figure, grid = _sheet(max(len(rows), 1), max(len(columns), 1), _SIDE_IN)
    for place, group in enumerate(columns):
        grid[0, place].set_title(group.heading(26), fontsize=8 if group.settings else 11)
        found = {(row.prompt_id, row.prompt, row.negative): row for row in group.rows(chosen).itertuples(index=False)}
        for axes, prompt in zip(grid[:, place], rows, strict=True):
            if image := found.get((prompt.prompt_id, prompt.prompt, prompt.negative)):
                _show(axes, read(image.image), image.aesthetic_score)
            else:
                say(axes, "no image")
    for axes, label in zip(grid[:, 0], labels, strict=False):
        _say_beside(axes, label)
    if chosen.empty:
        say(grid[0, 0], "no image")
    caption(figure, *_sentences(chosen, len(prompts) - len(rows), len(groups) - len(columns)))
    return figure


@drawn_as_written
def seeds_figure(scores: pd.DataFrame, read: Callable[[str], UInt8[np.ndarray, "h w 3"]]) -> Figure | None:
    """The images of all seeds: a row for each prompt and method, with scores; a frame marks the best of a row.

    Args:
        scores: as `score_table` gives it.
        read: returns the pixels of an image, given its path in the table.

    Returns:
        None if no prompt has several seeds.
    """
    table = _without_texts(scores)
    counts = table.groupby([*_PROMPT, "method", "settings"]).size()
    if not (counts > 1).any():
        return None
    groups, of_prompt = groups_of(table), dict(list(table.groupby(_PROMPT)))
    # Each prompt has at least one row, so further prompts cannot be on the sheet.
    first = table.drop_duplicates(_PROMPT).head(MOST_SEED_ROWS).assign(seed=0)
    prompts = list(first[[*_PROMPT, "seed"]].itertuples(index=False))
    rows = [
        (f"{label}\n{group.heading(22)}", images)
        for prompt, label in zip(prompts, _labels(prompts), strict=True)
        for group in groups
        if len(images := group.rows(of_prompt[prompt[:3]]))
    ]
    most = int(counts.max())
    figure, grid = _sheet(len(rows[:MOST_SEED_ROWS]), min(most, MOST_SEEDS), _SMALL_IN)
    for line, (label, images) in zip(grid, rows, strict=False):
        _say_beside(line[0], label)
        best = images["aesthetic_score"].max()
        for axes, row in zip(line, images.itertuples(), strict=False):
            _show(axes, read(row.image), row.aesthetic_score, f"seed {row.seed}: ")
            if row.aesthetic_score == best:
                axes.spines[:].set(visible=True, linewidth=3)
    further = {"Rows": len(counts) - MOST_SEED_ROWS, "Seeds": most - MOST_SEEDS}
    caption(
        figure,
        "Under each image: its seed, and the score by the evaluator, 1–10 (↑ better). A frame marks the best of a row.",
        *(f"{what} not shown: {count}." for what, count in further.items() if count > 0),
    )
    return figure


def _without_texts(scores: pd.DataFrame) -> pd.DataFrame:
    """The table with settings alone in its labels: the rows of a sheet distinguish texts, so its groups need not."""
    settings = [divide(label)[0] for label in scores["settings"]]
    return scores.assign(settings=pd.Series(settings, index=scores.index, dtype=str))


def _say_beside(axes: Axes, text: str) -> None:
    axes.set_ylabel(text, fontsize=8, rotation=0, ha="right", va="center", labelpad=6)


def _labels(prompts: Sequence[Any]) -> list[str]:
    """Row labels: text, negative text and seed; the last two only if they distinguish rows."""
    texts = Counter((row.prompt_id, row.prompt) for row in prompts)
    has_seeds = len({row.seed for row in prompts}) > 1
    labels = []
    for row in prompts:
        parts = [shortened(row.prompt, 110)]
        if texts[row.prompt_id, row.prompt] > 1:
            parts.append("negative: " + (shortened(row.negative, 50) or "none"))
        if has_seeds:
            parts.append(f"seed {row.seed}")
        labels.append("\n".join(line for part in parts for line in wrapped(part, 20, break_words=True)))
    return labels


def _sheet(rows: int, columns: int, side_in: float) -> tuple[Figure, np.ndarray]:
    """A figure with empty frames."""
    size = max(_TEXT_IN + side_in * columns, 4.0), 0.75 + (side_in + 0.2) * rows
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0.02, hspace=0.02))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure, grid


def _show(axes: Axes, image: UInt8[np.ndarray, "h w 3"], score: float, before: str = "") -> None:
    axes.imshow(image, interpolation="lanczos")
    text = "not scored" if pd.isna(score) else f"{score:.2f}"
    axes.set_xlabel(before + text, fontsize=8 if before else 9, labelpad=2)


def _sentences(chosen: pd.DataFrame, further_prompts: int, further_columns: int) -> list[str]:
    sentences = [f"Under each image: score by the evaluator, {scale_of(chosen)} (↑ better)."]
    if not chosen.empty:
        seeds = chosen["seed"].unique()
        which = f"seed {seeds[0]}" if len(seeds) == 1 else "with the prompt's smallest seed"
        sentences.append(f"One image for each prompt and method, {which}.")
    if further_prompts:
        sentences.append(f"Prompts not shown: {further_prompts}.")
    if further_columns:
        sentences.append(f"Columns not shown: {further_columns}.")
    return sentences
