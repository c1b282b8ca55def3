"""Messages are safe to print, whatever text or name they contain."""

from __future__ import annotations

import logging
import pickle
import sys
import types

import pytest

from das_ag import cli
from das_ag.errors import PrintableFormatter, UserError
from das_ag.settings import environment

TEXT = "a\x1b[31m heart\x01\x7f\x9b31m\r, \udce9, 心\n\tend"
SHOWN = "a\\x1b[31m heart\\x01\\x7f\\x9b31m\\r, \\xe9, 心\n\tend"


def test_an_error_has_no_control_characters_but_ends_of_lines():
    assert str(UserError(TEXT)) == SHOWN
    assert str(pickle.loads(pickle.dumps(UserError(TEXT)))) == SHOWN


def test_log_lines_have_none_either():
    record = logging.LogRecord("das_ag", logging.WARNING, "file", 1, "in “%s”", (TEXT,), None)
    assert PrintableFormatter("%(message)s").format(record) == f"in “{SHOWN}”"


@pytest.fixture
def run(monkeypatch):
    """Runs a command that raises an error; gives its exit status."""

    def run(error):
        def main(_):
            raise error

        monkeypatch.setitem(sys.modules, "das_ag.commands.score", types.SimpleNamespace(main=main))
        return cli.main(["score"])

    monkeypatch.setattr(environment, "prepare", lambda: None)
    return run


def after(cause: Exception) -> Exception:
    error = ImportError("numpy._core.multiarray failed to import")
    error.__cause__ = cause
    return error


ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
)
MEMORY = "not enough memory; close other programs, or raise the limit on memory"
THREAD = (
    "the system refuses to start another thread; raise the limits on processes and memory, or use runtime.threads=1"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("steps: expected more; raise it."), "steps: expected more; raise it."),
        (MemoryError(), f"{MEMORY}."),
        (after(MemoryError()), f"{MEMORY}."),
        (ImportError("a.so: failed to map segment\nmore"), f"{MEMORY} (a.so: failed to map segment)."),
        (OSError("a.so: failed to map segment"), f"{MEMORY} (a.so: failed to map segment)."),
        (OSError(12, "Cannot allocate memory"), f"{MEMORY} ([Errno 12] Cannot allocate memory)."),
        (RuntimeError(ALLOCATOR), f"{MEMORY} ({ALLOCATOR})."),
        (RuntimeError("CUDA out of memory. Tried 2 GiB"), f"{MEMORY} (CUDA out of memory. Tried 2 GiB)."),
        (RuntimeError("std::bad_alloc"), f"{MEMORY} (std::bad_alloc)."),
        (RuntimeError("can't start new thread"), f"{THREAD} (can't start new thread)."),
        (OSError(28, "No space left on device", "x"), "[Errno 28] No space left on device: 'x'"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_refusal_of_the_system_is_one_sentence(run, capsys, error, said):
    assert run(error) == 1
    assert capsys.readouterr().err == f"Error: {said}\n"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ImportError("no module named x"), KeyError("a")])
def test_a_bug_keeps_its_traceback(run, error):
    with pytest.raises(type(error)):
        run(error)
