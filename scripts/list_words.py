"""The same as das-ag list words."""

import sys

from das_ag.cli import main

if __name__ == "__main__":
    sys.exit(main(["list", "words", *sys.argv[1:]]))
