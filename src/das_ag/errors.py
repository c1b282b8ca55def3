"""The one exception that is meant for a person, and parts of messages."""

import contextlib
import difflib
import logging
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T", bound=Hashable)

_LINES = "\n\t"
"""Control characters that a message may contain; others, as from a prompt in a file, could change a terminal."""


def printable(text: Path | str, keep: str = "") -> str:
    r"""A text or path that is safe to print: control characters become \x1b, \n, bytes that are not UTF-8 \xe9.

    Args:
        keep: control characters that stay.
    """
    whole = str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: found[0] if found[0] in keep else repr(found[0])[1:-1], whole)


class UserError(ValueError):
    """Something a person can put right. Its message names the setting or file, what is wrong, and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, keep=_LINES))


class PrintableFormatter(logging.Formatter):
    """Formats log lines as printable text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return printable(super().format(record), keep=_LINES)


def first_line(error: BaseException) -> str:
    """What an exception of somebody else says, cut to a line; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


_NO_MEMORY = "not enough memory; close other programs, or raise the limit on memory"
_NO_THREAD = (
    "the system refuses to start another thread; raise the limits on processes and memory, or use runtime.threads=1"
)
_REFUSALS = {
    "failed to map": _NO_MEMORY, "allocate memory": _NO_MEMORY, "out of memory": _NO_MEMORY, "bad_alloc": _NO_MEMORY,
    "start new thread": _NO_THREAD, "thread creation failed": _NO_THREAD, "pthread_create": _NO_THREAD,
}  # fmt: skip
"""What the system, Python or torch says if it refuses memory or a thread, for instance under `ulimit -v`."""


def refusal(error: BaseException | None) -> str | None:
    """A sentence if the system refused memory or a thread, at the error or before it; None for any other error."""
    while error is not None:
        said = first_line(error)
        if isinstance(error, MemoryError):
            return f"{_NO_MEMORY}."
        for words, sentence in _REFUSALS.items():
            if words in said.lower():
                return f"{sentence} ({said})."
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def writing(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Turns the system's refusal to write a file into a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{printable(path)}: cannot write {what} ({error.strerror or error}); {remedy}.") from error


def missing_extra(package: str, error: ImportError, extra: str = "paper") -> UserError:
    """The error for a missing package that only the real models need."""
    return UserError(
        f"models: cannot import the package {package} (“{first_line(error)}”); install it with uv sync --extra "
        f"{extra}, or start with uv run --extra {extra}."
    )


def did_you_mean(name: str, known: Iterable[str], count: int = 3, cutoff: float = 0.5) -> str:
    """A question with the most similar known names, to stand between two sentences; empty if none is similar.

    Args:
        count: at least 1; the largest number of names.
        cutoff: 0 … 1; how similar a name must be.
    """
    near = difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def unwritable(path: Path, what: str, error: OSError) -> UserError:
    """The error for a part of a report that cannot be written."""
    return UserError(
        f"{path}: cannot write the {what} ({error.strerror or error}); free some space or change the folder's "
        "permissions. Finished samples are kept."
    )


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun, for instance "1 sample" and "2,000 samples"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def repeated_in(values: Iterable[_T]) -> list[_T]:
    """The values that occur more than once, each once."""
    return [value for value, times in Counter(values).items() if times > 1]
