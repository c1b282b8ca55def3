"""Where a run's random numbers come from: a generator for each sample, or the published program's one sequence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from das_ag.synthesis.objective import Dropout
from das_ag.synthesis.pyramid import PyramidSettings, initial_levels
from das_ag.synthesis.resize import resize
from das_ag.synthesis.views import ViewGeometry, ViewNumbers, ViewSettings, draw_view_numbers, windows_at

RANDOMNESS = ("per_sample", "published")


@dataclass(frozen=True)
class StepNumbers:
    """The random numbers of one step.

    Attributes:
        views: of the views; None where they are not augmented.
        dropout: what each dropout layer multiplies with, 0 or 1 / (1 - rate): (batch, views, width) each.
    """

    views: ViewNumbers | None
    dropout: tuple[Float[Tensor, "batch views _"], ...] = ()


@runtime_checkable
class Numbers(Protocol):
    """The random numbers of a batch of samples, in the order in which a run asks for them."""

    def levels(self, settings: PyramidSettings) -> list[Float[Tensor, "batch 3 _ _"]]:
        """Levels to start from, coarse to fine."""

    def step(self, settings: ViewSettings, geometry: ViewGeometry, dropout: Dropout) -> StepNumbers:
        """The numbers of the next step."""

    def state_dict(self) -> dict[str, Any]:
        """Where the generators stand."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on drawing from there."""


class SampleNumbers:
    """Each sample draws from a generator of its own, so that it draws the same in any batch."""

    def __init__(self, generators: Sequence[Generator], device: torch.device | str = "cpu") -> None:
        self._generators, self._device = generators, device

    def levels(self, settings: PyramidSettings) -> list[Float[Tensor, "batch 3 _ _"]]:
        """Levels to start from, coarse to fine."""
        return initial_levels(settings, self._generators, self._device)

    def step(self, settings: ViewSettings, geometry: ViewGeometry, dropout: Dropout) -> StepNumbers:
        """The numbers of the next step."""
        views = draw_view_numbers(settings, geometry, self._generators, self._device) if settings.augment else None
        masks = []
        for width, rate in dropout:
            places = [torch.empty(settings.views_in_step, width, device=g.device) for g in self._generators]
            drawn = [p.bernoulli_(1 - rate, generator=g) for p, g in zip(places, self._generators, strict=True)]
            masks.append(torch.stack(drawn).to(self._device) / (1 - rate))
        return StepNumbers(views, tuple(masks))

    def state_dict(self) -> dict[str, Any]:
        """Where the generators stand."""
        return {"generators": [generator.get_state() for generator in self._generators]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on drawing from there."""
        for generator, kept in zip(self._generators, state["generators"], strict=True):
            generator.set_state(kept)


class PublishedNumbers:
    """One sample, its numbers in the order of the published program, so that a seed means what it means there.

    Args:
        seed: of the program's default generators, that of the CPU and that of the device.
        cpu_state: of the CPU's generator once the program has created its networks, which draw initial weights.
        device: of the pyramid.

    Source: DAS-AG v1. On CUDA the numbers also depend on the device and on torch's version.
    """

    def __init__(self, seed: int, cpu_state: Tensor, device: torch.device | str = "cpu") -> None:
        self._cpu = Generator()
        self._cpu.set_state(cpu_state)
        on_cpu = torch.device(device).type == "cpu"
        self._own = self._cpu if on_cpu else Generator(device).manual_seed(seed)

    def levels(self, settings: PyramidSettings) -> list[Float[Tensor, "1 3 _ _"]]:
        """Levels to start from, coarse to fine."""
        return initial_levels(settings, [self._own], self._own.device)

    def step(self, settings: ViewSettings, geometry: ViewGeometry, dropout: Dropout) -> StepNumbers:
        """The numbers of the next step."""
        views = self._views(settings, geometry) if settings.augment else None
        ones = [torch.ones(settings.views_in_step, width, device=self._own.device) for width, _ in dropout]
        with as_default(self._own):  # dropout takes no generator, and on CUDA it draws in a way of its own
            masks = [F.dropout(one, rate) for one, (_, rate) in zip(ones, dropout, strict=True)]
        return StepNumbers(views, tuple(mask[None] for mask in masks))

    def state_dict(self) -> dict[str, Any]:
        """Where the generators stand."""
        return {"cpu": self._cpu.get_state(), "own": self._own.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on drawing from there."""
        self._cpu.set_state(state["cpu"])
        self._own.set_state(state["own"])

    def _views(self, settings: ViewSettings, geometry: ViewGeometry) -> ViewNumbers:
        b, m, own = settings.count, settings.max_shift_px, self._own
        dx_dy = [torch.randint(-m, m + 1, (1,), generator=self._cpu) for _ in range(2 * b)]
        offset = torch.rand(1, b, 3, 1, 1, generator=own, device=own.device) * 2 - 1
        gain = torch.rand(1, b, 3, 1, 1, generator=own, device=own.device) * 2 - 1
        # The program cuts the border after it has drawn.
        window_px, image_px = geometry.window_px, geometry.image_size_px
        noise = torch.randn(1, b, 3, window_px + 2 * m, window_px + 2 * m, generator=own, device=own.device)
        noise = resize(noise[..., m : m + window_px, m : m + window_px], (image_px, image_px), geometry.interpolation)
        return ViewNumbers(windows_at(torch.cat(dx_dy).view(1, b, 2).flip(-1), window_px, m), gain, offset, noise)


@contextlib.contextmanager
def as_default(generator: Generator) -> Iterator[None]:
    """What draws from torch's default generator of this device draws from `generator` meanwhile."""
    default = torch.default_generator
    if generator.device.type == "cuda":
        torch.cuda.init()
        default = torch.cuda.default_generators[generator.device.index or 0]
    elif generator.device.type == "mps":
        default = torch.mps._get_default_mps_generator()
    kept = default.get_state()
    default.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(default.get_state())
        default.set_state(kept)
