"""Draws the figures of a store again, into its folder plots/, and writes nothing else.

python scripts/plot_scores.py outputs/wonders
python scripts/plot_scores.py outputs/paper --evaluator aesthetic_v2_5 --to figures
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from das_ag.errors import UserError
from das_ag.report import read_scores
from das_ag.report.plots import write_plots
from das_ag.settings import environment


def main() -> int:
    """Writes the figures; returns 1 if a sample was left out."""
    environment.prepare()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of an experiment")
    parser.add_argument("--evaluator", help="evaluator whose scores to show; default: the one that scored most images")
    parser.add_argument("--to", type=Path, help="folder for the figures; default: plots/ of the experiment")
    arguments = parser.parse_args()
    to = arguments.to or arguments.folder / "plots"
    try:
        scored = read_scores(arguments.folder, arguments.evaluator)
        told = write_plots(scored.store, scored.records, scored.scores, scored.title, to)
        print(f"Figures: {to}")
        complaints = [*scored.left_out, *told]
    except (UserError, OSError) as error:
        complaints = [f"Error: {error}"]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
