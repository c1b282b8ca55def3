"""Checks that a step is deterministic on this machine before a long run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from das_ag.errors import UserError
from das_ag.generation.batch import Run
from das_ag.generation.guide import LoadedGuide
from das_ag.settings.plan import Plan
from das_ag.store.samples import Sample

_REFUSED = "deterministic"
"""A word in every error with which torch rejects a nondeterministic operation."""


def check_steps(plan: Plan, sample: Sample, guide: LoadedGuide, device: torch.device) -> None:
    """Takes the same step of one sample twice, forward and backward, and compares all resulting bytes.

    The step is in the middle of the run, where schedules that begin or end at 0 have a weight.

    Raises:
        UserError: an operation is not deterministic; the message names it.
    """
    try:
        first, second = (_take_step(plan, sample, guide, device) for _ in range(2))
    except Exception as error:
        if not isinstance(error, RuntimeError) or _REFUSED not in str(error):
            return  # another error, for instance out of memory; the batches will raise and report it too
        operation = str(error).split(" does not ")[0].split(", but ")[0].splitlines()[0]
        raise UserError(_message(f"{operation} has no deterministic algorithm on {device.type}")) from error
    if first != second:
        name = _first_that_differs(plan, sample, guide, device)
        if name is None:
            found = f"a step gave two different results on {device.type}, but later repeats gave the same result"
            raise UserError(_message(found, first="start again; if this error returns, "))
        raise UserError(_message(f"{name} gave two different results on {device.type}"))


def _message(found: str, *, first: str = "") -> str:
    return (
        f"runtime=deterministic: {found}; {first}try another models.attention, runtime.device or version of torch, or "
        "use runtime=fast."
    )


def _take_step(plan: Plan, sample: Sample, guide: LoadedGuide, device: torch.device) -> list[str]:
    """Hashes of the levels and of their gradients after one step."""
    run = Run([sample], plan, guide, device)
    state = run.state_dict()
    state["step"] = plan.settings.ascent.steps // 2
    run.load_state_dict(state)
    next(iter(run))
    levels = run.pyramid.levels
    return [_digest(tensor) for level in levels for tensor in (level, level.grad) if tensor is not None]


def _first_that_differs(plan: Plan, sample: Sample, guide: LoadedGuide, device: torch.device) -> str | None:
    """Name of the first operation whose result differs between two runs of a step; None if all are equal."""
    logs = []
    for _ in range(2):
        with _OperationLog() as log:
            _take_step(plan, sample, guide, device)
        logs.append(log.results)
    return next((name for (name, first), (_, second) in zip(*logs, strict=False) if first != second), None)


class _OperationLog(TorchDispatchMode):
    """Records the name of each operation, and the hashes of its results."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[tuple[str, list[str]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        # Skip new memory and views, which may show uninitialised bytes.
        if "empty" not in str(func) and not func.is_view:
            self.results.append((str(func).removeprefix("aten."), [_digest(tensor) for tensor in _tensors(result)]))
        return result


def _digest(tensor: Tensor) -> str:
    """Hash of the tensor's bytes, so that a NaN equals itself."""
    # Clone: an expanded scalar counts as contiguous, but cannot be viewed as bytes.
    plain = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).cpu().numpy()
    return hashlib.blake2b(plain.tobytes()).hexdigest()


def _tensors(result: object) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for part in result:
            yield from _tensors(part)
