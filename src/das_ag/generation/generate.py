"""Generates the missing samples of a plan; several processes may share the work."""

from __future__ import annotations

import dataclasses
import functools
import logging
import statistics
import time
import traceback
from collections.abc import Callable, Sequence

import torch

from das_ag.errors import UserError, counted, first_line
from das_ag.generation.batch import Made, OutOfMemoryError, Stopped, Watch, optimise
from das_ag.generation.checkpoints import Checkpoint
from das_ag.generation.frames import Frame, Frames
from das_ag.generation.guide import LoadedGuide, guide_of, texts_of
from das_ag.generation.machine import provenance, set_up
from das_ag.generation.outlook import clock
from das_ag.generation.preflight import check_steps
from das_ag.generation.recipe import Recipe, text_of
from das_ag.models.registry import GuideChoice
from das_ag.settings.plan import Plan
from das_ag.settings.runtime import choose_device
from das_ag.store.atomic import StoreError
from das_ag.store.claims import Claims
from das_ag.store.samples import KEY_LENGTH, Placement, Sample
from das_ag.store.store import Store

log = logging.getLogger(__name__)

POLL_S = 1.0
"""Time between two checks for samples that other processes have finished."""
MAX_LINES = 20
"""Largest number of similar log lines, since thousands of prompts may cause the same warning."""

