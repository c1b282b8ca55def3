"""Reads files of weights: checks their SHA-256, and runs no code from files of unknown origin."""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Collection, Mapping
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
        found = "a folder" if path.is_dir() else "none"
        raise UserError(f"{what}: expected a file at {path}, found {found}; {remedy}.")
    got = sha256_of(path)
    if sha256 is not None and got != sha256:
        raise UserError(
            f"{what}: expected SHA-256 {sha256[:16]}… of {path.name} ({path.stat().st_size} bytes), got {got[:16]}…: "
            f"the file is truncated, altered or the wrong one; {remedy}."
        )
    return got


def load_state(path: Path, *, what: str, runnable: Collection[str] = ()) -> dict[str, Any]:
    """Loads a state dict from safetensors, a file of `torch.save` or a TorchScript archive.

    A training checkpoint holds it as `state_dict`, and DataParallel begins each name with `module.`; neither matters.

    Args:
        runnable: SHA-256 of archives whose code may run; from all other files only tensors are read.

    Raises:
        UserError: the file is none of them, or has NaN or infinity among its weights.
    """
    try:
        state = _read(path, runnable)
    except Exception as error:  # torch raises errors of many types for files that it cannot read
        raise UserError(
            f"{what}: cannot read {path} as a state dict or a TorchScript archive ({type(error).__name__}); download "
            "the file again."
        ) from error
    if not isinstance(state, dict):
        raise UserError(f"{what}: expected a state dict in {path}, got {type(state).__name__}; use another file.")
    state = state["state_dict"] if isinstance(state.get("state_dict"), dict) else state
    state = {name.removeprefix("module.") if isinstance(name, str) else name: w for name, w in state.items()}
    check_finite(state, what=what, path=path)
    return state


def _read(path: Path, runnable: Collection[str]) -> Any:
    import torch

    from das_ag.models.torchscript import is_archive, read_tensors

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if not is_archive(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    if sha256_of(path) not in runnable:
        return read_tensors(path)
    with warnings.catch_warnings():
        # OpenAI's archives are TorchScript, and torch calls this function deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")
        return torch.jit.load(str(path), map_location="cpu").state_dict()


def check_finite(state: Mapping[str, Any], *, what: str, path: Path) -> None:
    """Checks that no weight is NaN or infinite, which would otherwise show only in the images.

    Raises:
        UserError: a weight is.
    """
    import torch

    for name, weight in state.items():
        if isinstance(weight, torch.Tensor) and not weight.isfinite().all():
            raise UserError(
                f"{what}: expected finite weights in {path}, got NaN or infinity in {name}; use another copy of the "
                "file."
            )
