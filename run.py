"""Generates, scores and reports images: python run.py -m method=das,das_ag,das_rag. The same as das-ag run."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
