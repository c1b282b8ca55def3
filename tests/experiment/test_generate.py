"""Samples of a plan on the real embedded models: only what is missing, the same bytes whatever the company."""

from __future__ import annotations

import copy
import csv
import dataclasses
import hashlib
import json
import logging
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from das_ag.errors import UserError
from das_ag.experiment.generate import Outcome, generate, generator_of, guide_of
from das_ag.experiment.store import Store

THREE = (
    "prompts=own",
    "prompts.positive={heart: a red heart on a white background, star: a yellow star, ring: a blue ring}",
    "runtime.samples_per_batch=3",
    "method=das_ag",
)


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
    return guide_of(plan, torch.device("cpu"))


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
        assert record.provenance["samples_per_batch"] == 3
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
                + weights.total_variation * row["total_variation"]
                + weights.l1 * row["l1"]
            )
            assert row["loss"] == pytest.approx(by_hand, rel=1e-5)


def test_nothing_is_made_twice(plan, copied, monkeypatch):
    times = {path: path.stat().st_mtime_ns for path in copied.root.rglob("*")}
    monkeypatch.setattr("das_ag.experiment.generate.load_guide", None)  # what is not needed is not loaded
    assert generate(plan, copied) == Outcome(made=0, found=3, failed={})
    assert {path: path.stat().st_mtime_ns for path in copied.root.rglob("*")} == times


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


def test_size_of_the_batch_changes_an_image_by_rounding_at_most(plan_of, tiny, made, tmp_path):
    plan = plan_of(*tiny, *THREE, "runtime.samples_per_batch=1")
    store = Store(tmp_path)
    generate(plan, store)
    for sample in plan.samples:
        image = sample.folder / "image.png"
        np.testing.assert_allclose(store.read_image(image).astype(int), made.read_image(image).astype(int), atol=1)


def test_a_plan_is_worked_off_in_batches(plan_of, tiny, tmp_path):
    """Two full batches of one; each is stored before the next begins."""
    plan = plan_of(
        *tiny, THREE[0], "prompts.positive={heart: a red heart, star: a star}", "runtime.samples_per_batch=1"
    )
    store = Store(tmp_path)
    assert generate(plan, store) == Outcome(made=2, found=0, failed={})
    heart, star = (store.root / sample.folder for sample in plan.samples)
    assert heart.stat().st_mtime_ns < star.stat().st_mtime_ns


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
        assert abs(correlation) < 0.7
        assert np.abs(first - second).mean() > 10


def _without_colour(image):
    return image - image.mean(axis=(0, 1))


def test_random_numbers_are_the_samples_own(plan, plan_of, tiny):
    sample = plan.samples[0]
    by_hand = int.from_bytes(hashlib.sha256(b"42:heart").digest()[:8], "big") >> 1
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
    """The guide, whose features of the second of three samples are spoilt from some call on."""
    calls = iter(range(1000))

    def encode_images(pixels):
        features = list(loaded.functions.encode_images(pixels).chunk(3))
        if next(calls) >= from_call:
            features[1] = spoil(features[1])
        return torch.cat(features)

    poisoned = copy.copy(loaded)
    poisoned.functions = dataclasses.replace(loaded.functions, encode_images=encode_images)
    return poisoned


def test_a_sample_that_fails_leaves_its_siblings_unharmed(plan, made, tmp_path, monkeypatch):
    store, loaded = Store(tmp_path), loaded_guide(plan)
    with monkeypatch.context() as patch:
        patch.setattr("das_ag.experiment.generate.load_guide", lambda *_: poison(loaded, lambda f: f * math.nan, 2))
        outcome = generate(plan, store)
    name = "das_ag star seed 42"
    assert (outcome.made, outcome.found, set(outcome.failed)) == (2, 0, {name})
    assert "expected a finite loss, got NaN or infinity at step 2" in outcome.failed[name]
    assert "lower learning_rate" in outcome.failed[name]
    assert store.failures() == outcome.failed
    images, expected = files_of(store), files_of(made)
    assert images == {prompt_id: expected[prompt_id] for prompt_id in ("heart", "ring")}
    assert not list(store.root.glob("samples/*/.*"))

    # Later, without the fault, exactly the failed one is made, and the failure is forgotten.
    assert generate(plan, store) == Outcome(made=1, found=2, failed={})
    assert files_of(store) == expected
    assert store.failures() == {}


