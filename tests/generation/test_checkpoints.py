"""Batches that go on where they stood, to the bytes of an unbroken run."""

from __future__ import annotations

import copy
import dataclasses
import errno
import hashlib
import io
import logging
import os
from types import SimpleNamespace

import pytest
import torch

from das_ag.generation import batch as batch_module
from das_ag.generation import checkpoints as checkpoints_module
from das_ag.generation import generate as generate_module
from das_ag.generation.batch import Stopped
from das_ag.generation.checkpoints import Checkpoint
from das_ag.generation.generate import Outcome, generate
from das_ag.generation.guide import guide_of
from das_ag.store.atomic import StoreError, write_synced
from das_ag.store.store import Store

SEVEN = (
    "prompts=own",
    "prompts.positive={heart: a red heart, star: a yellow star}",
    "method=das_ag",
    "steps=7",
    "runtime.threads=1",
    "runtime.samples_per_batch=2",
)
EVERY_TWO = "runtime.checkpoint_steps=2"


class Watch:
    """Keeps the steps that are taken, and stops at one of them."""

    def __init__(self, stop_at=None, then=Stopped, meanwhile=lambda: None):
        self.steps, self._stop_at, self._then, self._meanwhile = [], stop_at, then, meanwhile

    def __call__(self, _samples, _run, iterate):
        self.steps.append(iterate.step)
        self._meanwhile()
        if iterate.step == self._stop_at:
            raise self._then


def files_of(store):
    """Bytes of what was made, by path; sample.json also tells when and how long."""
    records, damaged = store.records()
    assert damaged == []
    names = ("image.png", "trace.csv", "levels.npz")
    return {
        record.folder / name: (store.root / record.folder / name).read_bytes() for record in records for name in names
    }


def checkpoints_in(store):
    return sorted((store.root / "checkpoints").glob("*"))


@pytest.fixture(scope="module")
def plan(plan_of, tiny):
    return plan_of(*tiny, *SEVEN, EVERY_TWO)


@pytest.fixture(scope="module")
def unbroken(plan_of, tiny, tmp_path_factory):
    """Files of a run without checkpoints."""
    store = Store(tmp_path_factory.mktemp("unbroken"))
    assert generate(plan_of(*tiny, *SEVEN), store) == Outcome(2, 0, {})
    assert not (store.root / "checkpoints").exists()  # they are off by default
    return files_of(store)


@pytest.fixture(autouse=True)
def _without_preflight(monkeypatch):
    """It has tests of its own, and takes as long as two of the steps here."""
    monkeypatch.setattr(generate_module, "check_steps", lambda *_: None)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "outputs")


def stop(plan, store, step, then=Stopped):
    with pytest.raises(then):
        generate(plan, store, watch=Watch(step, then))
    assert store.records() == ([], [])


def go_on(plan, store):
    """Steps that were taken for each sample of the plan to be finished."""
    watch = Watch()
    outcome = generate(plan, store, watch=watch)
    assert outcome.failed == {}
    assert outcome.made + outcome.found == len(plan.samples)
    return watch.steps


@pytest.mark.parametrize(
    ("stopped_at", "steps_left"),
    [(1, range(7)), (2, range(2, 7)), (3, range(2, 7)), (4, range(4, 7)), (6, range(6, 7))],
)
def test_a_batch_goes_on_from_its_last_checkpoint(plan, unbroken, store, stopped_at, steps_left):
    """A step is looked at before it is kept, so the one that is stopped at is taken again."""
    stop(plan, store, stopped_at)
    assert len(checkpoints_in(store)) == (stopped_at > 1)
    assert go_on(plan, store) == list(steps_left)
    assert files_of(store) == unbroken
    assert checkpoints_in(store) == []


def test_a_batch_may_be_broken_again_and_again(plan, unbroken, store):
    for step in (3, 2, 5, 5, 6):
        stop(plan, store, step, KeyboardInterrupt)
    assert go_on(plan, store) == [6]
    assert files_of(store) == unbroken


def test_a_batch_that_failed_within_a_step_goes_on_too(plan, unbroken, store, monkeypatch):
    """An error of this machine at this moment does not cost what was computed."""
    loaded, calls = guide_of(plan, plan.samples, torch.device("cpu")), iter(range(7))

    def encode_images(pixels):
        if next(calls) == 5:
            raise ZeroDivisionError("once")
        return loaded.functions.encode_images(pixels)

    failing = copy.copy(loaded)
    failing.functions = dataclasses.replace(loaded.functions, encode_images=encode_images)
    with monkeypatch.context() as patch:
        patch.setattr(generate_module, "guide_of", lambda *_, **__: failing)
        outcome = generate(plan, store)
    assert outcome.failed == dict.fromkeys(["das_ag heart seed 42", "das_ag star seed 42"], "ZeroDivisionError: once")
    assert go_on(plan, store) == [4, 5, 6]
    assert files_of(store) == unbroken
    assert store.failures.errors() == {}


