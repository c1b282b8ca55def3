"""The optimiser's settings: Adam, whose learning rate falls along a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

LAST_LEARNING_RATE = 0.01
"""Share of the learning rate that is left at the last step. Source: DAS-AG v1."""


@dataclass(frozen=True)
class AscentSettings:
    """The optimiser.

    Attributes:
        steps: T, one Adam step each.
        learning_rate: of the first step; cosine annealing takes it down to 1 %.
        betas: Adam's.
    """

    steps: int
    learning_rate: float
    betas: tuple[float, float]

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, 0 … T - 1."""
        last = LAST_LEARNING_RATE * self.learning_rate
        return last + (self.learning_rate - last) * (1 + math.cos(math.pi * step / self.steps)) / 2
