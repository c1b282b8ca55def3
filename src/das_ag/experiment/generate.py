"""Makes the samples of a plan that the store does not have yet."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from das_ag.experiment import networks
from das_ag.experiment.plan import Plan, Settings
from das_ag.experiment.progress import Progress
from das_ag.experiment.runtime import choose_device, make_deterministic, provenance
from das_ag.experiment.store import Sample, Store
from das_ag.synthesis import (
    Guide,
    Iterate,
    Objective,
    Pyramid,
    Terms,
    ViewNumbers,
    ascend,
    draw_view_numbers,
    image_rgb,
    initial_levels,
    mean_features,
    measure_result,
    to_bytes,
)

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a plan came to.

    Attributes:
        made: samples generated now.
        found: samples that stood in the store already.
        failed: name and error of each sample that could not be made.
    """

    made: int
    found: int
    failed: dict[str, str]


def generate(plan: Plan, store: Store) -> Outcome:
    """Generates the missing samples of the plan, a batch at a time; each batch is stored before the next begins.

    Raises:
        UserError: the store cannot be written to; what was stored stays.
    """
    store.prepare()
    missing = {sample.key: sample for sample in plan.samples if not store.is_finished(sample)}
    found = len(plan.samples) - len(missing)
    if not missing:
        return Outcome(0, found, {})
    _report_lost_words(plan, list(missing.values()))
    make_deterministic()
    device = choose_device(plan.runtime.device)
    guide = networks.load_guide(plan.settings.guide, device)
    failed: dict[str, str] = {}
    size = plan.runtime.samples_per_batch
    for start in range(0, len(plan.samples), size):
        batch = plan.samples[start : start + size]
        if any(sample.key in missing for sample in batch):
            failed |= _generate_batch(batch, plan, guide, store)
    return Outcome(len(missing) - len(failed), found, failed)


def _generate_batch(samples: Sequence[Sample], plan: Plan, guide: networks.LoadedGuide, store: Store) -> dict[str, str]:
    """Optimises one batch of the plan and stores what the store lacks; returns the errors by sample.

    A batch has the same samples in the same rows whatever is missing, and is filled up with copies of its last sample:
    matrices of another shape, and other rows, may round differently, and an image's last bits would depend on company.
    """
    started = time.monotonic()
    settings, size = plan.settings, plan.runtime.samples_per_batch
    device = choose_device(plan.runtime.device)
    run = Run([*samples, *[samples[-1]] * (size - len(samples))], settings, guide, device)
    rows: list[list[dict[str, float]]] = [[] for _ in samples]
    with Progress(settings.ascent.steps, _title(samples)) as progress:
        for iterate in run:
            _append_rows(rows, iterate)
            progress.update(iterate, len(samples))
    images, result = run.images(), run.measure()
    seconds = round((time.monotonic() - started) / len(samples), 3)
    record = {**provenance(device), "samples_per_batch": size, "duration_s": seconds}
    failed = {}
    for index, sample in enumerate(samples):
        if store.is_finished(sample):
            continue
        scores = {
            "guide_aesthetic_score": 10 * float(result.aesthetic[index]),
            "clip_positive": float(result.positive[index]),
            "clip_negative": float(result.negative[index]),
        }
        if not (iterate.finite[index] and all(map(math.isfinite, scores.values()))):
            failed[name_of(sample)] = (
                f"expected a finite loss, got NaN or infinity at step {_first_lost(rows[index])}; "
                "lower learning_rate, views.noise or the weights under objective."
            )
            store.write_failure(sample, failed[name_of(sample)])
            continue
        store.write(sample, images[index], rows[index], scores, record)
    return failed


class Run:
    """A batch of samples being optimised; iterating takes the steps."""

    def __init__(
        self, samples: Sequence[Sample], settings: Settings, loaded: networks.LoadedGuide, device: torch.device
    ) -> None:
        self.settings = settings
        self.generators = [generator_of(sample, device) for sample in samples]
        self.pyramid = Pyramid(initial_levels(settings.pyramid, self.generators, device), settings.pyramid)
        model = loaded.image_text
        self.guide = Guide(model.image_size_px, model.encode_images, loaded.rater.rate_features)
        positive = [model.encode_texts(sample.positive) for sample in samples]
        dim = positive[0].shape[1]
        negative = [model.encode_texts(s.negative) if s.negative else positive[0][:0] for s in samples]
        self.objective = Objective(settings.objective, mean_features(positive, dim), mean_features(negative, dim))

    def __iter__(self) -> Iterator[Iterate]:
        s = self.settings
        window_px = s.pyramid.canvas_px - 2 * s.border_px
        device = self.pyramid.levels[0].device

        def draw() -> ViewNumbers:
            return draw_view_numbers(s.views, window_px, self.generators, device)

        return ascend(self.pyramid, self.guide, self.objective, s.views, s.ascent, draw=draw)

    def images(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """RGB images of the samples as they are now."""
        return list(to_bytes(image_rgb(self.pyramid, self.settings.border_px)).numpy())

    def measure(self) -> Terms:
        """The guide's view of the images as they are now."""
        return measure_result(self.pyramid, self.guide, self.objective, self.settings.border_px)


def generator_of(sample: Sample, device: torch.device) -> torch.Generator:
    """A sample's own random numbers: the same for each method, so that methods can be compared pair by pair."""
    text = f"{sample.seed}:{sample.prompt_id}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator(device).manual_seed(number)


def name_of(sample: Sample) -> str:
    """How messages call a sample."""
    return f"{sample.method} {sample.prompt_id} seed {sample.seed}"


def _title(samples: Sequence[Sample]) -> str:
    first = samples[0]
    return name_of(first) if len(samples) == 1 else f"{first.method}, {len(samples)} samples"


def _append_rows(rows: list[list[dict[str, float]]], iterate: Iterate) -> None:
    columns = {"loss": iterate.loss, **vars(iterate.terms)}
    table = {name: values.cpu().tolist() for name, values in columns.items()}
    for index, row in enumerate(rows):
        row.append({"step": float(iterate.step), **{name: values[index] for name, values in table.items()}})


def _first_lost(rows: list[dict[str, float]]) -> int:
    return next((int(row["step"]) for row in rows if row["loss"] - row["loss"] != 0), len(rows))


def _report_lost_words(plan: Plan, samples: Sequence[Sample]) -> None:
    lost_words = networks.GUIDES[plan.settings.guide].lost_words
    for text in dict.fromkeys(text for sample in samples for text in (*sample.positive, *sample.negative)):
        if lost := lost_words(text):
            log.warning("Words that the %s models do not see in “%s”: %s", plan.settings.guide, text, ", ".join(lost))
