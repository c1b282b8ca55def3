"""Estimates the remaining work of a plan without loading a model."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from das_ag.errors import counted
from das_ag.settings.plan import Plan
from das_ag.store.samples import Sample
from das_ag.store.store import Store

TIMED = 50
"""Largest number of finished samples whose durations are read."""


@dataclass(frozen=True)
class Outlook:
    """The progress of a plan.

    Attributes:
        samples: number of samples in the plan.
        finished: number of finished samples.
        failed: number of missing samples that failed before.
        missing: number of missing samples, including failed ones; a run tries them all.
        seconds: estimated time for the missing samples in sequence, from finished ones; None without a recorded time.
    """

    samples: int
    finished: int
    failed: int
    missing: int
    seconds: float | None

    def __str__(self) -> str:
        parts = [counted(self.samples, "sample"), f"{self.finished:,} finished", f"{self.missing:,} missing"]
        if self.failed:
            parts.append(f"{self.failed:,} of them failed before")
        if self.missing:
            unknown = "no estimate before the first is finished"
            parts.append(unknown if self.seconds is None else f"about {clock(self.seconds)} to go")
        return ", ".join(parts)


def look_ahead(plan: Plan, store: Store) -> Outlook:
    """The progress of a plan; writes nothing."""
    finished: list[Sample] = []
    missing: list[Sample] = []
    for sample in plan.samples:
        (finished if store.is_finished(sample) else missing).append(sample)
    some = finished[:: 1 + len(finished) // TIMED]
    durations = [seconds for sample in some if (seconds := store.duration_s(sample)) is not None]
    return Outlook(
        samples=len(plan.samples),
        finished=len(finished),
        failed=len(store.failures.marks(missing)),
        missing=len(missing),
        seconds=statistics.median(durations) * len(missing) if durations else None,
    )


def clock(seconds: float) -> str:
    """Formats a duration for people, for instance "3 h"."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
