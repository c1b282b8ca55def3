"""Lists what the settings of das-ag run can choose from.

das-ag list methods         # or prompts, models, evaluators, experiments
das-ag list prompts animals # the texts of these prompts
das-ag list words           # what the default guide knows: all groups and classes
das-ag list words shark     # things with this word in one of their names
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from das_ag.commands import words
from das_ag.commands.arguments import command_parser
from das_ag.errors import UserError, did_you_mean

KINDS = {"methods": "method", "prompts": "prompts", "models": "models", "evaluators": "evaluator",
         "experiments": "experiment"}  # fmt: skip
"""The folder in conf/ of each kind."""


def main(argv: Sequence[str]) -> int:
    """Prints a line for each choice; returns 1 if a word is unknown."""
    parser = command_parser("list", __doc__)
    kinds = [*KINDS, "words"]
    parser.add_argument("kind", nargs="?", help=f"what to list: {', '.join(kinds)}")
    parser.add_argument(
        "word", nargs="*", help="with prompts: whose texts to list; with words: a word to find in the names, or "
        "several that form one name",
    )  # fmt: skip
    arguments = parser.parse_args(argv)
    if arguments.kind == "words":
        return words.show(" ".join(arguments.word))
    if arguments.kind not in KINDS:
        got = repr(arguments.kind) if arguments.kind else "none"
        near = did_you_mean(arguments.kind or "", kinds, count=1)
        raise UserError(f"list: expected one of {', '.join(kinds)}, got {got}.{near}")
    return _list(KINDS[arguments.kind], arguments.word)


def _list(group: str, names: Sequence[str]) -> int:
    from das_ag.settings.configuration import CONFIGURATION

    if names and group == "prompts":
        return _list_texts(names[0])
    if names:
        raise UserError(f"list: expected nothing more, got {names[0]!r}; leave it out.")
    files = sorted((CONFIGURATION / group).glob("*.yaml"))
    width, columns = max(len(file.stem) for file in files), shutil.get_terminal_size().columns
    for file in files:
        text = " ".join([*_description(file), *_needs(group, file.stem)])
        first, further = f"{file.stem:{width}}  ", " " * (width + 2)
        print(textwrap.fill(text, columns, initial_indent=first, subsequent_indent=further))
    return 0


def _list_texts(name: str) -> int:
    from das_ag.settings.configuration import compose_config

    texts = compose_config([f"prompts={name}"]).prompts.get("positive", {})
    if not texts:
        raise UserError(f"prompts={name} contains no texts; das-ag list prompts says how to give yours.")
    print(*texts.values(), sep="\n")
    return 0


def _description(file: Path) -> Iterable[str]:
    """The comment at the top of a file of settings, without the command that uses it."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        if "@package" not in line and not line.startswith(("# das-ag run ", "# uv run ")):
            yield line.removeprefix("#").strip()


def _needs(group: str, name: str) -> Iterable[str]:
    """What to download for a choice of models or evaluators."""
    if group not in ("models", "evaluator"):
        return
    from das_ag.models.files import size_of
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
