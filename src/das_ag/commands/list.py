"""Lists what the settings of das-ag run can choose from.

das-ag list methods        # or prompts, models, evaluators, experiments
das-ag list words          # what the default guide knows: all groups and classes
das-ag list words shark    # things with this word in one of their names
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from das_ag.commands import words
from das_ag.commands.arguments import command_parser
from das_ag.errors import UserError

KINDS = {"methods": "method", "prompts": "prompts", "models": "models", "evaluators": "evaluator",
         "experiments": "experiment"}  # fmt: skip
"""The folder in conf/ of each kind."""


def main(argv: Sequence[str]) -> int:
    """Prints a line for each choice; returns 1 if a word is unknown."""
    parser = command_parser("list", __doc__)
    parser.add_argument("kind", choices=[*KINDS, "words"], help="what to list")
    parser.add_argument("word", nargs="*", help="with words: a word to find in the names; several form one name")
    arguments = parser.parse_args(argv)
    if arguments.kind == "words":
        return words.show(" ".join(arguments.word))
    if arguments.word:
        parser.error(f"expected nothing after {arguments.kind}, got {arguments.word[0]!r}; leave it out")
    from das_ag.settings.configuration import CONFIGURATION

    group = KINDS[arguments.kind]
    files = sorted((CONFIGURATION / group).glob("*.yaml"))
    width = max(len(file.stem) for file in files)
    for file in files:
        text = " ".join([*_description(file), *_needs(group, file.stem)])
        print(*_entry(file.stem.ljust(width), text), sep="\n")
    return 0


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, shutil.get_terminal_size().columns, initial_indent=f"{name}  ", subsequent_indent=" " * (len(name) + 2)
    )


def _description(file: Path) -> Iterable[str]:
    """The comment at the top of a file of settings, without the command that uses it."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        if "@package" not in line and "run.py" not in line:
            yield line.removeprefix("#").strip()


def _needs(group: str, name: str) -> Iterable[str]:
    """What to download for a choice of models or evaluators."""
    if group not in ("models", "evaluator"):
        return
    from das_ag.models.sources import size_of
    from das_ag.settings.choices import choose_evaluators, choose_guide
    from das_ag.settings.configuration import compose_config

    config = compose_config([f"{group}={name}"])
    choices = [choose_guide(config.models)] if group == "models" else choose_evaluators(config.evaluator).values()
    try:
        files = [file for choice in choices for file in choice.files().values()]
    except UserError as error:  # a package is missing, which knows where the weights are
        yield f"Not ready: {error}"
        return
    yield f"Needs {', '.join(f'{file.what} ({size_of(file)})' for file in files)}." if files else "Needs no download."
