"""Optimises a batch of samples together."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from das_ag.errors import UserError, first_line
from das_ag.generation.checkpoints import Checkpoint
from das_ag.generation.guide import LoadedGuide
from das_ag.generation.progress import Progress
from das_ag.generation.published import PublishedNumbers
from das_ag.settings.plan import Plan
from das_ag.store.files import canonical
from das_ag.store.samples import Sample
from das_ag.synthesis.ascent import Ascent, Iterate, image_rgb, measure_result, to_bytes
from das_ag.synthesis.objective import Objective, Terms
from das_ag.synthesis.pyramid import Pyramid
from das_ag.synthesis.randomness import SampleNumbers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """One sample of a batch after the optimisation.

    Attributes:
        image: RGB.
        trace: the terms and the loss of each step.
        result: the guide's numbers for the finished image: guide_aesthetic_score (if the guide rates), clip_positive,
            clip_negative.
        levels: levels of the pyramid, coarse to fine.
        error: why the sample failed; None if it is valid.
    """

    image: UInt8[np.ndarray, "h w 3"]
    trace: Sequence[Mapping[str, float]]
    result: Mapping[str, float]
    levels: Sequence[Float[np.ndarray, "3 _ _"]]
    error: str | None


@runtime_checkable
class Watch(Protocol):
    """A callback for each step of a batch; an exception that it raises ends the run."""

    def __call__(self, samples: Sequence[Sample], run: Run, iterate: Iterate) -> None:
        """Called after each step."""


class OutOfMemoryError(UserError):
    """There is too little memory.

    Attributes:
        views_per_pass: views of the batch that passed through the encoder together.
    """

    def __init__(self, message: str, views_per_pass: int) -> None:
        super().__init__(message)
        self.views_per_pass = views_per_pass


class Stopped(Exception):  # noqa: N818  an outcome, not an error
    """A `Watch` raises it to end a run at once; finished samples stay, and no sample counts as failed."""


def optimise(
    samples: Sequence[Sample],
    plan: Plan,
    guide: LoadedGuide,
    device: torch.device,
    *,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    bar: bool | None = None,
) -> tuple[list[Made], float]:
    """Takes all steps of a batch; continues from its checkpoint if there is one.

    A batch always has the same samples in the same rows, even if only some are missing. Otherwise the last bits would
    depend on the batch's composition, since rounding may differ with the shape of a matrix and the row in it.

    Args:
        watch: called after each step.
        bar: whether to show a progress bar; None: if stderr is a terminal.

    Returns:
        The outcome for each sample, and the seconds that the steps took.

    Raises:
        OutOfMemoryError: there is too little memory.
        UserError: the checkpoint cannot be written.
    """
    steps = plan.settings.ascent.steps
    with _out_of_memory(plan, len(samples)):
        run, rows, before = _begin(samples, plan, guide, device, checkpoint)
        finite = torch.ones(len(samples), dtype=torch.bool)
        started, done = time.monotonic(), len(rows[0])
        with Progress(steps, _title(samples), done, bar=bar) as progress:
            for iterate in run:
                _append_rows(rows, iterate)
                finite = iterate.finite.cpu()
                progress.update(iterate)
                if watch:
                    paused = time.monotonic()
                    watch(samples, run, iterate)
                    started += time.monotonic() - paused  # the demo lets other runs compute meanwhile
                done = iterate.step + 1
                if checkpoint and done % plan.runtime.checkpoint_steps == 0 and done < steps:
                    seconds = before + time.monotonic() - started
                    checkpoint.write({"run": run.state_dict(), "rows": rows, "seconds": seconds})
        made = _made(run, rows, finite)
    return made, before + time.monotonic() - started


def _begin(
    samples: Sequence[Sample], plan: Plan, guide: LoadedGuide, device: torch.device, checkpoint: Checkpoint | None
) -> tuple[Run, list[list[dict[str, float]]], float]:
    """A run at its checkpoint, or else at its start, with the rows of its traces and its seconds so far."""
    run = Run(samples, plan, guide, device)
    if checkpoint and (state := checkpoint.read()):
        try:
            run.load_state_dict(state["run"])
            return run, state["rows"], state["seconds"]
        except (KeyError, TypeError, ValueError) as error:
            got = f"{type(error).__name__}: {first_line(error)}"
            log.warning("%s: cannot use this checkpoint (%s); the batch starts again", checkpoint.path, got)
            run = Run(samples, plan, guide, device)
    return run, [[] for _ in samples], 0.0


def _made(run: Run, rows: Sequence[list[dict[str, float]]], finite: Bool[Tensor, " batch"]) -> list[Made]:
    images, terms = run.images(), run.measure()
    levels = [level.detach().cpu().numpy() for level in run.pyramid.levels]
    made = []
    for index, trace in enumerate(rows):
        result = {
            **({"guide_aesthetic_score": 10 * float(terms["aesthetic"][index])} if "aesthetic" in terms else {}),
            "clip_positive": float(terms["positive"][index]),
            "clip_negative": float(terms["negative"][index]),
        }
        error = None
        if not (finite[index] and all(map(math.isfinite, result.values()))):
            error = (
                f"expected a finite loss, got NaN or infinity at step {_first_lost(trace)}; "
                "lower learning_rate, views.noise or the weights under objective."
            )
        made.append(Made(images[index], trace, result, [level[index] for level in levels], error))
    return made


@contextlib.contextmanager
def _out_of_memory(plan: Plan, size: int) -> Iterator[None]:
    """Turns the system's error into `OutOfMemoryError`, with settings that need less memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's error on the CPU is a plain RuntimeError
        is_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
        if not is_memory:
            raise
        passing = min(plan.runtime.views_per_pass, size * plan.settings.views.views_in_step)
        advice = [f"runtime.samples_per_batch={size // 2}"] if size > 1 else []
        advice += [f"runtime.views_per_pass={passing // 2}"] if passing > 1 else []
        raise OutOfMemoryError(
            f"out of memory with runtime.samples_per_batch={size} and runtime.views_per_pass={passing}; "
            f"try {' or '.join(advice) or 'a smaller canvas_px'}. Finished samples are kept.",
            passing,
        ) from error


