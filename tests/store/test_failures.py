"""Why samples could not be made: kept until they can, told by name."""

from __future__ import annotations

import json
import os
import re
import time

import pytest

from das_ag.store.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_failures_are_remembered_until_success(store, sample_of, put):
    store.failures.write(sample_of("heart"), "a first time")
    store.failures.write(sample_of("heart"), "got NaN at step 3")
    store.failures.write(sample_of("star", method="das_ag", seed=7), "got NaN at step 4")
    assert store.failures.errors() == {
        "das heart seed 42": "got NaN at step 3",
        "das_ag star seed 7": "got NaN at step 4",
    }
    assert store.failures.error_of(sample_of("heart")) == "got NaN at step 3"
    assert not store.is_finished(sample_of("heart"))
    put(store, sample_of("heart"))
    assert store.failures.errors() == {"das_ag star seed 7": "got NaN at step 4"}


def test_a_failure_is_kept_with_its_sample_and_the_way_to_it(store, sample_of):
    sample = sample_of(positive=("très “joli”",))
    path = store.root / "failures" / f"{sample.key[:12]}.json"
    store.failures.write(sample, "got NaN")
    assert json.loads(path.read_text(encoding="utf-8")) == {"error": "got NaN", **sample.identity()}
    store.failures.write(sample, "ValueError: no", "Traceback …\n  File …\nValueError: no\n")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "error": "ValueError: no",
        **sample.identity(),
        "traceback": "Traceback …\n  File …\nValueError: no\n",
    }


def test_each_failure_has_a_mark_of_its_own(store, sample_of, put):
    heart, star = sample_of("heart"), sample_of("star")
    assert store.failures.marks([heart, star]) == {}
    marks = set()
    for _ in range(3):
        store.failures.write(heart, "got NaN")
        found = store.failures.marks([heart, star])
        assert set(found) == {heart.key}
        assert store.failures.marks([heart]) == found
        marks.add(found[heart.key])
        time.sleep(0.02)  # clocks of file systems tick some hundred times a second
    assert len(marks) == 3
    put(store, heart)
    assert store.failures.marks([heart, star]) == {}


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_a_damaged_failure_says_so(store, sample_of, text):
    store.failures.write(sample_of(), "got NaN")
    (path,) = (store.root / "failures").iterdir()
    path.write_text(text)
    assert re.fullmatch(r"could not be read \(.+\)", store.failures.error_of(sample_of()))


def test_earlier_failures_can_be_left_out(store, sample_of):
    for sample, seconds in ((sample_of("heart"), 1000.0), (sample_of("star"), 2000.0)):
        store.failures.write(sample, "got NaN")
        os.utime(store.root / "failures" / f"{sample.key[:12]}.json", (seconds, seconds))
    assert set(store.failures.errors()) == {"das heart seed 42", "das star seed 42"}
    assert set(store.failures.errors(since=1500.0)) == {"das star seed 42"}


def test_failures_under_several_settings_are_all_told(store, sample_of):
    store.failures.write(sample_of(steps=100), "got NaN at step 3")
    store.failures.write(sample_of(steps=200), "got NaN at step 4")
    assert sorted(store.failures.errors().values()) == ["got NaN at step 3", "got NaN at step 4"]


def test_a_damaged_failure_does_not_hide_the_others(store, sample_of):
    store.failures.write(sample_of("heart"), "got NaN at step 3")
    (path,) = (store.root / "failures").iterdir()
    path.with_name("000000000000.json").write_text("{")
    assert store.failures.errors()["das heart seed 42"] == "got NaN at step 3"
