"""Makes the samples of a plan that the store does not have yet."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from das_ag.errors import UserError
from das_ag.experiment.guides import LoadedGuide, load_guide
from das_ag.experiment.plan import Plan
from das_ag.experiment.progress import Progress
from das_ag.experiment.runtime import choose_device, dtype_of, make_deterministic, provenance
from das_ag.experiment.store import Sample, Store
from das_ag.synthesis import (
    Iterate,
    Numbers,
    Objective,
    PublishedNumbers,
    Pyramid,
    SampleNumbers,
    StepNumbers,
    Terms,
    ascend,
    image_rgb,
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
    make_deterministic()
    device = choose_device(plan.runtime.device)
    guide = guide_of(plan, device)
    _report_lost_words(guide, list(missing.values()))
    failed: dict[str, str] = {}
    size = plan.samples_per_batch
    if size != plan.runtime.samples_per_batch:
        log.info("randomness=published: one sample at a time, whatever runtime.samples_per_batch asks")
    for start in range(0, len(plan.samples), size):
        batch = plan.samples[start : start + size]
        if any(sample.key in missing for sample in batch):
            failed |= _generate_batch(batch, plan, guide, store)
    return Outcome(len(missing) - len(failed), found, failed)


def _generate_batch(samples: Sequence[Sample], plan: Plan, guide: LoadedGuide, store: Store) -> dict[str, str]:
    """Optimises one batch of the plan and stores what the store lacks; returns the errors by sample.

    A batch has the same samples in the same rows whatever is missing, and is filled up with copies of its last sample:
    matrices of another shape, and other rows, may round differently, and an image's last bits would depend on company.
    """
    started = time.monotonic()
    settings, size = plan.settings, plan.samples_per_batch
    device = choose_device(plan.runtime.device)
    rows: list[list[dict[str, float]]] = [[] for _ in samples]
    with Progress(settings.ascent.steps, _title(samples)) as progress, _out_of_memory(plan):
        run = Run([*samples, *[samples[-1]] * (size - len(samples))], plan, guide, device)
        for iterate in run:
            _append_rows(rows, iterate)
            progress.update(iterate, len(samples))
        images, result = run.images(), run.measure()
    seconds = round((time.monotonic() - started) / len(samples), 3)
    record = {
        **provenance(device),
        "samples_per_batch": size,
        "views_per_pass": plan.runtime.views_per_pass,
        "published_figures": plan.published_figures,
        "duration_s": seconds,
    }
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
        levels = [level[index].detach().cpu().numpy() for level in run.pyramid.levels]
        store.write(sample, images[index], rows[index], scores, record, levels=levels)
    return failed


@contextlib.contextmanager
def _out_of_memory(plan: Plan) -> Iterator[None]:
    """Says which settings need less memory where there is too little."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's error on the CPU is a plain RuntimeError
        is_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not is_memory:
            raise
        size, views = plan.samples_per_batch, plan.samples_per_batch * plan.settings.views.views_in_step
        passing = min(plan.runtime.views_per_pass, views)
        advice = [f"runtime.samples_per_batch={size // 2}"] if size > 1 else []
        advice += [f"runtime.views_per_pass={passing // 2}"] if passing > 1 else []
        raise UserError(
            f"memory: expected room for runtime.samples_per_batch={size} and runtime.views_per_pass={passing}, got "
            f"none left; try {' or '.join(advice) or 'a smaller canvas_px'}; finished samples are kept."
        ) from error


class Run:
    """A batch of samples being optimised; iterating takes the steps."""

    def __init__(self, samples: Sequence[Sample], plan: Plan, loaded: LoadedGuide, device: torch.device) -> None:
        s = self.settings = plan.settings
        self._numbers, self._views_per_pass = (
            _numbers(samples, s.randomness, loaded, device),
            plan.runtime.views_per_pass,
        )
        self.pyramid = Pyramid(self._numbers.levels(s.pyramid), s.pyramid)
        self.guide = loaded.functions
        positive = [[loaded.text_features[text] for text in sample.positive] for sample in samples]
        negative = [[loaded.text_features[text] for text in sample.negative] for sample in samples]
        like = positive[0][0]
        self.objective = Objective(s.objective, mean_features(positive, like), mean_features(negative, like))

    def __iter__(self) -> Iterator[Iterate]:
        s = self.settings

        def draw() -> StepNumbers:
            return self._numbers.step(s.views, s.pyramid.canvas_px, self.guide.dropout)

        return ascend(
            self.pyramid, self.guide, self.objective, s.views, s.ascent, draw=draw, views_per_pass=self._views_per_pass
        )

    def images(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """RGB images of the samples as they are now."""
        return list(to_bytes(image_rgb(self.pyramid, self.settings.border_px)).numpy())

    def measure(self) -> Terms:
        """The guide's view of the images as they are now."""
        return measure_result(self.pyramid, self.guide, self.objective, self.settings.border_px)


def _numbers(samples: Sequence[Sample], randomness: str, loaded: LoadedGuide, device: torch.device) -> Numbers:
    if randomness == "published":
        (sample,) = samples
        return PublishedNumbers(sample.seed, loaded.published_state(sample.seed), device)
    return SampleNumbers([generator_of(sample, device) for sample in samples], device)


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


def guide_of(plan: Plan, device: torch.device) -> LoadedGuide:
    """The networks that guide a plan, with the features of all its texts."""
    dtype = dtype_of(plan.settings.precision, "runtime.precision")
    return load_guide(plan.guide, texts_of(plan.samples), device, dtype)


def texts_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """Every text of the samples, once."""
    return tuple(dict.fromkeys(text for sample in samples for text in (*sample.positive, *sample.negative)))


def _report_lost_words(guide: LoadedGuide, samples: Sequence[Sample]) -> None:
    for text in texts_of(samples):
        if lost := guide.lost_words[text]:
            log.warning("Words that the guide does not see in “%s”: %s", text, ", ".join(lost))
