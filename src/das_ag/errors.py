"""The one exception that is meant for a person, and parts of messages."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something a person can put right. Its message names the setting or file, what is wrong, and the remedy."""


def first_line(error: Exception) -> str:
    """What an exception of somebody else says, cut to a line; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def missing_extra(package: str, error: ImportError, extra: str = "paper") -> UserError:
    """The error for a missing package that only the real models need."""
    return UserError(
        f"models: cannot import the package {package} (“{first_line(error)}”); install it with uv sync --extra "
        f"{extra}, or start with uv run --extra {extra}."
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the most similar known names, to stand between two sentences; empty if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, for instance "1 sample" and "2,000 samples"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
