"""What a plan has still to do, told without doing any of it."""

from __future__ import annotations

import logging
import statistics
from types import SimpleNamespace

import numpy as np
import pytest

from das_ag import sweep
from das_ag.generation.outlook import Outlook, look_ahead
from das_ag.settings import environment
from das_ag.store.store import Store

SIX = ("prompts=own", "prompts.positive={heart: a red heart, star: a star, ring: a ring}", "seeds=[1,2]")


@pytest.fixture
def plan(plan_of, tiny):
    return plan_of(*tiny, *SIX)


def finish(store, sample, seconds):
    """A sample that took so many seconds; None where nobody kept that."""
    provenance = {} if seconds is None else {"duration_s": seconds}
    store.write(sample, np.zeros((2, 2, 3), np.uint8), [{"step": 0.0, "loss": 1.0}], {}, provenance)


def test_of_an_absent_store_everything_is_missing_and_nothing_is_made(plan, tmp_path):
    outlook = look_ahead(plan, Store(tmp_path / "outputs" / "nowhere"))
    assert outlook == Outlook(samples=6, finished=0, failed=0, missing=6, seconds=None)
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_takes_the_median_of_what_the_others_took(plan, tmp_path):
    store = Store(tmp_path)
    for sample, seconds in zip(plan.samples, (7.0, 1.0, 100.0), strict=False):
        finish(store, sample, seconds)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert look_ahead(plan, store) == Outlook(samples=6, finished=3, failed=0, missing=3, seconds=21.0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_samples_that_nobody_timed_do_not_count(plan, tmp_path):
    store = Store(tmp_path)
    finish(store, plan.samples[0], None)
    assert look_ahead(plan, store).seconds is None
    finish(store, plan.samples[1], 3.0)
    finish(store, plan.samples[2], 6.0)
    assert look_ahead(plan, store) == Outlook(samples=6, finished=3, failed=0, missing=3, seconds=13.5)


def test_samples_of_other_plans_do_not_count(plan, plan_of, tiny, tmp_path):
    store = Store(tmp_path)
    for sample in plan_of(*tiny, *SIX, "steps=2").samples:
        finish(store, sample, 5.0)
        store.failures.write(sample, "got NaN")
    assert look_ahead(plan, store) == Outlook(samples=6, finished=0, failed=0, missing=6, seconds=None)


def test_those_that_failed_are_missing(plan, tmp_path):
    store = Store(tmp_path)
    finish(store, plan.samples[0], 2.0)
    for sample in plan.samples[1:3]:
        store.failures.write(sample, "got NaN")
    assert look_ahead(plan, store) == Outlook(samples=6, finished=1, failed=2, missing=5, seconds=10.0)
    finish(store, plan.samples[1], 2.0)
    assert look_ahead(plan, store) == Outlook(samples=6, finished=2, failed=1, missing=4, seconds=8.0)
    store.failures.write(plan.samples[0], "got NaN")  # by a process that came late
    assert look_ahead(plan, store).failed == 1


def test_a_shard_looks_at_its_own_samples(plan_of, tiny, plan, tmp_path):
    store = Store(tmp_path)
    shards = [plan_of(*tiny, *SIX, "runtime.samples_per_batch=2", f"shard={shard}", "shards=2") for shard in (0, 1)]
    for sample in shards[0].samples[:3]:
        finish(store, sample, 4.0)
    assert look_ahead(shards[0], store) == Outlook(samples=4, finished=3, failed=0, missing=1, seconds=4.0)
    assert look_ahead(shards[1], store) == Outlook(samples=2, finished=0, failed=0, missing=2, seconds=None)
    assert look_ahead(plan, store).finished == 3


def test_of_many_finished_samples_some_all_over_the_plan_are_looked_at(plan_of, tiny, tmp_path, monkeypatch):
    """Reading thousands of files on a network folder takes longer than anybody waits for an estimate."""
    plan = plan_of(*tiny, *SIX, f"seeds={list(range(90))}")
    finished = plan.samples[:240]
    place = {sample.key: number for number, sample in enumerate(plan.samples)}
    read = []

    def duration_s(_, sample):
        read.append(place[sample.key])
        return float(place[sample.key])

    monkeypatch.setattr(Store, "is_finished", lambda _, sample: place[sample.key] < len(finished))
    monkeypatch.setattr(Store, "duration_s", duration_s)
    outlook = look_ahead(plan, Store(tmp_path))
    assert (outlook.samples, outlook.finished, outlook.missing) == (270, 240, 30)
    assert read == list(range(0, 240, 5))  # at most fifty, evenly
    assert outlook.seconds == statistics.median(read) * 30


@pytest.mark.parametrize(
    ("outlook", "said"),
    [
        (Outlook(6, 0, 0, 6, None), "6 samples, 0 finished, 6 missing, no estimate before the first is finished"),
        (Outlook(1, 1, 0, 0, 3.0), "1 sample, 1 finished, 0 missing"),
        (Outlook(6, 6, 0, 0, 0.0), "6 samples, 6 finished, 0 missing"),
        (Outlook(6, 6, 0, 0, None), "6 samples, 6 finished, 0 missing"),
        (Outlook(6, 2, 1, 4, 8.4), "6 samples, 2 finished, 4 missing, 1 of them failed before, about 8 s to go"),
        (
            Outlook(1234567, 1000, 2000, 1233567, None),
            "1,234,567 samples, 1,000 finished, 1,233,567 missing, 2,000 of them failed before, no estimate before the "
            "first is finished",
        ),
    ],
)
def test_an_outlook_is_one_line(outlook, said):
    assert str(outlook) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (7199.0, "120 min"),
        (7200.0, "2 h"),
        (47 * 3600.0, "47 h"),
        (48 * 3600.0, "2 days"),
        (365 * 86400.0, "365 days"),
    ],
)
def test_a_time_is_told_in_a_unit_of_which_there_are_two(seconds, said):
    assert str(Outlook(2, 1, 0, 1, seconds)) == f"2 samples, 1 finished, 1 missing, about {said} to go"


def test_a_dry_run_says_it_and_makes_nothing(compose, tiny, tmp_path, monkeypatch, caplog):
    """The job and what follows it; no folder, no file, and no network is loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, "DOTENV", tmp_path / "no.env")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # which would else be set for good
    here = SimpleNamespace(runtime=SimpleNamespace(cwd=str(tmp_path)))
    monkeypatch.setattr(sweep.HydraConfig, "get", lambda: here)
    monkeypatch.setattr("das_ag.generation.guide.LoadedGuide", None)
    config = compose(*tiny, *SIX, "method=das_rag", "name=mine", "dry_run=true", "prompts.negative=[a dry star]")
    with caplog.at_level(logging.INFO):
        sweep.run_job(config)
    warning, line = [record.getMessage() for record in caplog.records]
    assert warning == "Warning: the guide ignores these words in “a dry star”: dry"
    outlook = "6 samples, 0 finished, 6 missing, no estimate before the first is finished"
    assert line == f"das_rag: {outlook}, in outputs/mine"
    assert sweep.finish([config], 0.0) == 0
    assert list(tmp_path.iterdir()) == []