_Batch = tuple[Sample, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a plan.

    Attributes:
        made: number of samples that this process generated.
        found: number of samples that the store already had, or that other processes generated meanwhile.
        failed: name and error of each sample that failed in this process or in another.
    """

    made: int
    found: int
    failed: dict[str, str]


def sleep() -> None:
    """Waits while other processes work."""
    time.sleep(POLL_S)


def generate(
    plan: Plan,
    store: Store,
    *,
    watch: Watch | None = None,
    pause: Callable[[], None] = sleep,
    keep_text_tower: bool = False,
    bar: bool | None = None,
) -> Outcome:
    """Generates the missing samples of the plan, a batch at a time; stores each batch before the next begins.

    If a sample fails, the store records its error, and the work continues. Processes that share the store share the
    work: each takes batches that no other has claimed, and returns when no batch of the plan is left.

    Args:
        watch: called after each step.
        pause: called between two checks for finished batches, while other processes hold the remaining claims.
        keep_text_tower: whether this process will soon need other texts.
        bar: whether to show a progress bar for each batch; None: if stderr is a terminal.

    Raises:
        Stopped: `watch` or `pause` raises it.
        StoreError: the store cannot be written to; stored samples stay.
        UserError: determinism is required, but an operation is not deterministic.
    """
    store.prepare()
    batches = []
    for batch in plan.batches:
        if any(not store.is_finished(sample) for sample in batch):
            batches.append(batch)
            continue
        # A process may have died after its last sample, but before it removed the checkpoint and the claim.
        if plan.runtime.checkpoint_steps:
            Checkpoint(store, batch, plan).remove()
        Claims.of(store).forget(_claim_name(batch))
    if not batches:
        return Outcome(0, len(plan.samples), {})
    set_up(plan.runtime)
    if plan.samples_per_batch != plan.runtime.samples_per_batch:
        log.info("randomness=published makes one sample at a time and ignores runtime.samples_per_batch")
    worker = _Worker(plan, store, batches, watch, pause, bar=bar)
    worker.work_off(keep_text_tower=keep_text_tower)
    return Outcome(worker.made, len(plan.samples) - worker.made - len(worker.failed), worker.failed)


class _Worker:
    """The work of one process on a plan's batches.

    Args:
        batches: batches with missing samples.

    Attributes:
        made: number of generated samples.
        failed: name and error of each failed sample.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        batches: Sequence[_Batch],
        watch: Watch | None,
        pause: Callable[[], None],
        *,
        bar: bool | None = None,
    ) -> None:
        self._plan, self._store, self._batches = plan, store, batches
        self._watch, self._pause, self._bar = watch, pause, bar
        self._device = choose_device(plan.runtime.device)
        self._claims = Claims.of(store)
        self._samples = [sample for batch in batches for sample in batch]
        self._earlier_failures = store.failures.marks(self._samples)
        self.made, self.failed, self._seconds = 0, dict[str, str](), list[float]()

    def work_off(self, *, keep_text_tower: bool) -> None:
        """Makes all missing samples."""
        try:
            guide = guide_of(self._plan, self._samples, self._device, keep_text_tower=keep_text_tower)
        except UserError as error:  # bad weights, which the plan could not detect
            missing = [sample for sample in self._samples if not self._store.is_finished(sample)]
            self._record_failure(missing, str(error))
            return
        report_lost_words(self._plan.guide, self._samples)
        if self._plan.runtime.deterministic:
            check_steps(self._plan, self._samples[0], guide, self._device)
        self._work_off_batches(guide)

    def _work_off_batches(self, guide: LoadedGuide) -> None:
        waiting, is_said = list(self._batches), False
        while waiting:
            left = []
            for number, batch in enumerate(waiting, start=1):
                before = len(self._seconds)
                if not self._see_to(batch, guide):
                    left.append(batch)
                elif len(self._seconds) > before:
                    self._report_batches(len(left) + len(waiting) - number)
            if left and len(left) == len(waiting):
                if not is_said:
                    log.info("Waiting for other processes to finish %d of these batches", len(left))
                    is_said = True
                self._pause()
            waiting = left

    def _report_batches(self, left: int) -> None:
        if left:
            count, seconds = len(self._batches), statistics.mean(self._seconds) * left
            log.info("%d of %d batches done, about %s left", count - left, count, clock(seconds))

    def _see_to(self, batch: _Batch, guide: LoadedGuide) -> bool:
        """Makes a batch, unless another process holds its claim; returns whether the batch is done."""
        if not self._missing(batch):
            return True
        with self._claims.claim(_claim_name(batch)) as is_mine:
            if is_mine and (missing := self._missing(batch)):  # another process may have finished it meanwhile
                self._make(batch, missing, guide)
            return is_mine

    def _missing(self, batch: _Batch) -> list[Sample]:
        """Samples that are neither finished nor newly failed; records failures from other processes."""
        missing = [sample for sample in batch if not self._store.is_finished(sample)]
        marks = self._store.failures.marks(missing)
        failed = {s.key for s in missing if marks.get(s.key) != self._earlier_failures.get(s.key)}
        for sample in missing:
            if sample.key in failed:
                self.failed.setdefault(sample.name, self._store.failures.error_of(sample))
        return [sample for sample in missing if sample.key not in failed]

    def _make(self, batch: _Batch, missing: list[Sample], guide: LoadedGuide) -> None:
        try:
            made, seconds, frames = self._optimise(batch, guide)
        except (StoreError, Stopped):
            raise
        except UserError as error:
            self._record_failure(missing, str(error))
            return
        except Exception as error:  # the error may affect only this batch, so try the next
            self._record_failure(missing, f"{type(error).__name__}: {first_line(error)}", traceback.format_exc())
            return
        self._seconds.append(seconds)
        for row, sample in enumerate(batch):
            if sample in missing:
                placement = Placement(len(batch), row, self._plan.runtime.views_per_pass, torch.get_num_threads())
                self._keep(sample, made[row], placement, seconds / len(batch), frames.of(row) if frames else [])
        if checkpoint := self._checkpoint(batch):
            checkpoint.remove()

    def _checkpoint(self, batch: _Batch) -> Checkpoint | None:
        return Checkpoint(self._store, batch, self._plan) if self._plan.runtime.checkpoint_steps else None

    def _optimise(self, batch: _Batch, guide: LoadedGuide) -> tuple[list[Made], float, Frames | None]:
        """Optimises a batch; if memory runs out, this batch begins again and all later ones take fewer views at a time.

        From its beginning, since a sample records one number of views per pass, with which it can be made again.
        """
        while True:
            try:
                checkpoint = self._checkpoint(batch)
                frames = Frames(self._watch) if self._plan.film else None
                made, seconds = optimise(
                    batch, self._plan, guide, self._device,
                    checkpoint=checkpoint, watch=frames or self._watch, bar=self._bar,
                )  # fmt: skip
                return made, seconds, frames
            except OutOfMemoryError as error:
                passing = error.views_per_pass // 2
                if not passing:
                    raise
                if checkpoint:
                    checkpoint.remove()
            # Outside of the handler, whose error keeps the failed step's tensors in memory.
            torch.cuda.empty_cache()
            runtime = dataclasses.replace(self._plan.runtime, views_per_pass=passing)
            self._plan = dataclasses.replace(self._plan, runtime=runtime)
            log.warning("Out of memory: the batch begins again with runtime.views_per_pass=%d", passing)

    def _keep(
        self, sample: Sample, made: Made, placement: Placement, seconds: float, pictures: Sequence[Frame]
    ) -> None:
        if made.error:
            self._record_failure([sample], made.error)
            return
        record = {
            **provenance(self._device),
            **dataclasses.asdict(placement),
            "guide": self._plan.guide.title,
            "published_figures": self._plan.published_figures,
            "duration_s": round(seconds, 3),
        }
        self._store.write(
            sample, made.image, made.trace, made.result, record,
            levels=made.levels, frames=pictures, text=text_of(Recipe(sample, placement)),
        )  # fmt: skip
        self.made += 1

    def _record_failure(self, samples: Sequence[Sample], error: str, traceback: str = "") -> None:
        for sample in samples:
            self._store.failures.write(sample, error, traceback)
            self.failed[sample.name] = error


def _claim_name(batch: _Batch) -> str:
    return batch[0].key[:KEY_LENGTH]


def report_lost_words(choice: GuideChoice, samples: Sequence[Sample]) -> None:
    """Warns of the words that the guide ignores; of each text once in a process."""
    lost = {text: words for text in texts_of(samples) if (words := choice.lost_words(text))}
    for text, words in list(lost.items())[:MAX_LINES]:
        near = {word: " or ".join(choice.nearest_words(word)) for word in words}
        _warn_once(text, ", ".join(f"{word} (did you mean {near[word]}?)" if near[word] else word for word in words))
    if len(lost) > MAX_LINES:
        log.warning("… and words in %s", counted(len(lost) - MAX_LINES, "more text"))


@functools.cache  # not again in each job of a sweep
def _warn_once(text: str, words: str) -> None:
    log.warning("Warning: the guide ignores these words in “%s”: %s", text, words)
