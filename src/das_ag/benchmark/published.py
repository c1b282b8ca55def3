"""A step as the published program takes it: what the speed of this one is measured against."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from das_ag.experiment.guides import OpenAIClipChoice
from das_ag.experiment.plan import Plan
from das_ag.experiment.samples import Sample
from das_ag.models.sources import clip_package


class PublishedAscent:
    """The published program's loop, written down plainly: each level by `F.interpolate`, a copy of the canvas for each
    view, rolled, noise at full size, CLIP called through its own package, one sample at a time, float32.

    Args:
        plan: with CLIP as its guide, powers of two, their mean, and `gamut=clip_normalised`.
        frozen: whether CLIP's and the head's weights get no gradient; the published program leaves it to them.

    Source: DAS-AG v1.
    """

    def __init__(self, plan: Plan, sample: Sample, device: torch.device, *, frozen: bool = False) -> None:
        assert isinstance(plan.guide, OpenAIClipChoice)
        self._settings = plan.settings
        files = plan.guide.files()
        clip = clip_package()
        self._clip, _ = clip.load(str(files["clip"].path), device="cpu", jit=False)
        self._clip = self._clip.float().to(device)
        self._head = _head(files["head"].path).to(device)
        if frozen:
            self._clip.requires_grad_(False)
            self._head.requires_grad_(False)
        self._device = device
        with torch.no_grad():
            texts = clip.tokenize([*sample.positive, *sample.negative], truncate=True).to(device)
            features = F.normalize(self._clip.encode_text(texts), dim=-1)
        self._positive, self._negative = features[: len(sample.positive)], features[len(sample.positive) :]

    def begin(self, seed: int, cpu_state: Tensor | None = None) -> None:
        """Draws the levels.

        Args:
            cpu_state: of the CPU's generator behind the drawing of the networks' initial weights; None for the seed's.
        """
        s = self._settings
        torch.manual_seed(seed)
        if cpu_state is not None:
            torch.set_rng_state(cpu_state)
        self._levels = [
            (torch.randn(1, 3, size, size, device=self._device) / size).requires_grad_() for size in s.pyramid.sizes_px
        ]
        self._optimiser = torch.optim.Adam(self._levels, lr=s.ascent.learning_rate, betas=s.ascent.betas)
        self._annealing = torch.optim.lr_scheduler.CosineAnnealingLR(
            self._optimiser, T_max=s.ascent.steps, eta_min=0.01 * s.ascent.learning_rate
        )
        self._step = 0

    def step(self) -> float:
        """Takes a step; returns the loss that it saw."""
        s, size = self._settings, self._settings.pyramid.canvas_px
        self._optimiser.zero_grad()
        upsampled = [
            F.interpolate(level, size=(size, size), mode="bilinear", align_corners=False) for level in self._levels
        ]
        canvas = torch.tanh(torch.stack(upsampled).mean(dim=0))
        views = self._views(canvas)
        features = F.normalize(self._clip.encode_image(views), dim=-1)
        aesthetic = self._head(features).mean() / 10
        similarity = (features @ self._positive.T).mean()
        if len(self._negative):
            similarity = similarity - (features @ self._negative.T).mean()
        rows = (views[..., 1:, :] - views[..., :-1, :]).abs().mean()
        columns = (views[..., 1:] - views[..., :-1]).abs().mean()
        o, steps = s.objective, s.ascent.steps
        loss = (
            -o.aesthetic_sign * o.aesthetic(self._step, steps) * aesthetic
            - o.clip * similarity
            + o.total_variation * (rows + columns)
            + o.l1 * views.abs().mean()
        )
        loss.backward()
        self._optimiser.step()
        self._annealing.step()
        self._step += 1
        return float(loss.detach())

    def _views(self, canvas: Tensor) -> Tensor:
        v, steps = self._settings.views, self._settings.ascent.steps
        b, m, size = v.count, v.max_shift_px, canvas.shape[-1]
        copies = []
        for _ in range(b):
            dx, dy = (int(torch.randint(-m, m + 1, (1,))) for _ in range(2))
            copies.append(torch.roll(canvas.clone(), (dy, dx), dims=(2, 3)))
        views = torch.cat(copies)
        shift = v.colour_shift(self._step, steps)
        offset, gain = ((torch.rand(b, 3, 1, 1, device=self._device) * 2 - 1) * shift for _ in range(2))
        views = views * gain.exp() + offset
        views = views + v.noise(self._step, steps) * torch.randn(b, 3, size, size, device=self._device)
        views = views[..., m : size - m, m : size - m]
        side = self._clip.visual.input_resolution
        return F.interpolate(views, size=(side, side), mode="bilinear", align_corners=False)


def _head(path: Path) -> nn.Module:
    """The LAION head with its dropout left on, as published."""
    layers = nn.Sequential(
        nn.Linear(768, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
        nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
    )  # fmt: skip
    state = torch.load(path, map_location="cpu", weights_only=True)
    layers.load_state_dict({name.removeprefix("layers."): weight for name, weight in state.items()})
    return layers
