"""Measures how the time of a step grows with its input size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from das_ag.benchmark.steps import WARM_UP, measure_steps
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import Plan, make_plan


@dataclass(frozen=True)
class Axis:
    """A setting that varies while the others stay fixed.

    Attributes:
        title: its name on the plot.
        values: to measure.
        overrides: returns the overrides that set one of the values.
    """

    title: str
    values: tuple[int | str, ...]
    overrides: Callable[[int | str], Sequence[str]]


AXES = {
    "samples": Axis(
        "samples in a batch",
        (1, 2, 4, 8, 16),
        lambda n: [f"runtime.samples_per_batch={n}", "randomness=per_sample"],
    ),
    "views": Axis("views of a sample", (4, 8, 16, 32, 64), lambda n: [f"views.count={n}"]),
    "canvas": Axis("side of the canvas, px", (128, 256, 512, 1024), lambda px: [f"canvas_px={px}"]),
    "levels": Axis("levels", ("powers_of_two", "all_resolutions"), lambda levels: [f"pyramid={levels}"]),
}


def measure_axis(name: str, overrides: Sequence[str], repeats: int) -> pd.DataFrame:
    """Times steps with each value of an axis; the values take turns.

    Args:
        name: a key of `AXES`.

    Returns:
        A row for each value: value, seconds per step and sample, ratio to the first row.
    """
    axis = AXES[name]
    plans = [_plan([*overrides, *axis.overrides(value)], repeats) for value in axis.values]
    seconds = measure_steps(plans, repeats)
    table = pd.DataFrame({"value": list(axis.values), "seconds": seconds})
    table["seconds"] /= [plan.samples_per_batch for plan in plans]
    table["ratio"] = table["seconds"] / table["seconds"].iloc[0]
    return table


def _plan(overrides: Sequence[str], repeats: int) -> Plan:
    return make_plan(compose_config([*overrides, f"steps={WARM_UP + repeats}"]))
