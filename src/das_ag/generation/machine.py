"""The machine that a run works on: set up for it, and described in each sample's provenance."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from das_ag.settings.runtime import RuntimeSettings, choose_device, count_cores
from das_ag.vector_math import choose_kernels

log = logging.getLogger(__name__)


def memory_bytes(device: torch.device) -> int:
    """Memory of the device, all of it."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total


def set_up(settings: RuntimeSettings) -> None:
    """Makes this process compute as the settings ask: its threads, and whether it is deterministic."""
    _warn_of_threads(settings.cpu_threads, count_cores())
    if settings.precision == "bfloat16" and choose_device(settings.device).type == "cpu":
        _warn_of_bfloat16()
    # Launchers write numbers of their own into OMP_NUM_THREADS, and sums depend on how they are shared out.
    torch.set_num_threads(settings.cpu_threads)
    _keep_freed_memory()
    choose_kernels()
    _set_determinism(settings.deterministic)


@functools.cache  # once, however many jobs and turns a process has
def _warn_of_threads(threads: int, cores: int) -> None:
    # They stay as many: sums, and with them an image's bytes, may depend on their number.
    if threads > cores:
        log.warning(
            "runtime.threads: expected at most %d, as many as there are cores to use here, got %d, which is slower; "
            "use null, unless an image is to be made again to the byte.", cores, threads,
        )  # fmt: skip


@functools.cache
def _warn_of_bfloat16() -> None:
    if not has_fast_bfloat16():
        log.warning(
            "runtime.precision=bfloat16: this processor has neither AVX512-BF16 nor AMX. On such a one a step took 5 "
            "to 25 times as long as in float32 (note/benchmarks.md). Use runtime.precision=float32."
        )


def has_fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 by itself; what is not known counts as yes."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch have none
    known = [capabilities[name] for name in ("avx512_bf16", "amx_bf16") if name in capabilities]
    return any(known) or not known


_MALLOC = {-1: 2**31 - 1, -2: 2**26, -3: 2**25}
"""M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of malloc.h, in bytes; glibc takes no larger values."""


def _keep_freed_memory() -> None:
    """Lets glibc keep what is freed: each step asks for it again, and fresh pages must first be filled with zeros.

    Without it a step of a small guide takes some percent longer (note/benchmarks.md).
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        for option, size in _MALLOC.items():
            libc.mallopt(option, size)


def _set_determinism(deterministic: bool) -> None:
    """Deterministic algorithms everywhere, no TF32, no search for the fastest convolution; or the contrary."""
    # The same as use_deterministic_algorithms(True), which also imports torch's compiler: seconds for nothing.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # Nothing here reads memory before writing it, and filling all of it first costs some percent of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = not deterministic


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


_PACKAGES: Sequence[str] = (
    "das-ag", "torch", "numpy", "pillow", "safetensors", "timm", "clip-anytorch", "flash-attn",
)  # fmt: skip


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