@pytest.mark.parametrize(("every", "kept_after"), [(1, [1, 2, 3, 4, 5, 6]), (3, [3, 6]), (6, [6]), (7, []), (100, [])])
def test_a_state_is_kept_after_each_so_many_steps_but_not_after_the_last(
    plan_of, tiny, unbroken, store, monkeypatch, every, kept_after
):
    steps, write = [], Checkpoint.write

    def count(self, state):
        steps.append(state["run"]["step"])
        write(self, state)
        assert checkpoints_in(store) == [self.path]

    monkeypatch.setattr(Checkpoint, "write", count)
    assert go_on(plan_of(*tiny, *SEVEN, f"runtime.checkpoint_steps={every}"), store) == list(range(7))
    assert steps == kept_after
    assert files_of(store) == unbroken
    assert checkpoints_in(store) == []


def test_each_batch_has_its_own(plan_of, tiny, store):
    singles = plan_of(*tiny, *SEVEN, EVERY_TWO, "runtime.samples_per_batch=1")
    for sample, step in zip(singles.samples, (3, 5), strict=True):
        Checkpoint(store, [sample], singles).write({"run": step, "rows": [], "seconds": 0.0})
    assert len(checkpoints_in(store)) == 2
    assert [Checkpoint(store, [sample], singles).read()["run"] for sample in singles.samples] == [3, 5]


def test_published_numbers_go_on_too(plan_of, tiny, tmp_path):
    options = (*tiny, *SEVEN, "randomness=published")
    plan = plan_of(*options, EVERY_TWO)
    broken, whole = Store(tmp_path / "broken"), Store(tmp_path / "whole")
    generate(plan_of(*options), whole)
    stop(plan, broken, 5)
    assert go_on(plan, broken) == [4, 5, 6, *range(7)]  # of one sample after the other
    assert files_of(broken) == files_of(whole)


def test_what_was_lost_before_is_told_by_the_step_that_it_was_lost_in(plan_of, tiny, tmp_path):
    options = (*tiny, *SEVEN, "views.noise.start=1e38")
    plan, whole, broken = plan_of(*options, EVERY_TWO), Store(tmp_path / "whole"), Store(tmp_path / "broken")
    outcome = generate(plan_of(*options), whole)
    assert len(outcome.failed) == 2
    assert all("got NaN or infinity at step 0;" in error for error in outcome.failed.values())
    stop(plan, broken, 5)
    watch = Watch()
    assert generate(plan, broken, watch=watch) == outcome
    assert watch.steps == [4, 5, 6]
    assert checkpoints_in(broken) == []  # from a state that is lost nothing could come


