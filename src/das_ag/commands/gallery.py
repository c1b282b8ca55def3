"""Writes a page with the images of an experiment, index.html in its folder. Any browser opens it from disk.

das-ag gallery outputs/wonders
das-ag gallery outputs/a outputs/b      # a page in each
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from das_ag.commands.arguments import add_evaluator, command_parser, complain
from das_ag.report import read_scores, write_tables
from das_ag.report.gallery import write_gallery


def main(argv: Sequence[str]) -> int:
    """Writes the pages with their tables, and prints their paths; returns 1 if a sample was left out."""
    parser = command_parser("gallery", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of experiments")
    add_evaluator(parser)
    arguments = parser.parse_args(argv)
    left_out: list[str] = []
    for folder in arguments.folders:
        scored = read_scores(folder, arguments.evaluator)
        table = write_tables([scored], folder)
        left_out += [*scored.left_out, *write_gallery(folder, scored.scores, scored.title, table)]
        print(folder / "index.html")
    return complain(left_out)
