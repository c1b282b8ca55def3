"""Draws the figures of an experiment again, into its folder plots/, and writes nothing else.

das-ag plot outputs/wonders
das-ag plot outputs/paper --evaluator aesthetic_v2_5 --to figures
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from das_ag.commands.arguments import add_evaluator, command_parser, complain
from das_ag.report import read_scores
from das_ag.report.plots import write_plots


def main(argv: Sequence[str]) -> int:
    """Writes the figures; returns 1 if a sample was left out."""
    parser = command_parser("plot", __doc__)
    parser.add_argument("folder", type=Path, help="folder of an experiment")
    add_evaluator(parser)
    parser.add_argument("--to", type=Path, help="folder for the figures; default: plots/ of the experiment")
    arguments = parser.parse_args(argv)
    to = arguments.to or arguments.folder / "plots"
    scored = read_scores(arguments.folder, arguments.evaluator)
    told = write_plots(scored.store, scored.records, scored.scores, scored.title, to)
    print(f"Figures: {to}")
    return complain([*scored.left_out, *told])
