"""Writes a page with the images of an experiment, index.html in its folder. Any browser opens it from disk.

python scripts/make_gallery.py outputs/wonders
python scripts/make_gallery.py outputs/a outputs/b      # a page in each
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from das_ag.errors import UserError
from das_ag.report import read_scores, write_tables
from das_ag.report.gallery import write_gallery
from das_ag.settings import environment


def main() -> int:
    """Writes the pages with their tables, and prints their paths; returns 1 if a sample was left out."""
    environment.prepare()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of experiments")
    parser.add_argument("--evaluator", help="evaluator whose scores to use; default: the one that scored most samples")
    arguments = parser.parse_args()
    left_out: list[str] = []
    try:
        for folder in arguments.folders:
            scored = read_scores(folder, arguments.evaluator)
            print(write_gallery(folder, scored.scores, scored.title, write_tables([scored], folder)))
            left_out += scored.left_out
    except (UserError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(*left_out, sep="\n", end="\n" if left_out else "", file=sys.stderr)
    return 1 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
