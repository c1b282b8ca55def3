"""What the commands share: their parser, and their list of complaints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable


def command_parser(name: str, documentation: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the documentation of the command's module."""
    return argparse.ArgumentParser(
        f"das-ag {name}", description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def complain(sentences: Iterable[str]) -> int:
    """Prints each sentence once on stderr; returns the exit status: 1 if there are any."""
    different = list(dict.fromkeys(sentences))
    for sentence in different:
        print(sentence, file=sys.stderr)
    return 1 if different else 0
