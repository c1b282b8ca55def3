"""The same as das-ag table."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["table", *sys.argv[1:]]))
