"""Writes the results table of an experiment, table.md, table.csv and table.tex, or compares several experiments.

das-ag table outputs/wonders
das-ag table outputs/a outputs/b --to outputs/comparison

The second command writes one table for both experiments, the settings that differ, paired tests against the first one
(also as differences.csv), plots/ and the gallery, index.html. The same evaluator must have scored all experiments. If
there are several evaluators, --evaluator chooses one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from das_ag.commands.arguments import add_evaluator, command_parser, complain
from das_ag.report import read_scores, write_comparison, write_tables


def main(argv: Sequence[str]) -> int:
    """Prints the table and writes it; returns 1 if a sample was left out."""
    parser = command_parser("table", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of experiments")
    add_evaluator(parser)
    parser.add_argument("--to", type=Path, help="folder for the files; default: the folder of the only experiment")
    arguments = parser.parse_args(argv)
    folders = list({folder.resolve(): folder for folder in arguments.folders}.values())
    if arguments.to is None and len(folders) > 1:
        parser.error("several experiments need a folder for their common table; add --to FOLDER")
    several = [read_scores(folder, arguments.evaluator) for folder in folders]
    to = arguments.to or folders[0]
    if len(several) == 1:
        table, left_out = write_tables(several, to), several[0].left_out
        print(f"{table}\nTable: {to}")
    else:
        table, left_out = write_comparison(several, to)
        print(f"{table}\nTable and plots: {to}")
        if (gallery := to / "index.html").is_file():
            print(f"All images with their scores, for a browser: {gallery}")
    return complain(left_out)
