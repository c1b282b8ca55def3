"""Runs in the background: the same bytes, turns, stopping, what goes wrong."""

from __future__ import annotations

import dataclasses
import io
import threading
import time

import pytest
from PIL import Image
from tiny_models import TinyJudgeChoice

from das_ag.demo import archive, jobs
from das_ag.demo.form import Form
from das_ag.demo.jobs import Job, State
from das_ag.demo.turns import Turns
from das_ag.demo.unfinished import read_unfinished
from das_ag.generation.batch import Stopped
from das_ag.generation.generate import generate
from das_ag.generation.recipe import read_recipe
from das_ag.generation.regenerate import regenerate
from das_ag.store.claims import Claims
from das_ag.store.reading import MOST_FRAMES
from das_ag.store.samples import KEY_LENGTH
from das_ag.store.store import Store

SMALL = {"canvas_px": 32, "views.max_shift_px": 2, "views.count": 2, "steps": 4}
LONG = {**SMALL, "steps": 100_000}
FORM = Form("tiny", ("das", "das_ag", "das_rag"), ("a red heart",), (), 7, SMALL)


@pytest.fixture
def turns():
    return Turns()


@pytest.fixture
def start(here, turns):
    """Starts jobs that share their turns; ends those that are still going on."""
    evaluators, started = {}, []

    def start(form=FORM, **changes):
        job = Job(dataclasses.replace(form, **changes).plans(), turns, evaluators)
        started.append(job)
        job.start()
        return job

    yield start
    for job in started:
        job.stop()
        wait(job)


def wait(job, seconds=120, *, until=None):
    end = time.monotonic() + seconds
    while not (until(job) if until else job.is_over):
        assert time.monotonic() < end, [track.state for track in job.tracks]
        time.sleep(0.01)
    return job


def test_the_bytes_are_those_of_the_command_line(start, tmp_path):
    job = wait(start())
    assert [track.state for track in job.tracks] == [State.FINISHED] * 3
    for plan, track in zip(FORM.plans(), job.tracks, strict=True):
        other = Store(tmp_path / "other")
        generate(plan, other)
        for name in ("image.png", "trace.csv"):
            mine = (job.store.root / track.sample.folder / name).read_bytes()
            assert mine == (other.root / track.sample.folder / name).read_bytes()
    assert job.progress == 1
    records, damaged = job.store.records()
    assert not damaged
    assert all(record.scores["tiny"]["score"] for record in records)


def test_what_is_finished_is_found_at_once(start, monkeypatch):
    wait(start())
    monkeypatch.setattr(jobs, "is_frame", lambda *_: pytest.fail("a step was taken"))
    again = wait(start())
    assert [track.state for track in again.tracks] == [State.FOUND] * 3
    assert all(track.record and track.record.scores for track in again.tracks)


def test_two_sessions_do_not_disturb_each_other(start):
    """One of them asks for what the other is making, one for something else, without determinism."""
    fast = {**SMALL, "runtime.deterministic": False}
    together = [start(), start(), start(seed=8, settings=fast)]
    for job in together:
        wait(job)
    assert not any(track.message for job in together for track in job.tracks)
    images = [(job.store.root / t.sample.folder / "image.png") for job in together for t in job.tracks]
    for path in {*images}:
        assert regenerate(read_recipe(path)).png == path.read_bytes()
    assert len({*images}) == 6
    assert {t.record.provenance["deterministic_algorithms"] for t in together[0].tracks} == {True}
    assert {t.record.provenance["deterministic_algorithms"] for t in together[2].tracks} == {False}


def test_an_image_that_another_process_is_making_is_waited_for(start):
    one = dataclasses.replace(FORM, methods=("das",))
    sample = one.plans()[0].samples[0]
    store = Store(one.plans()[0].folder)
    store.prepare()
    with Claims.of(store).claim(sample.key[:KEY_LENGTH]) as is_mine:
        assert is_mine
        job = wait(start(one), until=lambda job: job.tracks[0].state is State.ELSEWHERE)
    wait(job)
    assert job.tracks[0].state is State.FINISHED


def test_stopping_keeps_what_there_is(start):
    job = wait(start(settings=LONG), until=lambda job: all(track.done > 2 for track in job.tracks))
    left = job.seconds_left()
    assert left is not None
    assert left > 1
    asked = time.monotonic()
    job.stop()
    wait(job)
    assert time.monotonic() - asked < 60  # not after its 100,000 steps
    assert [track.state for track in job.tracks] == [State.STOPPED] * 3
    kept, damaged = read_unfinished(job.store)
    assert (len(kept), damaged) == (3, [])
    assert job.store.records() == ([], [])
    assert job.store.failures.errors() == {}
    one = job.tracks[0].unfinished
    with Image.open(job.store.root / one.folder / "image.png") as image:
        assert image.size == (28, 28)
        assert image.info["Unfinished"] == f"step {one.step} of 100000"
        assert (image.info["Prompt"], image.info["Seed"]) == ("a red heart", "7")
        assert "Recipe" not in image.info
    found, _ = archive.entries(job.store)
    assert {entry.mark for entry in found} == {unfinished.mark for unfinished in kept}
    assert len(found[0].trace(job.store)) == int(found[0].mark.split()[2])


