"""Times steps: python scripts/benchmark.py models=imagenet [--write].

Arguments are overrides as for run.py. By default the script compares an optimisation step with the encoder alone. With
--against-published it compares the step with that of the published program, with --scaling it varies the input size.
The last line of the output is JSON. --write puts the figures into note/benchmarks.md, with machine and command.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from das_ag.errors import UserError
from das_ag.settings import environment

environment.prepare()


import pandas as pd

from das_ag.benchmark.random_weights import random_weights
from das_ag.benchmark.scaling import AXES, measure_axis
from das_ag.benchmark.steps import (
    WARM_UP,
    AgainstPublished,
    StepTimes,
    measure_against_published,
    measure_step,
)
from das_ag.generation.machine import provenance
from das_ag.report.plots.scaling import plot_scaling
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.settings.runtime import choose_device

ROOT = Path(__file__).parents[1]
NOTE = ROOT / "note" / "benchmarks.md"
PLOTS = ROOT / "note" / "plots"


def main() -> int:
    """Measures, prints, and writes the note on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="overrides as for run.py, for instance models=imagenet")
    parser.add_argument("--repeats", type=int, default=15, help="number of repeats; the variants alternate")
    parser.add_argument("--write", action="store_true", help="write the figures into note/benchmarks.md")
    parser.add_argument("--random-weights", action="store_true", help="use a CLIP of models.name with random weights")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--against-published", action="store_true", help="compare with the published program")
    what.add_argument("--scaling", choices=AXES, help="vary the size of this input")
    arguments = parser.parse_intermixed_args()
    try:
        with contextlib.ExitStack() as stack:
            arguments.guide = str(compose_config(arguments.overrides).models.name)
            weights = stack.enter_context(random_weights(arguments.guide)) if arguments.random_weights else []
            measured, plan = measure(arguments, [*arguments.overrides, *weights])
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    machine = provenance(choose_device(plan.runtime.device))
    command = command_of(arguments)
    section = describe(measured, machine, command, arguments)
    print(section)
    if arguments.write:
        if isinstance(measured, pd.DataFrame):
            PLOTS.mkdir(exist_ok=True)
            plot_scaling(measured, AXES[arguments.scaling].title, where(machine), plot_path(arguments))
        write_section(section)
    figures = measured.to_dict("list") if isinstance(measured, pd.DataFrame) else dataclasses.asdict(measured)
    print(json.dumps({"command": command, "device": machine["device"], **figures}))
    return 0


def measure(
    arguments: argparse.Namespace, overrides: Sequence[str]
) -> tuple[StepTimes | AgainstPublished | pd.DataFrame, Any]:
    """Runs the requested measurement; returns its result and the plan."""
    plan = make_plan(compose_config([*overrides, f"steps={arguments.repeats + WARM_UP}"]))
    if arguments.scaling:
        return measure_axis(arguments.scaling, overrides, arguments.repeats), plan
    if arguments.against_published:
        return measure_against_published(plan, arguments.repeats), plan
    return measure_step(overrides, arguments.repeats), plan


def command_of(arguments: argparse.Namespace) -> str:
    """The command, without options that do not affect the figures on an idle machine."""
    flags = ["--random-weights"] * arguments.random_weights + ["--against-published"] * arguments.against_published
    flags += ["--scaling", arguments.scaling] if arguments.scaling else []
    return " ".join(["python scripts/benchmark.py", *map(shlex.quote, arguments.overrides), *flags])


def where(machine: dict[str, Any]) -> str:
    """The machine, in one line."""
    device = f"{machine['processor']}, {os.cpu_count()} cores" if machine["device"] == "cpu" else machine["device"]
    return f"{device}; {machine['threads']} threads; torch {machine['versions']['torch']}"


def describe(measured: object, machine: dict[str, Any], command: str, arguments: argparse.Namespace) -> str:
    """A section of the note."""
    match measured:
        case StepTimes() as t:
            table = (
                "| views in a step | step, s | bare encoder, s | overhead | peak memory, MB | beyond torch, MB |\n"
                "| ---: | ---: | ---: | ---: | ---: | ---: |\n"
                f"| {t.views} | {t.step_s:.4f} | {t.bare_s:.4f} | {t.overhead:.3f} "
                f"| {t.peak_mb:.0f} | {t.beyond_torch_mb:.0f} |\n"
            )
        case AgainstPublished() as t:
            table = (
                "| one step of one image | seconds | this program is faster by |\n"
                "| --- | ---: | ---: |\n"
                f"| this program, {t.samples} in a batch | {t.ours_s:.3f} | |\n"
                f"| the published way | {t.published_s:.3f} | {t.faster:.2f} |\n"
            )
        case pd.DataFrame() as t:
            rows = [f"| {row.value} | {row.seconds:.4f} | {row.ratio:.2f} |\n" for row in t.itertuples(index=False)]
            title = AXES[arguments.scaling].title
            heading = f"| {title} | one step of one image, s | ratio to the first |\n| ---: | ---: | ---: |\n"
            picture = plot_path(arguments).with_suffix(".png").relative_to(NOTE.parent)
            table = heading + "".join(rows) + f"\n![Time of a step by {title}]({picture})\n"
    return f"## `{command}`\n\n{where(machine)}; medians of {arguments.repeats} alternating repeats.\n\n{table}"


def plot_path(arguments: argparse.Namespace) -> Path:
    """Path of the plot of an axis, without suffix."""
    guide = re.sub(r"\W+", "_", arguments.guide.lower())
    return PLOTS / f"benchmark_{guide}_{arguments.scaling}"


def write_section(section: str) -> None:
    """Writes the section into the note; replaces the section with the same heading."""
    heading = section.splitlines()[0]
    text = NOTE.read_text(encoding="utf-8")
    old = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    text, replaced = old.subn(lambda _: section + "\n", text)
    NOTE.write_text(text.rstrip() + ("\n" if replaced else "\n\n" + section), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
