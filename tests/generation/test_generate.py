"""Samples of a plan on the tiny models: only what is missing, shared with others, the same bytes as alone."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import hashlib
import json
import logging
import math
import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from das_ag.errors import UserError
from das_ag.generation import generate as generate_module
from das_ag.generation import guide as guides
from das_ag.generation.batch import Stopped, generator_of
from das_ag.generation.generate import Outcome, generate
from das_ag.generation.guide import guide_of
from das_ag.generation.recipe import Recipe, text_of
from das_ag.store.atomic import StoreError
from das_ag.store.claims import LEASE_S, Claims
from das_ag.store.samples import Placement
from das_ag.store.store import Store

OWN = "prompts=own"
THREE = (
    OWN,
    "prompts.positive={heart: a red heart on a white background, star: a yellow star, ring: a blue ring}",
    "runtime.samples_per_batch=3",
    "runtime.threads=1",
    "method=das_ag",
)
NAMES = [f"das_ag {prompt_id} seed 42" for prompt_id in ("heart", "star", "ring")]
"""As messages call these samples."""


def files_of(store, name="image.png"):
    """Bytes of that file of each finished sample, by prompt."""
    records, damaged = store.records()
    assert damaged == []
    return {r.sample.prompt_id: (store.root / r.folder / name).read_bytes() for r in records}


def rows_of(store, prompt_id):
    (record,) = [r for r in store.records()[0] if r.sample.prompt_id == prompt_id]
    with (store.root / record.folder / "trace.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def plan(plan_of, tiny):
    return plan_of(*tiny, *THREE)


@pytest.fixture(scope="module")
def made(plan, tmp_path_factory):
    """A store of the whole plan; tests copy it before they change it."""
    store = Store(tmp_path_factory.mktemp("made") / "outputs")
    assert generate(plan, store) == Outcome(made=3, found=0, failed={})
    return store


def loaded_guide(plan):
    return guide_of(plan, plan.samples, torch.device("cpu"))


def with_images_through(loaded, encode_images):
    """The guide with another way to see images."""
    other = copy.copy(loaded)
    other.functions = dataclasses.replace(loaded.functions, encode_images=encode_images)
    return other


def guide_with(monkeypatch, loaded):
    """What generates is guided by `loaded`."""
    monkeypatch.setattr(generate_module, "guide_of", lambda *_, **__: loaded)


def without_preflight(monkeypatch):
    """So that the first call of a guide belongs to the first batch."""
    monkeypatch.setattr(generate_module, "check_steps", lambda *_: None)


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "copied")
    return Store(tmp_path / "copied")


def test_each_sample_is_stored_with_its_settings(plan, made):
    records, damaged = made.records()
    assert damaged == []
    assert {r.sample.key for r in records} == {s.key for s in plan.samples}
    for record in records:
        assert made.read_image(record.image).shape == (28, 28, 3)  # 32 px less 2 px on each side
        assert set(record.result) == {"guide_aesthetic_score", "clip_positive", "clip_negative"}
        assert record.result["clip_negative"] == 0  # there is no negative prompt
        assert record.provenance["device"] == "cpu"
        assert record.provenance["deterministic_algorithms"] is True
        assert record.provenance["threads"] == 1
        row = [sample.key for sample in plan.samples].index(record.sample.key)
        assert record.placement == Placement(samples_per_batch=3, row=row, views_per_pass=64, threads=1)
        assert record.provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    for sample in plan.samples:
        assert [row["step"] for row in rows_of(made, sample.prompt_id)] == [0, 1, 2]


def test_results_are_those_of_the_stored_image(plan, made):
    """What the record says of the image is what the guide sees in the file, up to its 8 bits."""
    guide = loaded_guide(plan)
    side = guide.functions.image_size_px
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    for record in made.records()[0]:
        rgb = made.read_image(record.image) / 255
        pixels = torch.tensor((rgb - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]
        resized = torch.nn.functional.interpolate(pixels, (side, side), mode="bilinear", align_corners=False)
        features = guide.functions.encode_images(resized)
        (text,) = (guide.text_features[text] for text in record.sample.positive)
        assert record.result["clip_positive"] == pytest.approx((features @ text).item(), abs=0.02)
        assert record.result["guide_aesthetic_score"] == pytest.approx(
            guide.functions.rate_features(features).item(), abs=0.1
        )


def test_trace_adds_up_to_the_loss(plan, made):
    weights = plan.settings.objective
    for sample in plan.samples:
        for row in rows_of(made, sample.prompt_id):
            by_hand = (
                -(3 - 3 * 0.94 ** row["step"]) * row["aesthetic"]
                - weights.clip * (row["positive"] - row["negative"])
                + weights.others["total_variation"] * row["total_variation"]
                + weights.others["l1"] * row["l1"]
            )
            assert row["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_nothing_is_made_twice(plan, copied, monkeypatch):
    def times():
        return {path: path.stat().st_mtime_ns for path in copied.root.rglob("*") if path.is_file()}

    before = times()
    for unneeded in ("guide_of", "check_steps", "set_up"):
        monkeypatch.setattr(generate_module, unneeded, None)
    assert generate(plan, copied) == Outcome(made=0, found=3, failed={})
    assert times() == before


@pytest.mark.parametrize("alone", ["heart", "star", "ring"])
def test_a_sample_made_alone_has_the_bytes_of_its_full_batch(plan, made, copied, alone):
    (gone,) = [s for s in plan.samples if s.prompt_id == alone]
    kept = [copied.root / s.folder for s in plan.samples if s != gone]
    times = [folder.stat().st_mtime_ns for folder in kept]
    shutil.rmtree(copied.root / gone.folder)
    assert generate(plan, copied) == Outcome(made=1, found=2, failed={})
    assert files_of(copied) == files_of(made)
    assert files_of(copied, "trace.csv") == files_of(made, "trace.csv")
    assert [folder.stat().st_mtime_ns for folder in kept] == times


def pixels_are_nearly_the_same(store, other, samples):
    for sample in samples:
        image = sample.folder / "image.png"
        np.testing.assert_allclose(store.read_image(image).astype(int), other.read_image(image).astype(int), atol=1)


@pytest.fixture(scope="module")
def singles(plan_of, tiny):
    """The same samples, each a batch of its own."""
    return plan_of(*tiny, *THREE, "runtime.samples_per_batch=1")


@pytest.fixture(scope="module")
def made_singly(singles, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("singly") / "outputs")
    assert generate(singles, store) == Outcome(made=3, found=0, failed={})
    return store


def test_size_of_the_batch_changes_an_image_by_rounding_at_most(plan, made, made_singly):
    pixels_are_nearly_the_same(made, made_singly, plan.samples)
    placements = {record.placement for record in made_singly.records()[0]}
    assert placements == {Placement(samples_per_batch=1, row=0, views_per_pass=64, threads=1)}


def test_each_batch_is_stored_before_the_next_begins(singles, made_singly):
    times = [(made_singly.root / sample.folder).stat().st_mtime_ns for sample in singles.samples]
    assert times == sorted(set(times))


def test_threads_change_an_image_by_rounding_at_most_and_the_same_number_nothing(plan_of, tiny, tmp_path):
    options = (*tiny, OWN, "prompts.positive={heart: a red heart}", "steps=2")
    stores = [Store(tmp_path / name) for name in ("two", "one", "two again")]
    for store, threads in zip(stores, (2, 1, 2), strict=True):
        plan = plan_of(*options, f"runtime.threads={threads}")
        assert generate(plan, store).made == 1
        (record,), _ = store.records()
        assert record.provenance["threads"] == record.placement.threads == threads
    for name in ("image.png", "trace.csv", "levels.npz"):
        assert files_of(stores[0], name) == files_of(stores[2], name)
    pixels_are_nearly_the_same(stores[0], stores[1], plan.samples)


def test_shards_make_the_bytes_of_the_whole(plan_of, tiny, tmp_path):
    """Five samples in batches of two, shards of 2, 2, 1 and none, one after the other from the last."""
    prompts = "{a: a red heart, b: a blue ring, c: a yellow star, d: a pink cross, e: a green circle}"
    five = (*tiny, OWN, f"prompts.positive={prompts}", "runtime.samples_per_batch=2", "runtime.threads=1", "shards=4")
    whole, sharded = Store(tmp_path / "whole"), Store(tmp_path / "sharded")
    assert generate(plan_of(*five, "shards=1"), whole).made == 5
    outcomes = [generate(plan_of(*five, f"shard={shard}"), sharded) for shard in (3, 2, 1, 0)]
    assert outcomes == [Outcome(made, 0, {}) for made in (0, 1, 2, 2)]
    for name in ("image.png", "trace.csv", "levels.npz"):
        assert files_of(sharded, name) == files_of(whole, name)


def test_samples_that_are_added_leave_the_others_alone(plan_of, tiny, plan, copied, made):
    more = plan_of(*tiny, *THREE, "seeds=[42,43]")
    assert generate(more, copied) == Outcome(made=3, found=3, failed={})
    records, _ = copied.records()
    by_seed = {
        seed: {r.sample.prompt_id: copied.read_image(r.image) for r in records if r.sample.seed == seed}
        for seed in (42, 43)
    }
    for sample in plan.samples:
        folder = sample.folder
        assert (copied.root / folder / "image.png").read_bytes() == (made.root / folder / "image.png").read_bytes()
        first, second = (by_seed[seed][sample.prompt_id].astype(float) for seed in (42, 43))
        # After few steps an image is still mostly its own noise, though both begin to show the same prompt.
        correlation = np.corrcoef(_without_colour(first).ravel(), _without_colour(second).ravel())[0, 1]
        assert abs(correlation) < 0.75
        assert np.abs(first - second).mean() > 10


def _without_colour(image):
    return image - image.mean(axis=(0, 1))


def test_random_numbers_are_the_samples_own(plan, plan_of, tiny):
    sample = plan.samples[0]
    origin = b'[42,"a red heart on a white background",null]'
    by_hand = int.from_bytes(hashlib.sha256(origin).digest()[:8], "big") >> 1
    expected = torch.randn(5, generator=torch.Generator().manual_seed(by_hand))
    cpu = torch.device("cpu")
    for method in ("das", "das_ag", "das_rag"):
        (same, *_) = plan_of(*tiny, *THREE, f"method={method}", "steps=9").samples
        assert torch.equal(torch.randn(5, generator=generator_of(same, cpu)), expected)
    for other in (plan.samples[1], dataclasses.replace(sample, seed=0), dataclasses.replace(sample, seed=2**63 - 1)):
        numbers = torch.randn(2000, generator=generator_of(other, cpu))
        first = torch.randn(2000, generator=generator_of(sample, cpu))
        assert abs(torch.corrcoef(torch.stack([numbers, first]))[0, 1]) < 0.1


def test_methods_start_from_the_same_image_and_part_by_their_sign(plan_of, tiny, tmp_path):
    scores = {}
    for method in ("das", "das_ag", "das_rag"):
        store = Store(tmp_path / method)
        generate(plan_of(*tiny, *THREE, f"method={method}", "steps=12", "objective.aesthetic.start=3"), store)
        scores[method] = [[row["aesthetic"] for row in rows_of(store, name)] for name in ("heart", "star", "ring")]
    first, last = ({m: np.array(s)[:, step] for m, s in scores.items()} for step in (0, -1))
    np.testing.assert_array_equal(first["das"], first["das_ag"])
    np.testing.assert_array_equal(first["das"], first["das_rag"])
    assert last["das_ag"].mean() > last["das"].mean() > last["das_rag"].mean()


class NanGradient(torch.autograd.Function):
    """The same number, through which no gradient comes back but NaN."""

    @staticmethod
    def forward(_, values):
        return values.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * math.nan


def poison(loaded, spoil, from_call):
    """The guide, whose features of the second of three samples are spoilt from some call for all three on."""
    calls = iter(range(1000))

    def encode_images(pixels):
        if len(pixels) % 3:  # the preflight, which looks at one sample
            return loaded.functions.encode_images(pixels)
        features = list(loaded.functions.encode_images(pixels).chunk(3))
        if next(calls) >= from_call:
            features[1] = spoil(features[1])
        return torch.cat(features)

    return with_images_through(loaded, encode_images)


def test_a_sample_that_fails_leaves_its_siblings_unharmed(plan, made, tmp_path, monkeypatch):
    store, loaded = Store(tmp_path), loaded_guide(plan)
    with monkeypatch.context() as patch:
        guide_with(patch, poison(loaded, lambda f: f * math.nan, 2))
        outcome = generate(plan, store)
    sentence = (
        "expected a finite loss, got NaN or infinity at step 2; lower learning_rate, views.noise or the weights under "
        "objective."
    )
    assert outcome == Outcome(made=2, found=0, failed={NAMES[1]: sentence})
    assert store.failures.errors() == outcome.failed
    images, expected = files_of(store), files_of(made)
    assert images == {prompt_id: expected[prompt_id] for prompt_id in ("heart", "ring")}
    assert not list(store.root.glob("samples/*/.*"))

    # Later, without the fault, exactly the failed one is made, and the failure is forgotten.
    assert generate(plan, store) == Outcome(made=1, found=2, failed={})
    assert files_of(store) == expected
    assert store.failures.errors() == {}


def test_a_sample_that_fails_at_its_last_move_is_told(plan, made, tmp_path, monkeypatch):
    """Every loss is a number; what the last step makes of the image is not."""
    store, loaded = Store(tmp_path), loaded_guide(plan)
    guide_with(monkeypatch, poison(loaded, NanGradient.apply, 2))
    outcome = generate(plan, store)
    assert (outcome.made, set(outcome.failed)) == (2, {NAMES[1]})
    assert store.failures.errors() == outcome.failed
    expected = files_of(made)
    assert files_of(store) == {prompt_id: expected[prompt_id] for prompt_id in ("heart", "ring")}


def test_a_failure_of_all_is_told_for_each(plan_of, tiny, tmp_path):
    plan = plan_of(*tiny, *THREE, "views.noise.start=1e38")
    store = Store(tmp_path)
    outcome = generate(plan, store)
    assert outcome.made == 0
    assert list(outcome.failed) == NAMES
    assert all("NaN or infinity at step 0" in error for error in outcome.failed.values())
    assert store.records() == ([], [])
    entries = [json.loads(path.read_text()) for path in (store.root / "failures").iterdir()]
    assert {entry["settings"]["views"]["noise"]["start"] for entry in entries} == {1e38}


def raises(error):
    def fail(_):
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "size", "told"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory."), 3,
            "runtime.samples_per_batch=3 and runtime.views_per_pass=1; try runtime.samples_per_batch=1.",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …"), 1,
            "runtime.samples_per_batch=1 and runtime.views_per_pass=1; try a smaller canvas_px.",
        ),
        (MemoryError(), 1, "runtime.samples_per_batch=1 and runtime.views_per_pass=1; try a smaller canvas_px."),
    ],
)  # fmt: skip
def test_too_little_memory_for_one_view_is_told_with_values_to_try(
    plan_of, tiny, tmp_path, monkeypatch, error, size, told
):
    """Of each sample, and not by an error in the preflight, which meets it first."""
    plan = plan_of(*tiny, *THREE, f"runtime.samples_per_batch={size}")
    guide_with(monkeypatch, with_images_through(loaded_guide(plan), raises(error)))
    sizes = [len(batch) for batch in plan.batches for _ in batch]
    outcome = generate(plan, Store(tmp_path))
    sentence = f"out of memory with {told} Finished samples are kept."
    assert sizes[0] == size
    assert (outcome.made, list(outcome.failed)) == (0, NAMES)
    assert [outcome.failed[name] for name, got in zip(NAMES, sizes, strict=True) if got == size] == (
        [sentence] * sizes.count(size)
    )
    assert Store(tmp_path).failures.errors() == outcome.failed


def test_a_run_out_of_memory_goes_on_with_fewer_views_at_a_time(plan_of, tiny, tmp_path, monkeypatch, caplog):
    """And gives the bytes of a run that was told so; the checkpoint of the failed attempt is gone."""
    plan = plan_of(*tiny, *THREE, "runtime.samples_per_batch=3", "runtime.checkpoint_steps=1")
    loaded, most, passes = loaded_guide(plan), 2, []

    def encode_images(pixels):
        passes.append(len(pixels))
        if pixels.requires_grad and len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return loaded.functions.encode_images(pixels)

    with monkeypatch.context() as patch:
        guide_with(patch, with_images_through(loaded, encode_images))
        without_preflight(patch)
        assert generate(plan, Store(tmp_path / "found_out")).made == 3
    assert [line for line in caplog.messages if "memory" in line] == [
        f"Out of memory: the batch begins again with runtime.views_per_pass={views}" for views in (3, 1)
    ]
    told = plan_of(*tiny, *THREE, "runtime.samples_per_batch=3", "runtime.views_per_pass=1")
    assert generate(told, Store(tmp_path / "told")).made == 3
    assert files_of(Store(tmp_path / "found_out")) == files_of(Store(tmp_path / "told"))
    assert {record.placement.views_per_pass for record in Store(tmp_path / "found_out").records()[0]} == {1}
    assert not list((tmp_path / "found_out" / "checkpoints").glob("*.pt"))


@pytest.mark.parametrize(
    ("error", "sentence", "traced"),
    [
        (RuntimeError("mat1 …\nmore"), "RuntimeError: mat1 …", "RuntimeError: mat1 …\nmore\n"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0", "ZeroDivisionError: by 0\n"),
        (UserError("the guide: expected this, got that; do so."), "the guide: expected this, got that; do so.", None),
    ],
)  # fmt: skip
def test_an_error_in_one_batch_leaves_the_others_alone(
    singles, made_singly, tmp_path, monkeypatch, error, sentence, traced
):
    store, loaded, calls = Store(tmp_path), loaded_guide(singles), iter(range(1000))

    def encode_images(pixels):
        if next(calls) == 5:  # three steps and the finished image of the first batch; in the second its second step
            raise error
        return loaded.functions.encode_images(pixels)

    with monkeypatch.context() as patch:
        guide_with(patch, with_images_through(loaded, encode_images))
        without_preflight(patch)
        assert generate(singles, store) == Outcome(made=2, found=0, failed={NAMES[1]: sentence})
    expected = files_of(made_singly)
    assert files_of(store) == {prompt_id: expected[prompt_id] for prompt_id in ("heart", "ring")}
    (path,) = (store.root / "failures").iterdir()
    entry = json.loads(path.read_text(encoding="utf-8"))
    assert (entry["error"], entry["prompt_id"], entry["settings"]["ascent"]["steps"]) == (sentence, "star", 3)
    if traced is None:
        assert "traceback" not in entry
    else:
        assert entry["traceback"].startswith("Traceback (most recent call last):")
        assert "in encode_images" in entry["traceback"]
        assert entry["traceback"].endswith(traced)
    # Started again, exactly the failed one is made, and the failure is forgotten.
    assert generate(singles, store) == Outcome(made=1, found=2, failed={})
    assert files_of(store) == expected
    assert store.failures.errors() == {}


def test_weights_that_cannot_be_loaded_fail_what_is_missing(plan, copied, monkeypatch):
    shutil.rmtree(copied.root / plan.samples[1].folder)
    with monkeypatch.context() as patch:
        patch.setattr(generate_module, "guide_of", lambda *_, **__: raises(UserError("CLIP: bad; mend."))(None))
        assert generate(plan, copied) == Outcome(made=0, found=2, failed={NAMES[1]: "CLIP: bad; mend."})
    assert copied.failures.errors() == {NAMES[1]: "CLIP: bad; mend."}
    assert generate(plan, copied) == Outcome(made=1, found=2, failed={})


class Watcher:
    """Keeps prompt and step of each look at a batch of one, and does something at some of them."""

    def __init__(self, **actions):
        self.seen, self._actions = [], actions

    def __call__(self, samples, run, iterate):
        (sample,) = samples
        self.seen.append((sample.prompt_id, iterate.step))
        if iterate.step == 1 and sample.prompt_id in self._actions:
            self._actions[sample.prompt_id](run)

    @property
    def prompts(self):
        return list(dict.fromkeys(prompt_id for prompt_id, _ in self.seen))


def test_a_watch_sees_every_step_and_the_image_so_far(singles, tmp_path):
    store, images = Store(tmp_path), []
    watch = Watcher(heart=lambda run: images.extend(run.images()))
    generate(singles, store, watch=watch)
    assert watch.seen == [(prompt_id, step) for prompt_id in ("heart", "star", "ring") for step in range(3)]
    (image,) = images
    final = store.read_image(singles.samples[0].folder / "image.png")
    assert image.shape == final.shape
    difference = np.abs(image.astype(int) - final.astype(int))
    assert 0 < difference.mean() < 20  # one step short of the final one


def test_a_store_that_cannot_be_written_to_ends_the_run(singles, tmp_path, monkeypatch):
    store, watch = Store(tmp_path), Watcher()

    def fail(self, *_, **__):
        raise StoreError("outputs: expected to write here, got “No space left on device”; …")

    monkeypatch.setattr(Store, "write", fail)
    with pytest.raises(StoreError, match="No space left"):
        generate(singles, store, watch=watch)
    assert watch.prompts == ["heart"]
    assert store.failures.errors() == {}
    assert list((store.root / "claims").iterdir()) == []


@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt])
def test_a_run_that_is_stopped_keeps_what_is_finished_and_fails_nothing(singles, made_singly, tmp_path, error):
    store = Store(tmp_path)
    with pytest.raises(error):
        generate(singles, store, watch=Watcher(star=raises(error)))
    assert set(files_of(store)) == {"heart"}
    assert store.failures.errors() == {}
    assert list((store.root / "claims").iterdir()) == []
    assert generate(singles, store) == Outcome(made=2, found=1, failed={})
    assert files_of(store) == files_of(made_singly)


class Calls(logging.Handler):
    """Calls something when a message begins so."""

    def __init__(self, beginning, function):
        super().__init__()
        self._beginning, self._function = beginning, function

    def emit(self, record):
        if record.getMessage().startswith(self._beginning):
            self._function()


@contextlib.contextmanager
def on_waiting(function):
    handler = Calls("Waiting for other processes", function)
    generate_module.log.addHandler(handler)
    try:
        yield
    finally:
        generate_module.log.removeHandler(handler)


def test_who_finds_a_batch_claimed_makes_the_others_and_waits_for_it(
    singles, made_singly, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(generate_module, "POLL_S", 0.01)
    caplog.set_level(logging.INFO, logger=generate_module.__name__)
    is_held, may_go_on = threading.Event(), threading.Event()

    def hold(_):
        is_held.set()
        assert may_go_on.wait(120)

    with ThreadPoolExecutor(1) as pool, on_waiting(may_go_on.set):
        first = pool.submit(generate, singles, Store(tmp_path), watch=Watcher(heart=hold))
        assert is_held.wait(120)
        watch = Watcher()
        second = generate(singles, Store(tmp_path), watch=watch)
        assert set(files_of(Store(tmp_path))) == {"heart", "star", "ring"}  # it does not end before the plan has
    assert first.result() == Outcome(made=1, found=2, failed={})
    assert second == Outcome(made=2, found=1, failed={})
    assert watch.prompts == ["star", "ring"]
    assert files_of(Store(tmp_path)) == files_of(made_singly)
    assert [message for message in caplog.messages if message.startswith("Waiting")] == [
        "Waiting for other processes to finish 1 of these batches"
    ]
    assert list((tmp_path / "claims").iterdir()) == []


def test_processes_that_share_a_store_make_each_sample_once(plan_of, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(generate_module, "POLL_S", 0.01)
    plan = plan_of(*tiny, *THREE, "seeds=[1,2,3,4]", "runtime.samples_per_batch=2", "steps=2")
    loaded_guide(plan)  # else both would load it into the one place that this process has
    alone, shared = Store(tmp_path / "alone"), tmp_path / "shared"
    generate(plan, alone)
    are_ready, looks = threading.Barrier(2), []

    def work(_):
        are_ready.wait()
        return generate(plan, Store(shared), watch=lambda batch, _, iterate: looks.append((batch[0].key, iterate.step)))

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(work, range(2)))
    assert sum(outcome.made for outcome in outcomes) == 12
    assert [(outcome.made + outcome.found, outcome.failed) for outcome in outcomes] == [(12, {}), (12, {})]
    assert sorted(looks) == sorted((batch[0].key, step) for batch in plan.batches for step in range(2))
    for sample in plan.samples:
        for name in ("image.png", "trace.csv", "levels.npz"):
            assert (shared / sample.folder / name).read_bytes() == (alone.root / sample.folder / name).read_bytes()


def test_a_batch_whose_owner_is_gone_is_taken_over(singles, made_singly, tmp_path):
    claims, key = Claims(tmp_path / "claims"), singles.samples[0].key[:12]

    def forget(_):
        """As if the owner had not renewed it for long."""
        then = time.time() - 2 * LEASE_S
        os.utime(claims.folder / f"{key}.claim", (then, then))

    watch = Watcher(ring=forget)
    with claims.claim(key) as is_mine:
        assert is_mine
        assert generate(singles, Store(tmp_path), watch=watch) == Outcome(made=3, found=0, failed={})
    assert watch.prompts == ["star", "ring", "heart"]
    assert files_of(Store(tmp_path)) == files_of(made_singly)


def test_who_waits_for_others_may_be_stopped(singles, tmp_path):
    """At the second look; the claim stays with its owner."""
    claims, key, looks = Claims(tmp_path / "claims"), singles.samples[1].key[:12], []

    def pause():
        looks.append(None)
        if len(looks) == 2:
            raise Stopped

    with claims.claim(key):
        with pytest.raises(Stopped):
            generate(singles, Store(tmp_path), pause=pause)
        assert set(files_of(Store(tmp_path))) == {"heart", "ring"}
        assert [path.name for path in claims.folder.iterdir()] == [f"{key}.claim"]
    assert Store(tmp_path).failures.errors() == {}


def test_a_claim_that_a_dead_process_left_on_finished_samples_is_cleared_away(plan, copied, monkeypatch):
    claims, key = Claims(copied.root / "claims"), plan.samples[0].key[:12]
    with claims.claim(key):
        assert generate(plan, copied) == Outcome(0, 3, {})
        assert [path.name for path in claims.folder.iterdir()] == [f"{key}.claim"]  # of a living one
        then = time.time() - 2 * LEASE_S
        os.utime(claims.folder / f"{key}.claim", (then, then))
        monkeypatch.setattr("das_ag.store.claims.TRIES_S", 60.0)  # for a machine that stalls
        assert generate(plan, copied) == Outcome(0, 3, {})
        assert list(claims.folder.iterdir()) == []


@pytest.mark.parametrize("has_failed_earlier", [False, True])
def test_what_failed_under_another_process_meanwhile_is_told_and_not_tried(singles, tmp_path, has_failed_earlier):
    store, star = Store(tmp_path), singles.samples[1]
    store.prepare()
    if has_failed_earlier:
        store.failures.write(star, "an earlier reason")
    watch = Watcher(heart=lambda _: store.failures.write(star, "another's reason"))
    assert generate(singles, store, watch=watch) == Outcome(made=2, found=0, failed={NAMES[1]: "another's reason"})
    assert watch.prompts == ["heart", "ring"]
    assert store.failures.errors() == {NAMES[1]: "another's reason"}


def test_what_failed_at_an_earlier_start_is_tried_again(singles, tmp_path):
    store = Store(tmp_path)
    store.prepare()
    for sample in singles.samples:
        store.failures.write(sample, "an earlier reason")
    assert generate(singles, store) == Outcome(made=3, found=0, failed={})
    assert store.failures.errors() == {}


def test_what_another_made_just_before_the_claim_was_free_is_not_made_again(plan, made, tmp_path, monkeypatch):
    claim = Claims.claim

    @contextlib.contextmanager
    def claim_late(*arguments):
        with claim(*arguments) as is_mine:
            shutil.copytree(made.root / "samples", tmp_path / "samples", dirs_exist_ok=True)
            yield is_mine

    monkeypatch.setattr(Claims, "claim", claim_late)
    assert generate(plan, Store(tmp_path), watch=lambda *_: pytest.fail("made again")) == Outcome(0, 3, {})


def test_text_tower_is_kept_for_other_texts_on_demand(singles, tmp_path):
    for keep in (True, False):
        guides.release_guide()
        generate(singles, Store(tmp_path / str(keep)), keep_text_tower=keep)
        (guide,) = guides._loaded.values()
        assert guide.knows([text for sample in singles.samples for text in sample.positive])
        assert guide.knows(["a text that nobody has read"]) is keep


def test_views_that_pass_in_parts_change_an_image_by_rounding_at_most(plan_of, tiny, made, tmp_path):
    plan, store = plan_of(*tiny, *THREE, "runtime.views_per_pass=1"), Store(tmp_path)
    generate(plan, store)
    pixels_are_nearly_the_same(store, made, plan.samples)


def test_bfloat16_gives_nearly_the_same_similarity(plan_of, tiny, made, tmp_path):
    plan = plan_of(*tiny, *THREE, "runtime.precision=bfloat16")
    store = Store(tmp_path)
    generate(plan, store)
    assert files_of(store) != files_of(made)
    for sample in plan.samples:
        ours, theirs = rows_of(store, sample.prompt_id), rows_of(made, sample.prompt_id)
        assert ours[0]["positive"] == pytest.approx(theirs[0]["positive"], abs=0.02)
        assert ours[0]["aesthetic"] == pytest.approx(theirs[0]["aesthetic"], abs=0.02)


def test_published_randomness_takes_one_sample_at_a_time_and_says_so(plan_of, tiny, tmp_path, caplog):
    plan = plan_of(*tiny, *THREE, "randomness=published")
    with caplog.at_level(logging.INFO):
        generate(plan, Store(tmp_path))
    assert "makes one sample at a time and ignores runtime.samples_per_batch" in caplog.text
    assert {record.provenance["samples_per_batch"] for record in Store(tmp_path).records()[0]} == {1}


def test_generating_leaves_torchs_own_numbers_alone(plan_of, tiny, tmp_path):
    before = torch.get_rng_state()
    generate(plan_of(*tiny, *THREE, "randomness=published", "steps=1"), Store(tmp_path))
    assert torch.equal(torch.get_rng_state(), before)


def test_lost_words_are_logged(plan_of, tiny, tmp_path, caplog):
    texts = "{heart: a red heart with a dragon, ring: a blue ring}"
    options = ("seeds=[1,2]", "prompts.negative=[a glorious stat star]", "steps=1", "runtime.threads=1")
    plan = plan_of(*tiny, OWN, f"prompts.positive={texts}", *options)
    with caplog.at_level(logging.INFO):
        generate(plan, Store(tmp_path))
    lost = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lost == [
        "Warning: the guide ignores these words in “a red heart with a dragon”: with, dragon",
        "Warning: the guide ignores these words in “a glorious stat star”: glorious, stat (did you mean star?)",
    ]


def test_of_many_texts_with_lost_words_only_some_are_named(plan_of, tiny, tmp_path, caplog):
    texts = ", ".join(f"p{number}: a red heart {'x' * number}" for number in range(1, 23))
    options = ("runtime.samples_per_batch=22", "steps=1", "views.count=1", "runtime.threads=1")
    generate(plan_of(*tiny, OWN, f"prompts.positive={{{texts}}}", *options), Store(tmp_path))
    lost = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lost == [
        *(f"Warning: the guide ignores these words in “a red heart {'x' * n}”: {'x' * n}" for n in range(1, 21)),
        "… and words in 2 more texts",
    ]


def test_of_several_batches_each_but_the_last_says_how_many_are_left(plan_of, tiny, tmp_path, caplog):
    plan = plan_of(*tiny, *THREE, "runtime.samples_per_batch=1")
    store = Store(tmp_path)
    put_first = generate(plan_of(*tiny, *THREE, "runtime.samples_per_batch=1", "shards=3"), store)
    assert put_first.made == 1
    caplog.clear()
    with caplog.at_level(logging.INFO):
        generate(plan, store)
    told = [message for message in caplog.messages if "batches" in message]
    assert len(told) == 1  # one batch was there already, and two were made
    assert re.fullmatch(r"1 of 2 batches done, about \d+ s left", told[0])


def test_progress_is_logged_where_there_is_no_terminal(plan_of, tiny, tmp_path, caplog):
    plan = plan_of(*tiny, *THREE, "steps=8")
    with caplog.at_level(logging.INFO):
        generate(plan, Store(tmp_path))
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert [line.split(",")[1] for line in lines] == [f" 3 samples: step {step} of 8" for step in (2, 4, 6, 8)]
    losses = [
        np.mean([rows_of(Store(tmp_path), p)[step]["loss"] for p in ("heart", "star", "ring")]) for step in (1, 7)
    ]
    assert f"loss {losses[0]:.3f}" in lines[0]
    assert f"loss {losses[1]:.3f}" in lines[3]
    assert lines[3].endswith("0 s left")


def test_images_are_plain_8_bit_rgb_with_their_recipe_as_text(made):
    for record in made.records()[0]:
        with Image.open(made.root / record.image) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (28, 28))
            assert image.info == text_of(Recipe(record.sample, record.placement))
