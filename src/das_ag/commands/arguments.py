"""What the commands share: their parser, arguments that several have, and their list of complaints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def command_parser(name: str, documentation: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the documentation of the command's module."""
    return argparse.ArgumentParser(
        f"das-ag {name}", description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_evaluator(parser: argparse.ArgumentParser) -> None:
    """Adds the choice of an evaluator, for `read_scores`."""
    parser.add_argument("--evaluator", help="evaluator whose scores to use; default: the one that scored most samples")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Adds the answer to the question of `confirm`."""
    parser.add_argument("--yes", action="store_true", help="do not ask before more work than for a published image")


def divide(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths, and the overrides of settings; the name of an existing file may contain an equals sign."""
    overrides = [text for text in arguments if "=" in text and not Path(text).exists()]
    return [text for text in arguments if text not in overrides], overrides


def complain(sentences: Iterable[str]) -> int:
    """Prints each sentence once on stderr; returns the exit status: 1 if there are any."""
    different = list(dict.fromkeys(sentences))
    for sentence in different:
        print(sentence, file=sys.stderr)
    return 1 if different else 0
