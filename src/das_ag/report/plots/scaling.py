"""Plots how the time of a step grows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from das_ag.methods import METHODS
from das_ag.report.plots.style import INK, caption, head, plain_powers, save, tidy
from das_ag.report.plots.text import drawn_as_written

_COLOUR = METHODS["das"].colour


@drawn_as_written
def plot_scaling(table: pd.DataFrame, title: str, remark: str, path: Path | str) -> None:
    """Writes PATH.png and PATH.svg: seconds per step and sample against the varied setting.

    Args:
        table: columns value, numbers or names, and seconds.
        title: name of the varied setting.
        remark: the machine of the measurement.

    Raises:
        OSError: the files cannot be written.
    """
    figure = Figure(figsize=(5.2, 3.5), layout="constrained")
    axes = figure.subplots()
    numbers = pd.api.types.is_numeric_dtype(table["value"])
    (_curve if numbers else _bars)(axes, table)
    axes.set_xlabel(title)
    axes.set_ylabel("seconds")
    tidy(axes, grid="both" if numbers else "y")
    head(axes, "Time of a step for one image", legend=True)
    caption(figure, remark)
    save(figure, path)


def _curve(axes: Axes, table: pd.DataFrame) -> None:
    x, y = table["value"], table["seconds"]
    axes.plot(x, y, color=_COLOUR, marker="o", label="measured", zorder=3)
    axes.plot(x, y.iloc[0] * x / x.iloc[0], color=INK, linestyle=":", linewidth=1, label="proportional to the first")
    for value, seconds in zip(x, y, strict=True):
        axes.annotate(f"{seconds:.3g}", (value, seconds), textcoords="offset points", xytext=(0, 7), ha="center",
                      fontsize=8)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_powers(axes)
    axes.set_xticks(list(x), [str(value) for value in x])
    axes.minorticks_off()
    axes.margins(y=0.15)


def _bars(axes: Axes, table: pd.DataFrame) -> None:
    bars = axes.bar([str(value).replace("_", " ") for value in table["value"]], table["seconds"], color=_COLOUR,
                    width=0.5)  # fmt: skip
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=9)
    axes.margins(y=0.15)
