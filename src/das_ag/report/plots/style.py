"""Shared style of all figures: colours and markers, axes, captions, files."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullFormatter

from das_ag.methods import Method, method_of, methods_of
from das_ag.report.labels import experiment_of, in_words, pairs_of, settings_order
from das_ag.report.plots.text import own_settings, width_of, wrapped
from das_ag.report.statistics import method_summary

_FURTHER_MARKERS = ("s", "D", "P", "X")
_LINES = ("-", "--", ":", "-.")

INK = "#555555"
"""Colour of captions and of elements behind the data."""

DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Group:
    """The samples of one method and settings, and their style.

    Attributes:
        settings: as in the column of `score_table`; empty if the store has only one.
        colour, face: colours of the marker's edge and inside; the inside distinguishes settings.
        line: line style.
    """

    method: str
    settings: str
    colour: str
    face: str
    marker: str
    line: str

    @property
    def name(self) -> str:
        """The name in legends."""
        return ", ".join(filter(None, [method_of(self.method).title, in_words(self.settings)]))

    def heading(self, wide: int) -> str:
        """Method and settings in words, one below the other; breaks wide lines at spaces.

        Args:
            wide: characters in a line, if a break is possible.
        """
        settings = [in_words(f"{name}={value}") for name, value in pairs_of(self.settings)]
        return "\n".join([method_of(self.method).title, *(line for text in settings for line in wrapped(text, wide))])

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The group's rows of a table with the columns `method` and `settings`."""
        return table[(table["method"] == self.method) & (table["settings"] == self.settings)]


def groups_of(table: pd.DataFrame) -> list[Group]:
    """The groups in a table: experiments in the table's order, sorted by settings, then by the order of the methods."""
    experiments = list(dict.fromkeys(map(experiment_of, table["settings"])))
    settings = sorted(set(table["settings"]), key=lambda s: (experiments.index(experiment_of(s)), settings_order(s)))
    methods = methods_of(table["method"])
    present = set(zip(table["method"], table["settings"], strict=True))
    return [
        _group(method, label, place)
        for place, label in enumerate(settings)
        for method in methods
        if (method.name, label) in present
    ]


