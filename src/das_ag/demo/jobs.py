"""Runs in the background. Each click starts a job with a thread for each method, and all threads take turns."""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import torch

from das_ag.demo.turns import Turn, Turns
from das_ag.demo.unfinished import Unfinished, keep_unfinished
from das_ag.errors import UserError, first_line
from das_ag.evaluation.evaluate import evaluate
from das_ag.generation.batch import Run, Stopped
from das_ag.generation.frames import Frame, is_frame, shrunk
from das_ag.generation.generate import generate
from das_ag.generation.machine import set_up
from das_ag.models.registry import EvaluatorChoice
from das_ag.settings.plan import Plan
from das_ag.settings.runtime import choose_device
from das_ag.store.samples import Record, Sample
from das_ag.store.store import Store
from das_ag.synthesis.ascent import Iterate

log = logging.getLogger(__name__)

PAUSE_S = 0.2
"""Interval of checks for an image that another process makes."""


class State(enum.Enum):
    """Progress of a sample."""

    WAITING = "waiting for its turn"
    ELSEWHERE = "being made by another run"
    RUNNING = "being made"
    FINISHED = "finished"
    FOUND = "already in the store"
    STOPPED = "stopped"
    FAILED = "failed"


OVER = (State.FINISHED, State.FOUND, State.STOPPED, State.FAILED)


class Track:
    """Progress of one sample of a job; its thread writes it, all others only read it.

    Attributes:
        sample: the sample to make.
        steps: total number of steps.
        done: number of steps taken.
        trace: step, loss and terms of each step.
        preview: the latest small picture; None before the first step.
        record: the record of the finished sample.
        unfinished: the stored state of a stopped sample.
        message: why it failed, or another remark.
    """

    def __init__(self, plan: Plan) -> None:
        (self.sample,) = plan.samples
        self.plan, self.steps = plan, plan.settings.ascent.steps
        self.state, self.done = State.WAITING, 0
        self.trace: list[dict[str, float]] = []
        self.preview: Frame | None = None
        self.record: Record | None = None
        self.unfinished: Unfinished | None = None
        self.message = ""
        self.run: Run | None = None

    @property
    def is_over(self) -> bool:
        """Whether the sample has ended."""
        return self.state in OVER

    def note(self, run: Run, iterate: Iterate) -> None:
        """Records a step, and a preview every few steps."""
        self.run, self.state = run, State.RUNNING
        terms = {name: float(value[0]) for name, value in iterate.terms.items()}
        self.trace.append({"step": float(iterate.step), "loss": float(iterate.loss[0]), **terms})
        if is_frame(iterate.step, self.steps) or self.preview is None:
            self.preview = shrunk(run.images()[0])
        self.done = iterate.step + 1


class Job:
    """The images of one click: the same prompts and settings with one or several methods.

    Args:
        plans: of one sample each.
        turns: shared by the jobs of this process.
        evaluators: loaded networks, by choice and device; shared in the same way.
    """

    def __init__(
        self, plans: Sequence[Plan], turns: Turns, evaluators: dict[tuple[EvaluatorChoice, torch.device], Any]
    ) -> None:
        self.tracks = [Track(plan) for plan in plans]
        self.store = Store(plans[0].folder)
        self._turns, self._evaluators = turns, evaluators
        self._stopping = threading.Event()
        self._first_step: float | None = None

    def start(self) -> None:
        """Starts the threads and returns at once."""
        for track in self.tracks:
            threading.Thread(target=self._make, args=(track,), name=track.sample.name, daemon=True).start()

    def stop(self) -> None:
        """Stops all unfinished samples after their current step, and keeps their images."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stopping.is_set()

    @property
    def is_over(self) -> bool:
        """Whether all samples have ended."""
        return all(track.is_over for track in self.tracks)

    @property
    def progress(self) -> float:
        """Share of the steps taken, 0…1."""
        made = sum(track.steps if track.is_over else track.done for track in self.tracks)
        return made / sum(track.steps for track in self.tracks)

    def seconds_left(self) -> float | None:
        """Estimate from the speed so far; None before the first steps."""
        running = [track for track in self.tracks if track.state is not State.FOUND]
        taken = sum(len(track.trace) for track in running)
        if self._first_step is None or taken < 3:
            return None
        left = sum(track.steps - track.done for track in running if not track.is_over)
        return (time.monotonic() - self._first_step) / taken * left

    def _make(self, track: Track) -> None:
        """Runs a track in its thread; no exception leaves it."""
        try:
            with self._turns.turn(self._stopping.is_set) as turn:
                self._generate(track, turn)
            track.state = State.FOUND if track.preview is None else State.FINISHED
        except Stopped:
            self._keep(track)
            track.state = State.STOPPED
        except UserError as error:
            track.message, track.state = str(error), State.FAILED
        except Exception as error:
            log.exception("%s", track.sample.name)
            track.message = (
                f"{track.sample.name}: failed with {type(error).__name__} ({first_line(error)}); the terminal of the "
                "demo shows the details."
            )
            track.state = State.FAILED
        finally:
            track.run = None  # frees its memory

    def _generate(self, track: Track, turn: Turn) -> None:
        def watch(samples: Sequence[Sample], run: Run, iterate: Iterate) -> None:  # noqa: ARG001
            self._first_step = self._first_step or time.monotonic()
            track.note(run, iterate)
            if self.is_stopping:
                raise Stopped
            if turn.pass_on():
                set_up(track.plan.runtime)

        def pause() -> None:
            track.state = State.ELSEWHERE
            with turn.without():
                if self._stopping.wait(PAUSE_S):
                    raise Stopped
            track.state = State.WAITING
            set_up(track.plan.runtime)

        outcome = generate(track.plan, self.store, watch=watch, pause=pause, keep_text_tower=True)
        for error in outcome.failed.values():
            raise UserError(error)
        track.record = self.store.record_of(track.sample)
        self._score(track)

    def _score(self, track: Track) -> None:
        """Evaluates the new sample; if the evaluator is not available, only the score is missing."""
        assert track.record is not None
        device = choose_device(track.plan.runtime.device)
        try:
            unreadable = evaluate(self.store, track.plan.evaluators, device, only=[track.record], load=self._load)
            track.message = " ".join(unreadable)
        except UserError as error:
            track.message = str(error)
        track.record = self.store.record_of(track.sample)

    def _load(self, choice: EvaluatorChoice, device: torch.device) -> Any:
        if (choice, device) not in self._evaluators:
            self._evaluators.clear()  # keep at most one
            self._evaluators[choice, device] = choice.load(device)
        return self._evaluators[choice, device]

    def _keep(self, track: Track) -> None:
        """Stores the image of a stopped track, if it has taken a step."""
        if track.run is None:
            return
        try:
            image = track.run.images()[0]
            track.unfinished = keep_unfinished(self.store, track.sample, image, track.trace, track.steps)
        except UserError as error:
            track.message = str(error)
