"""What a sample is: its key, which must never change, and how it was placed."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from das_ag.store.samples import Placement, Record, Sample
from das_ag.store.schema import SchemaError

WRITTEN = (
    '{"method":"das_ag","negative":["a ring"],"positive":["très “joli”","a red heart"],"prompt_id":"heart","seed":7,'
    '"settings":{"ascent":{"betas":[0.5,0.99],"learning_rate":0.4,"steps":100},"deterministic":true,"path":null}}'
)
"""All that determines a sample: names in the order of the alphabet, no spaces, UTF-8."""

KEY = "6a002e46e7a8bd2536115224f0bc8bdad9b5e23e9f020531a86c94daadd6f67f"
"""By `sha256sum` of that text: stores made years ago are found by it."""

PLACED = {"samples_per_batch": 6, "row": 2, "views_per_pass": 64, "threads": 8}


@pytest.fixture
def sample():
    return Sample.from_identity(json.loads(WRITTEN))


def record_of(sample, provenance):
    return Record(sample.folder, sample, {}, "1" * 64, "2" * 64, {}, provenance)


def test_the_key_is_the_sha256_of_all_that_determines_the_image(sample):
    assert hashlib.sha256(WRITTEN.encode()).hexdigest() == KEY
    assert sample.key == KEY


def test_the_order_of_names_does_not_matter(sample):
    backwards = dict(reversed(sample.settings.items())) | {"ascent": dict(reversed(sample.settings["ascent"].items()))}
    assert list(backwards) != list(sample.settings)
    assert dataclasses.replace(sample, settings=backwards).key == KEY


@pytest.mark.parametrize(
    "change",
    [
        {"method": "das"},
        {"prompt_id": "heart2"},
        {"positive": ("a red heart", "très “joli”")},
        {"negative": ()},
        {"seed": 8},
        {"settings": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_determines_the_image_is_part_of_the_key(sample, change):
    other = dataclasses.replace(sample, **change)
    by_hand = json.dumps(
        {**json.loads(WRITTEN), **change}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )  # fmt: skip
    assert other.key == hashlib.sha256(by_hand.encode()).hexdigest() != KEY


def test_a_setting_that_is_no_number_has_no_key(sample):
    """JSON knows no NaN, and another program could not compute the key."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = dataclasses.replace(sample, settings={"learning_rate": float("nan")}).key


def test_a_sample_is_called_and_put_by_what_it_is(sample):
    assert sample.name == "das_ag heart seed 7"
    assert sample.folder.as_posix() == f"samples/das_ag/heart-seed7-{KEY[:12]}"


def test_a_sample_is_had_from_its_identity_again(sample):
    assert sample.identity() == json.loads(WRITTEN)
    assert (sample.positive, sample.negative) == (("très “joli”", "a red heart"), ("a ring",))
    assert Sample.from_identity(json.loads(json.dumps(sample.identity()))) == sample


@pytest.mark.parametrize("name", ["method", "prompt_id", "positive", "negative", "seed", "settings"])
def test_an_identity_that_tells_too_little_is_refused(sample, name):
    identity = sample.identity()
    del identity[name]
    with pytest.raises(SchemaError, match=f"^{name}: expected .+, found none$"):
        Sample.from_identity(identity)


def test_placement_is_read_from_where_a_sample_was_made(sample):
    record = record_of(sample, {"device": "cpu", **PLACED, "duration_s": 1.5})
    assert record.placement == Placement(samples_per_batch=6, row=2, views_per_pass=64, threads=8)


@pytest.mark.parametrize("name", PLACED)
def test_an_earlier_version_kept_less_of_it(sample, name):
    kept = {other: value for other, value in PLACED.items() if other != name}
    assert record_of(sample, {"device": "cpu", **kept}).placement is None
