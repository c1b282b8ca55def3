"""The optimiser: Adam with a learning rate that falls along a cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

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


class AnnealedAdam:
    """Moves parameters in place along their gradients.

    This is torch's own function; `torch.optim.Adam` around it imports torch's compiler, which takes longer than all
    else that a run imports.
    """

    def __init__(self, parameters: Sequence[Tensor], settings: AscentSettings) -> None:
        self._parameters, self._settings = list(parameters), settings
        self._means, self._squares = ([torch.zeros_like(p) for p in self._parameters] for _ in range(2))
        self._counts = [torch.zeros((), device=p.device) for p in self._parameters]

    @torch.no_grad()
    def step(self, step: int) -> None:
        """Takes step 0 … T - 1."""
        gradients = [p.grad for p in self._parameters]
        beta_1, beta_2 = self._settings.betas
        adam(
            self._parameters, gradients, self._means, self._squares, [], self._counts, fused=True,  # type: ignore[arg-type]
            amsgrad=False, beta1=beta_1, beta2=beta_2, lr=self._settings.learning_rate_at(step), weight_decay=0.0,
            eps=1e-8, maximize=False,
        )  # fmt: skip

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """What the steps to come depend on; live tensors, as torch's own state_dicts."""
        return {"means": self._means, "squares": self._squares, "counts": self._counts}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from there."""
        for name, mine in self.state_dict().items():
            for tensor, kept in zip(mine, state[name], strict=True):
                tensor.copy_(kept)
