"""Times a dry run of many samples, half of them finished: python scripts/benchmark_plan.py [100000].

The time is that of the whole command, including the start of Python. The last line of the output is JSON.
note/benchmarks.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if sys.platform != "win32":
    import resource

from das_ag.settings import environment

environment.prepare()

from das_ag.benchmark.steps import fake_finished
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.store.store import Store

RUN = Path(__file__).parents[1] / "run.py"
PROMPTS = ("a volcano", "a castle", "a tiger")


def main() -> int:
    """Measures in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="?", type=int, default=100_000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rows = [f"p{number},{PROMPTS[number % len(PROMPTS)]} {number}" for number in range(samples)]
        Path("prompts.csv").write_text("\n".join(["id,prompt", *rows]) + "\n", encoding="utf-8")
        overrides = ["models=imagenet", "prompts=file", "prompts.path=prompts.csv"]
        plan = make_plan(compose_config(overrides))
        fake_finished(Store(plan.folder), plan.samples[::2])
        started = time.perf_counter()
        command = [sys.executable, str(RUN), *overrides, "dry_run=true"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - started
    print(done.stdout, end="")
    figures = {"samples": samples, "seconds": round(seconds, 2)}
    if sys.platform != "win32":
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
        figures["peak_rss_mb"] = round(peak)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
