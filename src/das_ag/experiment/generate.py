"""Makes the samples of a plan that the store does not have yet."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from das_ag.experiment import networks
from das_ag.experiment.plan import Plan, Settings
from das_ag.experiment.progress import Progress
from das_ag.experiment.runtime import RuntimeSettings, choose_device, make_deterministic, provenance
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
    missing = [sample for sample in plan.samples if not store.is_finished(sample)]
    found = len(plan.samples) - len(missing)
    if not missing:
        return Outcome(0, found, {})
    _report_lost_words(plan, missing)
    make_deterministic()
    device = choose_device(plan.runtime.device)
    guide = networks.load_guide(plan.settings.guide, device)
    failed: dict[str, str] = {}
    size = plan.runtime.samples_per_batch
    for start in range(0, len(missing), size):
        failed |= _generate_batch(missing[start : start + size], plan.settings, plan.runtime, guide, store)
    return Outcome(len(missing) - len(failed), found, failed)


def _generate_batch(
    samples: Sequence[Sample], settings: Settings, runtime: RuntimeSettings, guide: networks.LoadedGuide, store: Store
) -> dict[str, str]:
    """Optimises and stores one batch; returns the errors by sample.

    The batch is filled up with copies of its last sample. Products of matrices of another shape may round
    differently, so that otherwise an image's last bits would depend on how many samples were missing.
    """
    started = time.monotonic()
    device = choose_device(runtime.device)
    filled = [*samples, *[samples[-1]] * (runtime.samples_per_batch - len(samples))]
    run = Run(filled, settings, guide, device)
    rows: list[list[dict[str, float]]] = [[] for _ in samples]
    with Progress(settings.ascent.steps, _title(samples)) as progress:
        for iterate in run:
            _append_rows(rows, iterate)
            progress.update(iterate, len(samples))
    images, result = run.images(), run.measure()
    finite = iterate.finite.cpu()
    record = {
        **provenance(device),
        "samples_per_batch": runtime.samples_per_batch,
        "duration_s": round((time.monotonic() - started) / len(samples), 3),
    }
    failed = {}
    for index, sample in enumerate(samples):
        if not finite[index]:
            failed[name_of(sample)] = (
                f"expected a finite loss, got NaN or infinity at step {_first_lost(rows[index])}; lower learning_rate."
            )
            store.write_failure(sample, failed[name_of(sample)])
            continue
        scores = {
            "guide_aesthetic_score": 10 * float(result.aesthetic[index]),
            "clip_positive": float(result.positive[index]),
            "clip_negative": float(result.negative[index]),
        }
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
        row.append({"step": iterate.step, **{name: values[index] for name, values in table.items()}})


def _first_lost(rows: list[dict[str, float]]) -> int:
    return next((int(row["step"]) for row in rows if row["loss"] - row["loss"] != 0), len(rows))


def _report_lost_words(plan: Plan, samples: Sequence[Sample]) -> None:
    lost_words = networks.GUIDES[plan.settings.guide].lost_words
    for text in dict.fromkeys(text for sample in samples for text in (*sample.positive, *sample.negative)):
        if lost := lost_words(text):
            log.warning("Words that the %s models do not see in “%s”: %s", plan.settings.guide, text, ", ".join(lost))
