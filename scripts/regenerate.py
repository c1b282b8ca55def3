"""The same as das-ag regenerate."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["regenerate", *sys.argv[1:]]))
