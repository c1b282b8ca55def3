"""The machine that a run works on: device, determinism, and the record of both."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from das_ag.errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class RuntimeSettings:
    """Where and how samples are made; of this, precision alone belongs to an image's settings.

    Attributes:
        device: one of `DEVICES`; `auto` takes the first of cuda, mps, cpu that is there.
        precision: of the guide's image tower, a key of `PRECISIONS`.
        samples_per_batch: samples optimised together.
        views_per_pass: views of all those samples that pass the encoder together.
    """

    device: str
    precision: str
    samples_per_batch: int
    views_per_pass: int

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UserError(
                f"runtime.device: expected one of {', '.join(DEVICES)}, got {self.device!r}; choose one of them."
            )
        if self.samples_per_batch < 1:
            raise UserError(
                f"runtime.samples_per_batch: expected at least 1, got {self.samples_per_batch}; "
                "1 needs the least memory."
            )
        if self.views_per_pass < 1:
            raise UserError(
                f"runtime.views_per_pass: expected at least 1, got {self.views_per_pass}; fewer need less memory."
            )
        dtype_of(self.precision, "runtime.precision")


def dtype_of(precision: str, option: str) -> torch.dtype:
    """The type of that name.

    Raises:
        UserError: nothing can be computed in it here.
    """
    if precision == "float16":
        raise UserError(
            f"{option}: expected {' or '.join(PRECISIONS)}, got 'float16', in which CLIP overflows during ascent; use "
            "bfloat16, which takes as little memory."
        )
    if precision not in PRECISIONS:
        raise UserError(f"{option}: expected {' or '.join(PRECISIONS)}, got {precision!r}; choose one of them.")
    return PRECISIONS[precision]


def choose_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        UserError: it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device in there if there[device]))
    if not there[name]:
        found = ", ".join(device for device in there if there[device])
        raise UserError(f"runtime.device: expected {name}, but torch finds only {found} here; use runtime.device=auto.")
    return torch.device(name)


def memory_bytes(device: torch.device) -> int:
    """Memory of the device, all of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def make_deterministic() -> None:
    """Deterministic algorithms everywhere, no TF32, no search for the fastest convolution."""
    # The same as use_deterministic_algorithms(True), which also imports torch's compiler: seconds for nothing.
    torch.set_deterministic_debug_mode("error")
    # Nothing here reads memory before writing it, and filling all of it first costs some percent of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def provenance(device: torch.device) -> dict[str, Any]:
    """Where a sample was made: versions, machine, flags. Nothing of it enters the key."""
    return {
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "cublas_workspace_config": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "git_commit": _git_commit(),
    }


_PACKAGES: Sequence[str] = ("das-ag", "torch", "numpy", "pillow", "safetensors", "clip-anytorch", "flash-attn")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


@functools.cache
def _git_commit() -> str | None:
    """The commit of the source tree, with a mark where the tree has changes; None outside a checkout."""
    here = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
