"""Pictures that only a model believes in, made while it trains so that it stops believing them."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from das_ag.training.contrastive import meaningless_pictures
from das_ag.world import render, sample_scenes


class Dreams:
    """Pictures that climb the model's own belief.

    They start as clouds of colour or shuffled scenes; each update moves them up the loss at all scales at once, as the
    ascent through a pyramid does, with the gradient that the update computes anyway. In the loss they are pictures of
    which every caption is false. Without them, ascent ends in scattered colour that only the guide believes.

    Attributes:
        rgb: the pictures, (n, 3, 64, 64) in 0…1.
    """

    step = 0.04
    """Root mean square change of a picture in one update."""
    renewed = 1 / 60
    """Share of the pictures that start anew after each update."""
    scales_px = (4, 8, 16, 32, 64)

    def __init__(self, n: int, generator: Generator, device: torch.device) -> None:
        self._generator = generator
        self.rgb = self._start(n).to(device)

    def _start(self, n: int) -> Tensor:
        return meaningless_pictures(render(sample_scenes(n, self._generator), self._generator).rgb, self._generator)

    def move(self) -> None:
        """Moves each picture along its gradient, which a backward pass has left in `rgb.grad`."""
        gradient = self.rgb.grad
        assert gradient is not None
        direction = torch.zeros_like(gradient)
        for size in self.scales_px:
            coarse = F.interpolate(F.adaptive_avg_pool2d(gradient, size), size=gradient.shape[-1], mode="bilinear")
            direction += coarse / _rms(coarse)
        moved = (self.rgb.detach() + self.step * direction / _rms(direction)).clamp(0, 1)
        renew = torch.rand(len(moved), generator=self._generator) < self.renewed
        if renew.any():
            moved[renew.to(moved.device)] = self._start(len(moved))[renew].to(moved.device)
        self.rgb = moved


def _rms(pictures: Tensor) -> Tensor:
    return pictures.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