def _group(method: Method, settings: str, place: int) -> Group:
    colour, marker = method.colour, method.marker
    if place >= 3:  # three faces for each marker
        further = [marker for marker in _FURTHER_MARKERS if marker != method.marker]
        marker = further[(place // 3 - 1) % len(further)]
    face = (colour, "white", _tint(colour))[place % 3]
    return Group(method.name, settings, colour, face, marker, _LINES[place % len(_LINES)])


def _tint(colour: str) -> str:
    """The colour mixed with two thirds of white."""
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{(part + 2 * 255) // 3:02X}" for part in parts)


def draw_points(axes: Axes, x: pd.Series, y: pd.Series, group: Group, *, of: int, label: str | None = None) -> None:
    """Draws every value as a point of its group.

    Args:
        of: number of points in the figure; with more points, each is smaller.
    """
    edge = "white" if group.face == group.colour else group.colour
    axes.scatter(
        x, y, s=point_size(of), marker=group.marker, facecolor=group.face, edgecolor=edge, alpha=0.85,
        linewidths=0.4 if edge == "white" else 1.0, zorder=3, label=label,
    )  # fmt: skip


def point_size(n: int) -> float:
    """Area of a marker, in typographic points squared, for n markers."""
    return float(np.clip(5000 / max(n, 1), 9, 38))


def intervals_of(table: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    """The interval of each group's mean score, as in the results table, by method and settings."""
    rows = method_summary(table).itertuples(index=False)
    return {(row.method, row.settings): (row.low, row.high) for row in rows}


def draw_interval(axes: Axes, x: float, interval: tuple[float, float]) -> None:
    """Draws the interval of a mean score as a thick line; nothing if there is none (NaN)."""
    axes.plot([x, x], interval, color="black", linewidth=4.5, solid_capstyle="butt", zorder=4.5)


def draw_mean(axes: Axes, x: pd.Series, y: pd.Series, group: Group, interval: tuple[float, float]) -> None:
    """Draws mean ± standard deviation in x and y as a cross, with the group's marker; nothing for one point.

    Args:
        interval: of the mean of y.
    """
    if len(x) < 2:
        return
    draw_interval(axes, float(x.mean()), interval)
    axes.errorbar(
        x.mean(), y.mean(), xerr=x.std(), yerr=y.std(), fmt=group.marker, markersize=10, markerfacecolor=group.face,
        markeredgecolor="black", markeredgewidth=1.4, ecolor="black", elinewidth=1.2, capsize=3, zorder=5,
    )  # fmt: skip


def tidy(axes: Axes, *, grid: str = "both") -> None:
    """Draws two sides of the frame, and a light grid behind the data."""
    axes.grid(axis=grid, color="#E3E3E3", linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain_powers(axes: Axes) -> None:
    """Labels a logarithmic y axis with plain numbers, and x only where it has ticks; figures show no formulas."""
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
    axes.xaxis.set_minor_formatter(NullFormatter())


def head(axes: Axes, text: str, *, legend: bool = False) -> None:
    """Draws a title on the left and a legend below it; both are above the axes and cover no point.

    The figure grows by the height of the legend.
    """
    handles, labels = axes.get_legend_handles_labels()
    rows = 0
    if legend and labels:
        figure = axes.get_figure(root=True)
        assert figure is not None
        wide = int(figure.get_figwidth() * 13.5)  # characters of this size, of which six are marker and space
        labels = ["\n".join(wrapped(label, wide - 6)) for label in labels]
        longest = max(width_of(line) for label in labels for line in label.splitlines())
        columns = max(1, min(len(labels), wide // (longest + 6)))
        rows = -(-len(labels) // columns) if columns > 1 else sum(label.count("\n") + 1 for label in labels)
        figure.set_figheight(figure.get_figheight() + 0.18 * rows)
        shown = axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, frameon=False, fontsize=8.5
        )
        shown.set_in_layout(False)  # the title's padding reserves its space; it may overlap the next axes
    axes.set_title(text, loc="left", fontsize=11, pad=6 + 13 * rows + (6 if rows else 0))


def caption(figure: Figure, *sentences: str) -> None:
    """Writes the caption below the figure; leaves out empty sentences."""
    text = " ".join(sentence for sentence in sentences if sentence)
    wide = round(figure.get_figwidth() * 14.5)  # characters of this size in an inch
    figure.supxlabel(textwrap.fill(text, wide), x=0.01, ha="left", fontsize=8, color=INK)


def say(axes: Axes, text: str) -> None:
    """Writes a remark in the middle of empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=INK)


def not_shown(what: str, number: int) -> str:
    """A sentence about what has no space in a figure, for instance "Prompts"."""
    return f"{what} not shown: {number}." if number > 0 else ""


def unscored(scores: pd.DataFrame, kept: int) -> str:
    """A sentence about the samples of the table that a figure cannot show."""
    left = len(scores) - kept
    return f"Images not shown, because of missing scores: {left} of {len(scores)}." if left else ""


def about_spread(scored: pd.DataFrame) -> str:
    """A sentence for figures with `draw_interval`, if any group has several images."""
    if not scored.duplicated(["method", "settings"]).any():
        return ""
    return (
        "Thick line: 95 % interval of the mean score, as in the table. Thin lines with caps: ± standard deviation of "
        "the images (n - 1)."
    )


def save(figure: Figure, path: Path | str) -> None:
    """Writes PATH.png and PATH.svg; the same figure gives the same bytes.

    Args:
        path: without suffix.

    Raises:
        OSError: the files cannot be written.
    """
    with own_settings():
        figure.savefig(f"{path}.png", dpi=DOTS_PER_INCH, metadata={"Software": None})
        figure.set_layout_engine("none")  # keep the layout for the second file, which takes a third of the time
        figure.savefig(f"{path}.svg", metadata={"Date": None, "Creator": None})
