"""Reads files of weights: checks their SHA-256, and never unpickles code."""

from __future__ import annotations

import functools
import hashlib
import warnings
from pathlib import Path
from typing import Any

from das_ag.errors import UserError


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal; computed again only when the file has changed."""
    stat = path.stat()
    return _sha256_of(path.resolve(), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _sha256_of(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, *, what: str, remedy: str, sha256: str | None = None) -> str:
    """Returns the file's SHA-256.

    Raises:
        UserError: the file is missing, or its checksum is not `sha256`.
    """
    if not path.is_file():
        raise UserError(f"{what}: expected a file at {path}, found none; {remedy}.")
    got = sha256_of(path)
    if sha256 is not None and got != sha256:
        raise UserError(
            f"{what}: expected SHA-256 {sha256[:16]}… of {path.name} ({path.stat().st_size} bytes), got {got[:16]}…: "
            f"the file is truncated, altered or the wrong one; {remedy}."
        )
    return got


def load_state(path: Path, *, what: str) -> dict[str, Any]:
    """Loads a state dict from a file of `torch.save` or from a TorchScript archive, without unpickling code.

    Raises:
        UserError: the file is neither.
    """
    import torch

    with warnings.catch_warnings():
        # OpenAI's archives are TorchScript, and only this deprecated function reads them.
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")
        try:
            return torch.jit.load(str(path), map_location="cpu").state_dict()
        except RuntimeError:
            pass  # not a TorchScript archive
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many types for files that it cannot read
        raise UserError(
            f"{what}: cannot read {path} as a state dict or a TorchScript archive ({type(error).__name__}); download "
            "the file again."
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{what}: expected a state dict in {path}, got {type(state).__name__}; use another file.")
    return state