def test_durations_of_all_starts_add_up(plan, store, monkeypatch):
    """By a clock that goes 10 s in each step; what was computed after the last checkpoint is lost."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(batch_module, "time", clock)

    append_rows = batch_module._append_rows

    def append_rows_slowly(rows, iterate):
        clock.now += 10
        append_rows(rows, iterate)

    def wait():
        clock.now += 100  # as the demo, while another run computes; it does not count

    monkeypatch.setattr(batch_module, "_append_rows", append_rows_slowly)
    for stopped_at in (3, 5, None):
        clock.now += 1000  # between starts
        watch = Watch(stopped_at, meanwhile=wait)
        if stopped_at is None:
            generate(plan, store, watch=watch)
        else:
            with pytest.raises(Stopped):
                generate(plan, store, watch=watch)
    durations = [record.provenance["duration_s"] for record in store.records()[0]]
    assert durations == [35.0, 35.0]  # 2 + 2 + 3 steps, shared by two samples


def with_a_flipped_bit(data):
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        with_a_flipped_bit,
        lambda data: data[: len(data) // 2],
        lambda data: data[:20],
        lambda _: b"",
        lambda _: b"no checkpoint at all" * 100,
        lambda data: data[32:],  # without what says that it is whole
    ],
    ids=["one bit", "end cut off", "beginning", "empty", "other", "plain"],
)
def test_a_damaged_checkpoint_is_told_and_the_batch_begins_again(plan, unbroken, store, caplog, damage):
    stop(plan, store, 5)
    (path,) = checkpoints_in(store)
    path.write_bytes(damage(path.read_bytes()))
    assert go_on(plan, store) == list(range(7))
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{path}: the checkpoint is damaged; the batch starts again"
    ]
    assert files_of(store) == unbroken
    assert checkpoints_in(store) == []


def test_a_checkpoint_of_another_layout_is_told_and_the_batch_begins_again(plan, unbroken, store, caplog):
    """As another version may leave it."""
    stop(plan, store, 5)
    checkpoint = Checkpoint(store, plan.samples, plan)
    state = checkpoint.read()
    state["run"]["optimiser"] = {"param_groups": []}  # found after the levels were taken over
    checkpoint.write(state)
    assert go_on(plan, store) == list(range(7))
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told.startswith(f"{checkpoint.path}: cannot use this checkpoint (ValueError: ")
    assert files_of(store) == unbroken
    assert checkpoints_in(store) == []


def test_a_checkpoint_that_cannot_be_opened_is_told(plan, store, caplog):
    checkpoint = Checkpoint(store, plan.samples, plan)
    checkpoint.path.mkdir(parents=True)
    assert checkpoint.read() is None
    assert caplog.messages == [
        f"{checkpoint.path}: cannot read the checkpoint (Is a directory); the batch starts again"
    ]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_disk_that_takes_no_checkpoint_ends_the_run_and_the_last_one_stays(plan, unbroken, store, monkeypatch, code):
    stop(plan, store, 3)
    (path,) = checkpoints_in(store)
    kept = path.read_bytes()
    with monkeypatch.context() as patch:

        def fail(path, data):
            if path.suffix == ".pt":
                raise OSError(code, os.strerror(code))
            write_synced(path, data)

        patch.setattr("das_ag.store.atomic.write_synced", fail)
        with pytest.raises(StoreError, match=os.strerror(code)):
            generate(plan, store)
    assert store.failures.errors() == {}
    assert path.read_bytes() == kept
    assert go_on(plan, store) == [2, 3, 4, 5, 6]
    assert files_of(store) == unbroken


@pytest.mark.parametrize(
    "change",
    [
        "runtime.samples_per_batch=1",
        "runtime.views_per_pass=3",
        "runtime.threads=2",
        "steps=8",
        "seeds=[43]",
        "method=das",
    ],
)
def test_other_company_begins_at_the_first_step(plan_of, tiny, plan, store, change):
    """Last bits would be neither those of the one nor those of the other; other settings are other samples."""
    stop(plan, store, 3)
    other = plan_of(*tiny, *SEVEN, EVERY_TWO, change)
    checkpoint = Checkpoint(store, other.batches[0], other)
    assert Checkpoint(store, plan.samples, plan).path.is_file()
    assert not checkpoint.path.exists()
    assert checkpoint.read() is None


def test_the_same_samples_in_other_rows_begin_at_the_first_step(plan, store):
    stop(plan, store, 3)
    assert Checkpoint(store, plan.samples, plan).read()["run"]["step"] == 2
    assert Checkpoint(store, plan.samples[::-1], plan).read() is None


def test_another_torch_begins_at_the_first_step(plan, store, monkeypatch):
    before = Checkpoint(store, plan.samples, plan).path
    monkeypatch.setattr(checkpoints_module.torch, "__version__", "2.0.0")
    assert Checkpoint(store, plan.samples, plan).path != before


def test_another_device_begins_at_the_first_step(plan, store, monkeypatch):
    """Generators of one kind of device cannot take the state of those of another."""
    before = Checkpoint(store, plan.samples, plan).path
    monkeypatch.setattr(checkpoints_module, "choose_device", lambda _: torch.device("cuda", 0))
    assert Checkpoint(store, plan.samples, plan).path != before


@pytest.mark.parametrize("change", ["runtime.checkpoint_steps=5", "name=other", "evaluator=aesthetic_v2_5"])
def test_what_changes_no_byte_changes_no_checkpoint(plan_of, tiny, plan, store, change):
    other = plan_of(*tiny, *SEVEN, EVERY_TWO, change)
    assert Checkpoint(store, other.samples, other).path == Checkpoint(store, plan.samples, plan).path


def test_the_file_is_a_digest_and_a_state_of_plain_types_on_the_cpu(plan, store):
    stop(plan, store, 5)
    (path,) = checkpoints_in(store)
    digest, content = path.read_bytes()[:32], path.read_bytes()[32:]
    assert hashlib.sha256(content).digest() == digest
    state = torch.load(io.BytesIO(content), weights_only=True)
    assert (set(state), state["run"]["step"]) == ({"run", "rows", "seconds"}, 4)
    assert [[row["step"] for row in rows] for rows in state["rows"]] == [[0, 1, 2, 3]] * 2


def test_a_checkpoint_that_a_dead_process_left_beside_its_finished_samples_is_cleared_away(plan, store):
    stop(plan, store, 5)
    (path,) = checkpoints_in(store)
    left = path.read_bytes()
    go_on(plan, store)
    path.write_bytes(left)
    assert generate(plan, store) == Outcome(0, 2, {})
    assert checkpoints_in(store) == []


def test_samples_that_stand_there_stay_when_their_batch_goes_on(plan, unbroken, store, monkeypatch):
    """As a process leaves them that died between writing one sample and the next."""
    write = Store.write
    stop(plan, store, 5)

    def write_one(self, sample, *arguments, **options):
        if sample.prompt_id == "star":
            raise KeyboardInterrupt
        write(self, sample, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", write_one)
        with pytest.raises(KeyboardInterrupt):
            generate(plan, store)
    (record,) = store.records()[0]
    changed = (store.root / record.folder).stat().st_mtime_ns
    assert go_on(plan, store) == [6]
    assert (store.root / record.folder).stat().st_mtime_ns == changed
    assert files_of(store) == unbroken


def test_going_on_is_logged(plan, store, caplog):
    stop(plan, store, 5)
    caplog.clear()
    caplog.set_level(logging.INFO)
    go_on(plan, store)
    assert caplog.messages[0] == "das_ag, 2 samples: continues after step 4 of 7"
    assert [message.split(",")[1] for message in caplog.messages[1:]] == [
        " 2 samples: step 5 of 7",
        " 2 samples: step 7 of 7",
    ]
