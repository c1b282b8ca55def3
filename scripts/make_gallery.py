"""The same as das-ag gallery."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["gallery", *sys.argv[1:]]))
