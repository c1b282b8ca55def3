"""The same as das-ag check."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["check", *sys.argv[1:]]))