def _title(samples: Sequence[Sample]) -> str:
    first = samples[0]
    return first.name if all(sample is first for sample in samples) else f"{first.method}, {len(samples)} samples"


def _append_rows(rows: list[list[dict[str, float]]], iterate: Iterate) -> None:
    columns = {"loss": iterate.loss, **iterate.terms}
    table = {name: values.cpu().tolist() for name, values in columns.items()}
    for index, row in enumerate(rows):
        row.append({"step": float(iterate.step), **{name: values[index] for name, values in table.items()}})


def _first_lost(rows: Sequence[Mapping[str, float]]) -> int:
    return next((int(row["step"]) for row in rows if not math.isfinite(row["loss"])), len(rows))


class Run:
    """The optimisation of a batch; each iteration takes one step.

    Args:
        samples: the sample of each row; a sample may occur in several rows.
    """

    def __init__(self, samples: Sequence[Sample], plan: Plan, loaded: LoadedGuide, device: torch.device) -> None:
        s = self.settings = plan.settings
        numbers = _numbers(samples, s.randomness, loaded, device)
        self.pyramid = Pyramid(numbers.levels(s.pyramid), s.pyramid)
        guide = self.guide = loaded.functions
        positive = [[loaded.text_features[text] for text in sample.positive] for sample in samples]
        negative = [[loaded.text_features[text] for text in sample.negative] for sample in samples]
        like = positive[0][0]
        self.objective = Objective(s.objective, mean_features(positive, like), mean_features(negative, like))

        self._ascent = Ascent(
            self.pyramid, guide, self.objective, s.views, s.ascent,
            numbers=numbers, views_per_pass=plan.runtime.views_per_pass,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Iterate]:
        return self._ascent

    def images(self) -> list[UInt8[np.ndarray, "h w 3"]]:
        """The current RGB images of the samples."""
        return list(to_bytes(image_rgb(self.pyramid, self.settings.border_px)).numpy())

    def measure(self) -> Terms:
        """The guide's terms for the current images."""
        return measure_result(self.pyramid, self.guide, self.objective, self.settings.border_px)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the remaining steps depend on."""
        return self._ascent.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from a saved state; the result has the same bytes as an uninterrupted run."""
        self._ascent.load_state_dict(state)


def _numbers(samples: Sequence[Sample], randomness: str, loaded: LoadedGuide, device: torch.device) -> SampleNumbers:
    if randomness == "published":
        (sample,) = samples
        return PublishedNumbers(sample.seed, loaded.published_state(sample.seed), device)
    return SampleNumbers([generator_of(sample, device) for sample in samples], device)


def generator_of(sample: Sample, device: torch.device) -> torch.Generator:
    """A sample's own generator, seeded by its seed and texts; all methods share it, so that paired comparisons work."""
    origin = canonical([sample.seed, *sample.positive, None, *sample.negative])
    number = int.from_bytes(hashlib.sha256(origin.encode()).digest()[:8], "big") >> 1
    return torch.Generator(device).manual_seed(number)


def mean_features(
    features: Sequence[Sequence[Float[Tensor, " d"]]], like: Float[Tensor, " d"]
) -> Float[Tensor, "batch d"]:
    """The mean over each sample's prompts; zeros for a sample without prompts."""
    return torch.stack([torch.stack(list(f)).mean(dim=0) if f else torch.zeros_like(like) for f in features])
