"""Writes the results table of a store: table.md, table.csv, table.tex.

python scripts/make_table.py outputs/wonders
python scripts/make_table.py outputs/a outputs/b --to outputs/comparison     # a column for the experiment

The same evaluator must have scored all experiments. If there are several evaluators, --evaluator chooses one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from das_ag.errors import UserError
from das_ag.report import read_scores, write_tables
from das_ag.settings import environment


def main() -> int:
    """Prints the table and writes it; returns 1 if a sample was left out."""
    environment.prepare()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of experiments")
    parser.add_argument("--evaluator", help="evaluator whose scores to use; default: the one that scored most samples")
    parser.add_argument("--to", type=Path, help="folder for the files; default: the folder of the only experiment")
    arguments = parser.parse_args()
    folders = list({folder.resolve(): folder for folder in arguments.folders}.values())
    if arguments.to is None and len(folders) > 1:
        parser.error("several experiments need a folder for their common table; add --to FOLDER")
    try:
        several = [read_scores(folder, arguments.evaluator) for folder in folders]
        print(write_tables(several, arguments.to or folders[0]))
    except (UserError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    left_out = [sentence for scored in several for sentence in scored.left_out]
    print(*left_out, sep="\n", end="\n" if left_out else "", file=sys.stderr)
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
