"""The published program's random numbers: a seed gives the same numbers as there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from das_ag.synthesis.randomness import SampleNumbers
from das_ag.synthesis.resize import resize
from das_ag.synthesis.views import ViewGeometry, ViewNumbers, ViewSettings, windows_at


class PublishedNumbers(SampleNumbers):
    """The random numbers of one sample, in the order of the published program.

    Args:
        seed: seed of the program's two default generators, for the CPU and for the device.
        cpu_state: state of the CPU's generator after the program has created its networks, which draw initial weights.
        device: device of the pyramid.

    Source: DAS-AG v1. On CUDA the numbers also depend on the device and on torch's version.
    """

    def __init__(self, seed: int, cpu_state: Tensor, device: torch.device | str = "cpu") -> None:
        self._cpu = Generator()
        self._cpu.set_state(cpu_state)
        on_cpu = torch.device(device).type == "cpu"
        self._own = self._cpu if on_cpu else Generator(device).manual_seed(seed)
        super().__init__([self._own], self._own.device)

    def _views(self, settings: ViewSettings, geometry: ViewGeometry) -> ViewNumbers:
        b, m, own = settings.count, settings.max_shift_px, self._own
        dx_dy = [torch.randint(-m, m + 1, (1,), generator=self._cpu) for _ in range(2 * b)]
        offset = torch.rand(1, b, 3, 1, 1, generator=own, device=own.device) * 2 - 1
        gain = torch.rand(1, b, 3, 1, 1, generator=own, device=own.device) * 2 - 1
        # The program draws noise for the whole canvas, then cuts the border.
        window_px, image_px = geometry.window_px, geometry.image_size_px
        noise = torch.randn(1, b, 3, window_px + 2 * m, window_px + 2 * m, generator=own, device=own.device)
        noise = resize(noise[..., m : m + window_px, m : m + window_px], (image_px, image_px), geometry.interpolation)
        return ViewNumbers(windows_at(torch.cat(dx_dy).view(1, b, 2).flip(-1), window_px, m), gain, offset, noise)

    def _mask(self, views: int, width: int, rate: float) -> Float[Tensor, "1 views width"]:
        with as_default(self._own):  # dropout accepts no generator, and on CUDA it draws differently
            return F.dropout(torch.ones(1, views, width, device=self._own.device), rate)

    def state_dict(self) -> dict[str, Any]:
        """The states of both generators."""
        return {"cpu": self._cpu.get_state(), **super().state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from saved states."""
        self._cpu.set_state(state["cpu"])
        super().load_state_dict(state)


@contextlib.contextmanager
def as_default(generator: Generator) -> Iterator[None]:
    """Makes torch's default generator of this device draw from `generator` while the block runs."""
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