def test_stopping_before_the_first_step_keeps_nothing(start, turns):
    with turns.turn(lambda: False):  # as another job has while it takes a step
        job = start()
        job.stop()
        wait(job)
    assert [(track.state, track.done, track.unfinished) for track in job.tracks] == [(State.STOPPED, 0, None)] * 3
    assert read_unfinished(job.store) == ([], [])


def test_a_sample_that_cannot_be_made_is_told(start):
    job = wait(start(settings={**SMALL, "objective.clip": 3e38, "learning_rate": 1000.0, "views.noise.start": 3e38}))
    assert {track.state for track in job.tracks} == {State.FAILED}
    assert all("expected a finite loss" in track.message for track in job.tracks)


def test_a_defect_is_told_in_one_sentence(start, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("no\nway")

    monkeypatch.setattr(jobs, "generate", broken)
    job = wait(start(methods=("das",)))
    (track,) = job.tracks
    assert track.message.endswith("failed with ZeroDivisionError (no); the terminal of the demo shows the details.")


def test_an_evaluator_that_is_not_to_be_had_costs_the_score_alone(start, monkeypatch):
    from das_ag.errors import UserError

    def broken(*_):
        raise UserError("judge: gone; look for it.")

    monkeypatch.setattr(TinyJudgeChoice, "load", broken)
    (track,) = wait(start(methods=("das",))).tracks
    assert (track.state, track.message) == (State.FINISHED, "judge: gone; look for it.")


def test_the_film_shows_the_ascent(start):
    job = wait(start(methods=("das",), settings={**SMALL, "steps": 70}))
    (track,) = job.tracks
    frames = job.store.read_frames(track.record)
    assert len(frames) == MOST_FRAMES
    assert {frame.shape for frame in frames} == {(28, 28, 3)}
    with Image.open(io.BytesIO(archive.entry_of(job.store, track.record).film(job.store))) as film:
        assert film.format == "GIF"
        assert film.n_frames == MOST_FRAMES


def test_history_is_filtered_and_forgotten(start):
    job = wait(start())
    wait(start(positive=("a blue star",), methods=("das",)))
    found, _ = archive.entries(job.store)
    assert found[0].sample.positive == ("a blue star",)
    assert len(archive.chosen(found, [], "")) == 4
    assert len(archive.chosen(found, ["das"], "")) == 2
    (red,) = archive.chosen(found, ["das"], "HEART red")
    archive.remove(job.store, red)
    after, damaged = archive.entries(job.store)
    assert (len(after), damaged) == (3, [])
    assert not (job.store.root / red.folder).exists()
    archive.remove(job.store, red)  # twice, from two tabs
    table = archive.differences(after[1].sample, after[2].sample)
    assert set(table["setting"]) == {"method", "objective.aesthetic_sign"}
    assert after[0].file_name("png").startswith("a-blue-star-")


def test_turns_come_round():
    turns, order = Turns(), []

    def work(name, is_in_line):
        # Asked whether to wait on: `set` says None.
        with turns.turn(lambda: bool(is_in_line.set())) as turn:
            for _ in range(3):
                order.append(name)
                turn.pass_on()

    with turns.turn(lambda: False):
        in_line = {name: threading.Event() for name in "abc"}
        threads = [threading.Thread(target=work, args=names) for names in in_line.items()]
        for thread, is_in_line in zip(threads, in_line.values(), strict=True):
            thread.start()
            assert is_in_line.wait(60)
        assert order == []
    for thread in threads:
        thread.join(60)
    assert "".join(order) == "abcabcabc"


def test_waiting_for_a_turn_can_be_stopped():
    turns = Turns()
    with turns.turn(lambda: False), pytest.raises(Stopped), turns.turn(lambda: True):
        pytest.fail("it was not its turn")
    with turns.turn(lambda: True) as turn, turn.without():
        pass


def test_the_expected_time_is_that_of_earlier_images(here):
    """Of the steps alone: while other images have their turn, no time counts."""
    form = dataclasses.replace(FORM, methods=("das",))
    (plan,) = form.plans()
    store = Store(plan.folder)
    assert archive.seconds_per_view(store, "tiny") is None
    generate(plan, store, watch=lambda *_: time.sleep(1))
    per_view = archive.seconds_per_view(store, "tiny")
    assert 0 < per_view * SMALL["steps"] * SMALL["views.count"] < 1 * SMALL["steps"]
    assert archive.seconds_per_view(store, "imagenet") is None
    assert FORM.seconds(0.5) == 0.5 * SMALL["steps"] * SMALL["views.count"] * 3
