"""What must be settled before torch is imported. This module therefore imports nothing of the kind."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import load_dotenv

from das_ag.errors import UserError

CUBLAS_WORKSPACE_CONFIG = ":4096:8"
DOTENV = Path(__file__).parents[3] / ".env"
"""Where a person may write the paths of files of weights; .env.example says which."""
_DETERMINISTIC = (":4096:8", ":16:8")


def prepare() -> None:
    """Reads `.env`, which never overrules the environment, and sets CUBLAS_WORKSPACE_CONFIG.

    cuBLAS reads that when CUDA starts and never again.

    Raises:
        UserError: the environment holds a value under which cuBLAS is not deterministic.
    """
    load_dotenv(DOTENV)
    got = os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE_CONFIG)
    if got not in _DETERMINISTIC:
        raise UserError(
            f"CUBLAS_WORKSPACE_CONFIG: expected {' or '.join(_DETERMINISTIC)} for deterministic results, got {got!r}; "
            "unset it."
        )
