"""A weight as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A number that changes from `start` towards `end` as the step goes from 0 to `steps` - 1.

    Attributes:
        kind: a key of `KINDS`.
        start, end: the range; how close exponential kinds come to `end` depends on the rate.
        rate: r of the exponential kinds, in (0, 1); the other kinds ignore it.

    Source: DAS-AG v1. `exponential_decay` reduces the distance to `end`: a weight that starts below `end` rises.
    """

    kind: str
    start: float
    end: float
    rate: float

    def __call__(self, step: int, steps: int) -> float:
        """The value at `step` of `steps`."""
        return KINDS[self.kind](self, step, steps)


def _linear(s: Schedule, step: int, steps: int) -> float:
    return s.start + (s.end - s.start) * step / steps


def _exponential_decay(s: Schedule, step: int, _: int) -> float:
    return (s.start - s.end) * (1 - s.rate) ** step + s.end


def _exponential_warmup(s: Schedule, step: int, steps: int) -> float:
    return (s.end - s.start) * ((1 - s.rate) ** (steps - step) - (1 - s.rate) ** steps) + s.start


def _cosine(s: Schedule, step: int, steps: int) -> float:
    return s.end + (s.start - s.end) * (1 + math.cos(math.pi * step / steps)) / 2


KINDS: dict[str, Callable[[Schedule, int, int], float]] = {
    "linear": _linear,
    "exponential_decay": _exponential_decay,
    "exponential_warmup": _exponential_warmup,
    "cosine": _cosine,
}
"""The formula of each kind of schedule, by name."""
