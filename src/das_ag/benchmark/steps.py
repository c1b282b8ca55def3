"""Measures time and memory of an optimisation step and of the frozen encoder alone."""

from __future__ import annotations

import functools
import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from das_ag.benchmark.memory import peak_rss_mb
from das_ag.benchmark.published import published_way
from das_ag.generation.batch import Run, guide_of
from das_ag.generation.machine import set_up
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import Plan, make_plan
from das_ag.settings.runtime import choose_device
from das_ag.store.files import pretty
from das_ag.store.samples import SAMPLE, Sample
from das_ag.store.store import Store

WARM_UP = 2
"""Rounds before the measured ones."""


@dataclass(frozen=True)
class StepTimes:
    """Medians over alternating repeats.

    Attributes:
        step_s: one whole step: canvas, views, encoder forward and backward, losses, Adam.
        bare_s: forward and backward of the encoder alone, to the image, with the same number of pictures and passes.
        overhead: median over repeats of the ratio step / bare.
        views: pictures that the encoder sees in one step.
        peak_mb: peak memory of a process that only takes steps, in units of 10⁶ bytes.
        beyond_torch_mb: the part of `peak_mb` that was allocated after the imports of torch and the rest.
    """

    step_s: float
    bare_s: float
    overhead: float
    views: int
    peak_mb: float
    beyond_torch_mb: float


def fake_finished(store: Store, samples: Iterable[Sample]) -> None:
    """Marks the samples as finished for a check of the plan, without an image."""
    for sample in samples:
        folder = store.root / sample.folder
        folder.mkdir(parents=True)
        entry = {**sample.identity(), "key": sample.key, "provenance": {"duration_s": 60.0}}
        (folder / SAMPLE).write_text(pretty(entry), encoding="utf-8")


def time_steps(plan: Plan, steps: int = 2) -> tuple[float, float]:
    """Seconds per step of the plan's first batch (mean, after one warm-up step), and peak memory in MB.

    On the CPU the memory is that of the whole process, on CUDA that of torch.
    """
    set_up(plan.runtime)
    device, run = choose_device(plan.runtime.device), _first_run(plan)
    iterator = iter(run)
    next(iterator)
    seconds = _seconds(lambda: [next(iterator) for _ in range(steps)], device) / steps
    peak = torch.cuda.max_memory_reserved(device) / 1e6 if device.type == "cuda" else peak_rss_mb()
    return seconds, peak


def _first_run(plan: Plan) -> Run:
    device = choose_device(plan.runtime.device)
    samples = [plan.samples[index % len(plan.samples)] for index in range(plan.samples_per_batch)]
    return Run(samples, plan, guide_of(plan, samples, device), device)


def measure_memory(overrides: Sequence[str]) -> tuple[float, float]:
    """Peak memory of steps of this configuration's first batch, in MB, and how much of it came after the imports.

    Call this in a separate process.
    """
    imported = peak_rss_mb()
    _, peak = time_steps(make_plan(compose_config(overrides)), steps=1)
    return peak, peak - imported


def measure_step(overrides: Sequence[str], repeats: int) -> StepTimes:
    """Times steps of the first batch of this configuration, and measures its memory in a separate process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as own_process:
        peak, beyond = own_process.submit(measure_memory, overrides).result()
    plan = make_plan(compose_config([*overrides, f"steps={WARM_UP + repeats}"]))
    set_up(plan.runtime)
    device = choose_device(plan.runtime.device)
    run = _first_run(plan)
    steps = iter(run)
    views = plan.samples_per_batch * plan.settings.views.views_in_step
    side = run.guide.image_size_px
    passes = torch.randn(views, 3, side, side, device=device).split(plan.runtime.views_per_pass)
    passes = [pixels.contiguous().requires_grad_() for pixels in passes]

    def bare() -> None:
        for pixels in passes:
            pixels.grad = None
            run.guide.encode_images(pixels).sum().backward()

    step_s, bare_s = alternate([lambda: next(steps), bare], repeats, device).T
    return StepTimes(
        step_s=float(np.median(step_s)),
        bare_s=float(np.median(bare_s)),
        overhead=float(np.median(step_s / bare_s)),
        views=views,
        peak_mb=peak,
        beyond_torch_mb=beyond,
    )


@dataclass(frozen=True)
class AgainstPublished:
    """Seconds per step of one image, medians over alternating repeats.

    Attributes:
        ours_s: of this program, the time of a batch divided by its images.
        published_s: of the published program's method.
        faster: median over repeats of the ratio published / ours.
        samples: size of our batch.
    """

    ours_s: float
    published_s: float
    faster: float
    samples: int


def measure_against_published(plan: Plan, repeats: int) -> AgainstPublished:
    """Times steps of the plan's first batch and of its first sample by `published_way`, in turn."""
    set_up(plan.runtime)
    device = choose_device(plan.runtime.device)
    ours, published = iter(_first_run(plan)), published_way(plan, plan.samples[0], device)
    seconds = alternate([lambda: next(ours), lambda: next(published)], repeats, device)
    ours_s, published_s = seconds.T / [[plan.samples_per_batch], [1]]
    return AgainstPublished(
        ours_s=float(np.median(ours_s)),
        published_s=float(np.median(published_s)),
        faster=float(np.median(published_s / ours_s)),
        samples=plan.samples_per_batch,
    )


def measure_steps(plans: Sequence[Plan], repeats: int) -> list[float]:
    """Median seconds per step of each plan's first batch; the plans take turns. They must share their guide."""
    set_up(plans[0].runtime)
    device = choose_device(plans[0].runtime.device)
    steps = [functools.partial(next, iter(_first_run(plan))) for plan in plans]
    return [float(seconds) for seconds in np.median(alternate(steps, repeats, device), axis=0)]


def alternate(
    functions: Sequence[Callable[[], object]], repeats: int, device: torch.device
) -> Float[np.ndarray, "repeats functions"]:
    """Seconds of each function; they take turns, after `WARM_UP` rounds that do not count."""
    rounds = [[_seconds(function, device) for function in functions] for _ in range(WARM_UP + repeats)]
    return np.array(rounds[WARM_UP:])


def _seconds(function: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    function()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
