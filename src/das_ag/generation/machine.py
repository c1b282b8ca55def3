"""The machine of a run: process settings, and the description for each sample's provenance."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

from das_ag.settings.runtime import RuntimeSettings, choose_device, count_cores
from das_ag.vector_math import choose_kernels

log = logging.getLogger(__name__)


def memory_bytes(device: torch.device) -> int:
    """Total memory of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return psutil.virtual_memory().total


def set_up(settings: RuntimeSettings) -> None:
    """Applies the runtime settings to this process: number of threads, determinism, memory management."""
    _warn_of_threads(settings.cpu_threads, count_cores())
    if settings.threads is None:
        _warn_of_load(settings.cpu_threads)
    if settings.precision == "bfloat16" and choose_device(settings.device).type == "cpu":
        _warn_of_bfloat16()
    # Launchers set OMP_NUM_THREADS themselves, and sums depend on the number of threads that share them.
    torch.set_num_threads(settings.cpu_threads)
    _keep_freed_memory()
    choose_kernels()
    _set_determinism(settings.deterministic)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Gives torch back its number of threads and its flags of before, which `set_up` changes.

    What else `set_up` does stays, and changes no result: how glibc keeps memory, which kernels MKL chooses.
    """
    # use_deterministic_algorithms would import torch's compiler, which takes seconds.
    threads, deterministic = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    flags = [(place, name, getattr(place, name)) for place, name in _flags()]
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(deterministic)
        for place, name, value in flags:
            setattr(place, name, value)


def _flags() -> list[tuple[Any, str]]:
    """Torch's flags that `set_up` changes: where each is, and its name."""
    backends = torch.backends
    return [
        *((backends.cudnn, name) for name in ("benchmark", "deterministic", "allow_tf32")),
        (backends.cuda.matmul, "allow_tf32"),
        (torch.utils.deterministic, "fill_uninitialized_memory"),
    ]


@functools.cache  # warn once per process, not once per job
def _warn_of_threads(threads: int, cores: int) -> None:
    # The number is only reported, not changed: sums, and so an image's bytes, may depend on it.
    if threads > cores:
        log.warning(
            "runtime.threads: expected at most %d, the number of available cores, got %d. More threads are slower; use "
            "null, unless you need the bytes of an earlier image.", cores, threads,
        )  # fmt: skip


@functools.cache
def _warn_of_load(threads: int) -> None:
    """Warns if other programs keep the cores busy: threads that wait for each other then cost time."""
    if threads == 1:
        return
    cores = psutil.cpu_count() or 1  # of the whole machine, as the next number
    busy = psutil.cpu_percent(interval=BUSY_S) / 100 * cores  # the load average would count a run that has just ended
    if busy > cores - threads + 0.5:
        # The number is not changed, since the bytes of an image would then depend on other programs.
        log.warning(
            "Warning: other programs use %.1f of %d cores, and %d threads that wait for each other may take several "
            "times as long. runtime.threads=%d may be faster.", busy, cores, threads, max(1, int(cores - busy)),
        )  # fmt: skip


@functools.cache
def _warn_of_bfloat16() -> None:
    if not has_fast_bfloat16():
        log.warning(
            "runtime.precision=bfloat16: this processor has neither AVX512-BF16 nor AMX. Without them, a step took 5 "
            "to 25 times as long as in float32 (note/benchmarks.md). Use runtime.precision=float32."
        )


def has_fast_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 products; True if torch cannot tell."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older versions of torch
    known = [capabilities[name] for name in ("avx512_bf16", "amx_bf16") if name in capabilities]
    return any(known) or not known


BUSY_S = 0.2
"""How long to look at what other programs do."""
_MALLOC = {-1: 2**31 - 1, -2: 2**26, -3: 2**25}
"""M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD of malloc.h, in bytes; glibc accepts no larger values."""


def _keep_freed_memory() -> None:
    """Makes glibc keep freed memory: each step needs it again, and the system must fill new pages with zeros.

    Without this, a step of a small guide takes some percent longer (note/benchmarks.md).
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        for option, size in _MALLOC.items():
            libc.mallopt(option, size)


def _set_determinism(deterministic: bool) -> None:
    """Sets deterministic algorithms, no TF32 and no search for the fastest convolution; or the opposite of each."""
    # Same effect as use_deterministic_algorithms(True), which also imports torch's compiler and so takes seconds.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # No code here reads uninitialised memory, and filling it costs some percent of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = not deterministic


def provenance(device: torch.device) -> dict[str, Any]:
    """Where a sample was made: versions, machine, flags. The key does not depend on it."""
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
    "open_clip_torch", "transformers",
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
    """The commit of the source tree, marked if the tree has changes; None outside a checkout."""
    here = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
