"""The same as das-ag score."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["score", *sys.argv[1:]]))
