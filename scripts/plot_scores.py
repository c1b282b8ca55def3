"""The same as das-ag plot."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["plot", *sys.argv[1:]]))
