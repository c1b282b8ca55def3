"""What must be settled before torch is imported. This module therefore imports nothing of the kind."""

from __future__ import annotations

import os

from das_ag.errors import UserError

CUBLAS_WORKSPACE_CONFIG = ":4096:8"
_DETERMINISTIC = (":4096:8", ":16:8")


def prepare() -> None:
    """Sets CUBLAS_WORKSPACE_CONFIG, which cuBLAS reads when CUDA starts and never again.

    Raises:
        UserError: the environment holds a value under which cuBLAS is not deterministic.
    """
    got = os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE_CONFIG)
    if got not in _DETERMINISTIC:
        raise UserError(
            f"CUBLAS_WORKSPACE_CONFIG: expected {' or '.join(_DETERMINISTIC)} for deterministic results, got {got!r}; "
            "unset it."
        )
