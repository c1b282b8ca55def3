"""Runtime settings of a run: device, threads, determinism, batches."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import torch
from loky import cpu_count

from das_ag.errors import UserError
from das_ag.models.precision import dtype_of
from das_ag.settings.environment import check_determinism
from das_ag.settings.ranges import check_bounds, check_choice

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class RuntimeSettings:
    """Where and how samples are made; only `precision` and `deterministic` determine an image.

    Attributes:
        deterministic: whether to use only algorithms that always give the same bytes.
        device: one of `DEVICES`; `auto` uses cuda if it is available, else cpu.
        precision: precision of the guide's image tower, a key of `PRECISIONS`.
        threads: number of CPU threads; None for the number of cores that the process may use.
        samples_per_batch: samples optimised together.
        views_per_pass: views of the whole batch that pass through the encoder together.
        checkpoint_steps: steps between two checkpoints of a batch on disk; 0 for none.
    """

    deterministic: bool
    device: str
    precision: str
    threads: int | None
    samples_per_batch: int
    views_per_pass: int
    checkpoint_steps: int

    def __post_init__(self) -> None:
        check_choice(self.device, DEVICES, "runtime.device")
        check_bounds("runtime.samples_per_batch", self.samples_per_batch, 1, "1 needs the least memory")
        check_bounds("runtime.views_per_pass", self.views_per_pass, 1, "fewer views need less memory")
        check_bounds("runtime.checkpoint_steps", self.checkpoint_steps, 0, "0 keeps no checkpoints")
        if self.threads is not None:
            check_bounds("runtime.threads", self.threads, 1, "null uses one thread for each core")
        dtype_of(self.precision, "runtime.precision")
        if self.deterministic:
            check_determinism()

    @property
    def cpu_threads(self) -> int:
        """Number of CPU threads; by default, the number of usable cores."""
        return self.threads or count_cores()


@functools.cache
def count_cores() -> int:
    """Physical cores that this process may use, within its affinity and its container's share; at least 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the system hides them, logical ones are counted
        return int(cpu_count(only_physical_cores=True))


def choose_device(name: str) -> torch.device:
    """The device of this name; `auto` never selects `mps`, which nobody has tried (note/reproducibility.md).

    Raises:
        UserError: the device is not available.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")
    if not there[name]:
        found = ", ".join(device for device in there if there[device])
        raise UserError(f"runtime.device: torch does not find {name}, only {found}; use runtime.device=auto.")
    return torch.device(name)
