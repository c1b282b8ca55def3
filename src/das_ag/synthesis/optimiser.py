"""The optimiser's settings: Adam with a cosine learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass

LAST_LEARNING_RATE = 0.01
"""Final learning rate as a share of the first. Source: DAS-AG v1."""


@dataclass(frozen=True)
class AscentSettings:
    """Settings of the optimiser.

    Attributes:
        steps: T, the number of Adam steps.
        learning_rate: learning rate of the first step; cosine annealing reduces it to 1 %.
        betas: Adam's β₁ and β₂.
    """

    steps: int
    learning_rate: float
    betas: tuple[float, float]

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, 0 … T - 1."""
        last = LAST_LEARNING_RATE * self.learning_rate
        return last + (self.learning_rate - last) * (1 + math.cos(math.pi * step / self.steps)) / 2
