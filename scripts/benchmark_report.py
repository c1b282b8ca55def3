"""Times table, plots and gallery of a store of made-up samples: python scripts/benchmark_report.py [1000].

The last line of the output is JSON. note/benchmarks.md has the figures.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

from das_ag.benchmark.reports import measure_report


def main() -> None:
    """Measures in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="?", type=int, default=1000)
    samples = parser.parse_args().samples
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(dataclasses.asdict(measure_report(Path(folder, "made_up"), samples))))


if __name__ == "__main__":
    main()
