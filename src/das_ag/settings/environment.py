"""What a program settles first, before torch is imported. This module therefore imports nothing of the kind."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from dotenv import load_dotenv

from das_ag.errors import UserError

CUBLAS_WORKSPACE_CONFIG = ":4096:8"
DOTENV = Path(__file__).parents[3] / ".env"
"""Where a person may write the paths of files of weights; .env.example says which."""
_DETERMINISTIC = (":4096:8", ":16:8")


def prepare() -> None:
    """Reads `.env`, and sets what else must be set early; neither overrules the environment."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console without “↑” shows “?” and ends nothing
    load_dotenv(DOTENV)
    # cuBLAS reads it when CUDA starts and never again.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE_CONFIG)
    # Under `uv run`, Ray would copy the folder that a run was started in to every worker, and install packages there.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


def check_determinism() -> None:
    """Raises UserError where the environment holds a value under which cuBLAS is not deterministic."""
    got = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    if got not in _DETERMINISTIC:
        remedy = "unset it" if got is not None else f"call {__name__}.prepare() before torch is imported"
        raise UserError(
            f"CUBLAS_WORKSPACE_CONFIG: expected {' or '.join(_DETERMINISTIC)} for deterministic results, got "
            f"{got or 'nothing'!r}; {remedy}, or choose runtime=fast."
        )
