"""Time and memory of an optimisation step, beside those of the frozen encoder alone."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from das_ag.experiment import networks
from das_ag.experiment.generate import Run
from das_ag.experiment.plan import Plan
from das_ag.experiment.runtime import choose_device, make_deterministic


@dataclass(frozen=True)
class StepTimes:
    """Medians over alternating repeats.

    Attributes:
        step_s: one whole step: canvas, views, encoder forward and backward, losses, Adam.
        bare_s: forward and backward of the encoder alone, to the image, on as many pictures of its size.
        overhead: median of the repeats' own ratios step / bare.
        peak_rss_mb: most memory the process has held, in units of 10⁶ bytes.
        views: pictures that pass the encoder in one step.
    """

    step_s: float
    bare_s: float
    overhead: float
    peak_rss_mb: float
    views: int


def measure_step(plan: Plan, repeats: int) -> StepTimes:
    """Times steps of the plan's first batch; its number of steps must exceed `repeats` by the warm-up's two."""
    make_deterministic()
    device = choose_device(plan.runtime.device)
    guide = networks.load_guide(plan.settings.guide, device)
    size = plan.runtime.samples_per_batch
    samples = [plan.samples[index % len(plan.samples)] for index in range(size)]
    steps = iter(Run(samples, plan.settings, guide, device))
    views = size * (plan.settings.views.count if plan.settings.views.augment else 1)
    side = guide.image_text.image_size_px
    pixels = torch.randn(views, 3, side, side, device=device, requires_grad=True)

    def step() -> None:
        next(steps)

    def bare() -> None:
        pixels.grad = None
        guide.image_text.encode_images(pixels).sum().backward()

    pairs = list(_alternate(step, bare, repeats, device))
    return StepTimes(
        step_s=statistics.median(a for a, _ in pairs),
        bare_s=statistics.median(b for _, b in pairs),
        overhead=statistics.median(a / b for a, b in pairs),
        peak_rss_mb=_peak_rss_mb(),
        views=views,
    )


def _alternate(
    first: Callable[[], None], second: Callable[[], None], repeats: int, device: torch.device
) -> Iterator[tuple[float, float]]:
    """Seconds of both, in turn, after two rounds that do not count."""
    for repeat in range(-2, repeats):
        times = (_seconds(first, device), _seconds(second, device))
        if repeat >= 0:
            yield times


def _seconds(function: Callable[[], None], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    function()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
