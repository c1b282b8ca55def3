"""The same as das-ag verify."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["verify", *sys.argv[1:]]))
