"""The random numbers of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from das_ag.synthesis.objective import Dropout
from das_ag.synthesis.pyramid import PyramidSettings, initial_levels
from das_ag.synthesis.views import ViewGeometry, ViewNumbers, ViewSettings, draw_view_numbers


class SampleNumbers:
    """The random numbers of a batch, in the order in which a run requests them.

    Each sample has its own generator, so it gets the same numbers in any batch.
    """

    def __init__(self, generators: Sequence[Generator], device: torch.device | str = "cpu") -> None:
        self._generators, self._device = generators, device

    def levels(self, settings: PyramidSettings) -> list[Float[Tensor, "batch 3 _ _"]]:
        """Initial levels, coarse to fine."""
        return initial_levels(settings, self._generators, self._device)

    def step(
        self, settings: ViewSettings, geometry: ViewGeometry, dropout: Dropout
    ) -> tuple[ViewNumbers | None, list[Float[Tensor, "batch views _"]]]:
        """The next step's numbers for the views, None without augmentation, and a mask for each dropout layer."""
        views = self._views(settings, geometry) if settings.augment else None
        return views, [self._mask(settings.views_in_step, *layer) for layer in dropout]

    def _views(self, settings: ViewSettings, geometry: ViewGeometry) -> ViewNumbers:
        return draw_view_numbers(settings, geometry, self._generators, self._device)

    def _mask(self, views: int, width: int, rate: float) -> Float[Tensor, "batch views width"]:
        ones = [torch.ones(views, width, device=g.device) for g in self._generators]
        drawn = [one.bernoulli_(1 - rate, generator=g) for one, g in zip(ones, self._generators, strict=True)]
        return torch.stack(drawn).to(self._device) / (1 - rate)

    def state_dict(self) -> dict[str, Any]:
        """The states of the generators."""
        return {"generators": [generator.get_state() for generator in self._generators]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from saved states."""
        for generator, kept in zip(self._generators, state["generators"], strict=True):
            generator.set_state(kept)
