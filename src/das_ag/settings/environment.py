"""Process settings that are needed before torch is imported; therefore this module does not import torch."""

from __future__ import annotations

import codecs
import functools
import io
import os
import sys
from pathlib import Path

from dotenv import load_dotenv

from das_ag.errors import UserError

CUBLAS_WORKSPACE_CONFIG = ":4096:8"
_CLONE = Path(__file__).parents[3]
DOTENV = _CLONE / ".env" if (_CLONE / "pyproject.toml").is_file() else Path(".env")
"""Where the user may set the paths of weights: in the clone, or in the working folder if a wheel was installed."""
_DETERMINISTIC = (":4096:8", ":16:8")


def prepare() -> None:
    """Reads `.env`, then sets the other variables that are needed early; existing variables keep their values."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without “↑” shows “?” instead of failing
    if DOTENV.is_file():
        load_dotenv(stream=io.StringIO(_dotenv()))
    if not _has_started_cuda():  # cuBLAS reads this variable only once; set later, it would only seem to apply
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE_CONFIG)
    # Under `uv run`, Ray would copy the working folder to every worker, and install packages there.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


def _has_started_cuda() -> bool:
    """Whether this process, for instance a notebook, has computed on a GPU before."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def _open_closed_streams() -> None:
    """Opens the null device for each closed standard stream, as after `2>&-`.

    Otherwise the next file that the program opens would get the stream's number, and C libraries would write into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  open until the end


def _dotenv() -> str:
    """The text of `.env`; empty if it cannot be read. It ends no command: --help must work without it."""
    try:
        data = DOTENV.read_bytes()
    except OSError as error:
        _warn(f"{DOTENV}: cannot read this file (“{error.strerror}”), so it is ignored; change its permissions.")
        return ""
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        _warn(f"{DOTENV}: expected UTF-8, so this file is read as Latin-1; save it as UTF-8.")
        text = data.decode("latin-1")
    return text.replace("\0", "")  # a variable cannot hold it; UTF-16 without its mark has it between the letters


@functools.cache  # once per process: each job calls `prepare`
def _warn(sentence: str) -> None:
    print(f"Warning: {sentence}", file=sys.stderr)


def check_determinism() -> None:
    """Raises UserError if the environment's value makes cuBLAS nondeterministic."""
    got = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    if got not in _DETERMINISTIC:
        remedy = "unset it" if got is not None else "set it before the process uses a GPU"
        raise UserError(
            f"CUBLAS_WORKSPACE_CONFIG: expected {' or '.join(_DETERMINISTIC)} for deterministic results, got "
            f"{got or 'nothing'!r}; {remedy}, or choose runtime=fast."
        )
