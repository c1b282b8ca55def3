"""What a plan has still to do, before anything is loaded."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from das_ag.settings.plan import Plan
from das_ag.store.samples import Sample
from das_ag.store.store import Store

TIMED = 50
"""Finished samples whose recorded durations are looked at, at most."""


@dataclass(frozen=True)
class Outlook:
    """How far a plan is.

    Attributes:
        samples: that it asks for.
        finished: of them.
        failed: of the missing ones, those that were tried in vain.
        missing: of them; all are tried when the plan is run.
        seconds: that the missing ones take one after the other, by those that are finished; None where none is.
    """

    samples: int
    finished: int
    failed: int
    missing: int
    seconds: float | None

    def __str__(self) -> str:
        parts = [f"{self.samples:,} samples", f"{self.finished:,} finished", f"{self.missing:,} missing"]
        if self.failed:
            parts.append(f"{self.failed:,} of them failed before")
        if self.missing:
            parts.append("no sample timed yet" if self.seconds is None else f"about {clock(self.seconds)} to go")
        return ", ".join(parts)


def look_ahead(plan: Plan, store: Store) -> Outlook:
    """How far a plan is; nothing is written."""
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
    """A duration as people say it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
