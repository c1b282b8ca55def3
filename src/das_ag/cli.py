"""The console script das-ag. run.py and scripts/ call the same functions."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
from collections.abc import Sequence

from das_ag import __version__
from das_ag.errors import UserError, did_you_mean, refusal
from das_ag.settings import environment

COMMANDS = {
    "run": "make images, score them, write table, plots and gallery",
    "score": "score experiments, or pictures of any origin",
    "table": "write the results table of an experiment, or compare several",
    "plot": "draw the figures of an experiment",
    "gallery": "write a page with all images of an experiment",
    "check": "say whether the weights are here, and how long the published experiment takes",
    "verify": "make finished samples again and compare them byte by byte",
    "film": "make a film of the ascent of one sample, or of all side by side",
    "regenerate": "make an image again from its PNG alone",
    "demo": "open the demo, a page for the browser",
    "list": "list methods, prompts, models, evaluators or the words that the default guide knows",
}
"""Each is a module of `das_ag.commands`."""
_SCRIPTS = {"evaluate": "score", "make_table": "table", "plot_scores": "plot", "make_gallery": "gallery",
            "check_models": "check", "list_words": "list words"}  # fmt: skip
"""Commands by the names of their files in scripts/, which are older."""
_KINDS = ("methods", "prompts", "models", "evaluators", "experiments", "words")
_OTHER_NAMES = {**_SCRIPTS, "generate": "run", **{kind: f"list {kind}" for kind in _KINDS}}
"""Commands by names that a user may expect."""
_COMPLETION = ("-sc", "--shell-completion")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    environment.prepare()  # before anything imports torch
    logging.raiseExceptions = False  # ignore a closed stdout, for instance of `| head`
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if "--version" in (name, *arguments):
        print(f"das-ag {__version__}")
    elif name in ("-h", "--help"):
        print(_help())
    elif name == "help":
        return main([*arguments[:1], "--help"])
    elif name in _COMPLETION:
        return _complete(arguments)
    elif name in COMMANDS:
        return _run(name, arguments)
    else:
        print(f"Error: unknown command {name!r}. {_advice(name)}", file=sys.stderr)
        return 2
    return 0


def _advice(name: str) -> str:
    if name in _OTHER_NAMES:
        return f"Its name is das-ag {_OTHER_NAMES[name]}."
    if name == "-m" or "=" in name:
        return "Did you mean das-ag run …?"
    near = did_you_mean(name, [*COMMANDS, "--version", "--help"], count=1).strip()
    return near or f"Choose one of {', '.join(COMMANDS)}."


def _complete(arguments: Sequence[str]) -> int:
    """Answers the script that Hydra installs in a shell; the line to complete is in the variable COMP_LINE."""
    begun = re.match(r"\s*\S+\s+(\S+)\s+(.*)", os.environ.get("COMP_LINE", ""), re.DOTALL)
    if any(argument.startswith("query=") for argument in arguments):
        if not begun:
            print(*COMMANDS)
            return 0
        if begun[1] != "run":
            return 0  # the shell then offers files
        os.environ["COMP_LINE"] = f"das-ag {begun[2]}"  # Hydra knows no commands
    return _run("run", [_COMPLETION[0], *arguments])


def _run(name: str, arguments: Sequence[str]) -> int:
    """Runs a command, with one sentence instead of a traceback for what a person can put right."""
    try:
        status: int = importlib.import_module(f"das_ag.commands.{name}").main(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader, for instance head, has closed the pipe. This prevents a second error when Python closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        sentence = refusal(error) or (str(error) if isinstance(error, UserError | OSError) else None)
        if sentence is None:
            raise  # a bug in this program
        print(f"Error: {sentence}", file=sys.stderr)
    return 1


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join([
        "usage: das-ag COMMAND …", "",
        "Images from a text by Direct Ascent Synthesis, with scores, tables and plots.", "",
        *lines, "",
        "das-ag COMMAND --help shows a command's arguments; das-ag --version shows the version.",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
