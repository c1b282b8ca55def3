"""Times one optimisation step beside the bare encoder: python scripts/benchmark.py models=embedded [--write].

Arguments are overrides as for run.py. The last line of the output is JSON; --write puts the figures into
note/benchmarks.md, with machine and command.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import sys
from pathlib import Path

from das_ag.errors import UserError
from das_ag.experiment import environment

environment.prepare()


from das_ag.experiment.benchmark import StepTimes, measure_step, random_weights
from das_ag.experiment.plan import compose_config, make_plan
from das_ag.experiment.runtime import choose_device, provenance

NOTE = Path(__file__).parents[1] / "note" / "benchmarks.md"
WARM_UP = 2


def main() -> int:
    """Measures, prints, and writes the note if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as for run.py, for instance models=embedded")
    parser.add_argument("--repeats", type=int, default=15, help="of step and bare encoder in turn")
    parser.add_argument("--write", action="store_true", help="put the figures into note/benchmarks.md")
    parser.add_argument("--random-weights", action="store_true", help="a ViT-L/14 of random numbers as the guide")
    arguments = parser.parse_args()
    try:
        with contextlib.ExitStack() as stack:
            overrides = stack.enter_context(random_weights()) if arguments.random_weights else []
            steps = f"steps={arguments.repeats + WARM_UP}"
            plan = make_plan(compose_config([*arguments.overrides, *overrides, steps]))
            times = measure_step(plan, arguments.repeats)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    machine = provenance(choose_device(plan.runtime.device))
    command = " ".join(
        ["python scripts/benchmark.py", *arguments.overrides, *["--random-weights"] * arguments.random_weights]
    )
    section = describe(times, machine, command, arguments.repeats)
    print(section)
    if arguments.write:
        write_section(section)
    print(json.dumps({"command": command, "device": machine["device"], **dataclasses.asdict(times)}))
    return 0


def describe(times: StepTimes, machine: dict[str, object], command: str, repeats: int) -> str:
    """A section of the note."""
    versions = machine["versions"]
    assert isinstance(versions, dict)
    on_cpu = machine["device"] == "cpu"
    where = f"{machine['processor']}, {os.cpu_count()} cores" if on_cpu else machine["device"]
    return (
        f"## `{command}`\n\n"
        f"{where}; {machine['threads']} threads; torch {versions['torch']}; "
        f"medians of {repeats} alternating repeats.\n\n"
        "| views in a step | step, s | bare encoder, s | overhead | peak memory, MB |\n"
        "| ---: | ---: | ---: | ---: | ---: |\n"
        f"| {times.views} | {times.step_s:.4f} | {times.bare_s:.4f} | {times.overhead:.3f} "
        f"| {times.peak_rss_mb:.0f} |\n"
    )


def write_section(section: str) -> None:
    """Puts the section into the note in place of the one with the same heading."""
    heading = section.splitlines()[0]
    text = NOTE.read_text(encoding="utf-8")
    old = re.compile(rf"^{re.escape(heading)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    text, replaced = old.subn(lambda _: section + "\n", text)
    NOTE.write_text(text.rstrip() + ("\n" if replaced else "\n\n" + section), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