def test_a_sample_that_fails_at_its_last_move_is_told(plan, made, tmp_path, monkeypatch):
    """Every loss is a number; what the last step makes of the image is not."""
    store, loaded = Store(tmp_path), loaded_guide(plan)
    monkeypatch.setattr("das_ag.experiment.generate.load_guide", lambda *_: poison(loaded, NanGradient.apply, 2))
    outcome = generate(plan, store)
    assert (outcome.made, set(outcome.failed)) == (2, {"das_ag star seed 42"})
    assert store.failures() == outcome.failed
    expected = files_of(made)
    assert files_of(store) == {prompt_id: expected[prompt_id] for prompt_id in ("heart", "ring")}


def test_a_failure_of_all_is_told_for_each(plan_of, tiny, tmp_path):
    plan = plan_of(*tiny, *THREE, "views.noise.start=1e38")
    store = Store(tmp_path)
    outcome = generate(plan, store)
    assert outcome.made == 0
    assert set(outcome.failed) == {f"das_ag {name} seed 42" for name in ("heart", "star", "ring")}
    assert all("NaN or infinity at step 0" in error for error in outcome.failed.values())
    assert store.records() == ([], [])
    entries = [json.loads(path.read_text()) for path in (store.root / "failures").iterdir()]
    assert {entry["settings"]["views"]["noise"]["start"] for entry in entries} == {1e38}


@pytest.mark.parametrize(
    ("error", "size", "views", "advice"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), 3, 64, "samples_per_batch=1 or runtime.views_per_pass=3"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried …"), 3, 64, "samples_per_batch=1"),
        (MemoryError(), 1, 2, "try runtime.views_per_pass=1;"),
        (MemoryError(), 1, 1, "try a smaller canvas_px"),
    ],
)
def test_too_little_memory_is_told_with_values_to_try(plan_of, tiny, tmp_path, monkeypatch, error, size, views, advice):
    plan = plan_of(*tiny, *THREE, f"runtime.samples_per_batch={size}", f"runtime.views_per_pass={views}")

    def fail(_):
        raise error

    loaded = copy.copy(loaded_guide(plan))
    loaded.functions = dataclasses.replace(loaded.functions, encode_images=fail)
    monkeypatch.setattr("das_ag.experiment.generate.load_guide", lambda *_: loaded)
    with pytest.raises(UserError, match=r"^memory: expected room for runtime\.samples_per_batch=\d") as told:
        generate(plan, Store(tmp_path))
    assert advice in str(told.value)


def test_another_error_of_torch_is_not_taken_for_lack_of_memory(plan_of, tiny, tmp_path, monkeypatch):
    plan = plan_of(*tiny, *THREE)
    loaded = copy.copy(loaded_guide(plan))
    loaded.functions = dataclasses.replace(loaded.functions, encode_images=lambda pixels: pixels @ torch.ones(1, 1))
    monkeypatch.setattr("das_ag.experiment.generate.load_guide", lambda *_: loaded)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        generate(plan, Store(tmp_path))


def test_views_that_pass_in_parts_change_an_image_by_rounding_at_most(plan_of, tiny, made, tmp_path):
    plan = plan_of(*tiny, *THREE, "runtime.views_per_pass=1")
    store = Store(tmp_path)
    generate(plan, store)
    for sample in plan.samples:
        image = sample.folder / "image.png"
        np.testing.assert_allclose(store.read_image(image).astype(int), made.read_image(image).astype(int), atol=1)


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
    assert "one sample at a time, whatever runtime.samples_per_batch asks" in caplog.text
    assert {record.provenance["samples_per_batch"] for record in Store(tmp_path).records()[0]} == {1}


def test_generating_leaves_torchs_own_numbers_alone(plan_of, tiny, tmp_path):
    before = torch.get_rng_state()
    generate(plan_of(*tiny, *THREE, "randomness=published", "steps=1"), Store(tmp_path))
    assert torch.equal(torch.get_rng_state(), before)


def test_lost_words_are_logged(plan_of, tiny, tmp_path, caplog):
    texts = "{heart: a red heart with a dragon, same: a red heart with a dragon, ring: a blue ring}"
    plan = plan_of(*tiny, THREE[0], f"prompts.positive={texts}", "prompts.negative=[a glorious star]", "steps=1")
    with caplog.at_level(logging.INFO):
        generate(plan, Store(tmp_path))
    lost = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lost == [
        "Words that the guide does not see in “a red heart with a dragon”: with, dragon",
        "Words that the guide does not see in “a glorious star”: glorious",
    ]


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


def test_images_are_plain_8_bit_rgb(made):
    for record in made.records()[0]:
        with Image.open(made.root / record.image) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (28, 28))
