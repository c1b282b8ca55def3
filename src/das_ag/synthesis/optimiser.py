"""The optimiser's settings: Adam, whose learning rate falls along a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from das_ag.errors import UserError

MAX_LEARNING_RATE = 1000.0
"""Far beyond any use; float32 overflows beyond 1e38."""

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

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError(f"steps: expected at least 1, got {self.steps}; the published value is 200.")
        if not 0 < self.learning_rate <= MAX_LEARNING_RATE:  # NaN fails too
            raise UserError(
                f"learning_rate: expected above 0 and at most {MAX_LEARNING_RATE}, got {self.learning_rate}; "
                "the published value is 0.05."
            )
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError(f"betas: expected two numbers from 0 to below 1, got {self.betas}; change them.")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, 0 … T - 1."""
        last = LAST_LEARNING_RATE * self.learning_rate
        return last + (self.learning_rate - last) * (1 + math.cos(math.pi * step / self.steps)) / 2
