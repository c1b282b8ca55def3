"""experiment=paper on real formats: the published program's own image from its seed, and the whole way to its table."""

from __future__ import annotations

import csv
import json
import socket

import numpy as np
import pytest
import torch
from PIL import Image
from reference import (
    GEISHA,
    NEGATIVE,
    ROOT,
    exact,
    laion_head_path,
    save_random_v2_5_head,
    save_small_clip,
    save_small_siglip,
    v2_5_head_path,
)
from tiny_models import TinyJudgeChoice

from das_ag import sweep
from das_ag.errors import UserError
from das_ag.evaluation.evaluate import evaluate
from das_ag.generation import guide as guides
from das_ag.generation.generate import generate
from das_ag.generation.guide import guide_of, release_guide
from das_ag.models.aesthetic import save_random_head
from das_ag.models.clip import save_random_clip
from das_ag.settings.plan import make_plan
from das_ag.store.store import Store

PAPER = "experiment=paper"
ONE_PROMPT = ("~prompts.positive.mona_lisa", "~prompts.positive.tokyo_tower", "~prompts.positive.mt_fuji")
SMALLER = ("canvas_px=256", "views.max_shift_px=16", "seeds=[42]", "runtime.device=cpu", "runtime.threads=1")
"""The setting of the recorded run: an image of 224 px from the published seed."""

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    return save_small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def head_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "random.pth"
    save_random_head(path)
    return path


@pytest.fixture
def paper(compose_paper, clip_path, head_path):
    """The plan of the paper in small, with other overrides; a random head unless another is given."""

    def paper(*overrides, head=head_path, prompts=ONE_PROMPT):
        files = f"models.path={clip_path}", f"models.head='{head}'"
        return make_plan(compose_paper(*prompts, *SMALLER, *files, *overrides))

    return paper


def trace_of(store, record):
    with (store.root / record.folder / "trace.csv").open(newline="") as file:
        return np.array(
            [[float(row[name]) for name in ("aesthetic", "positive", "negative")] for row in csv.DictReader(file)]
        )


def largest_difference(a, b):
    return np.abs(a.astype(np.float64) - b.astype(np.float64)).max()


def test_settings_are_the_published_ones(compose_paper):
    """Source: note/experimental_details.md."""
    config = compose_paper()
    plain = {
        "canvas_px": 512, "gamut": "clip_normalised", "steps": 200, "learning_rate": 0.05, "betas": [0.5, 0.99],
        "randomness": "published", "name": "paper", "seeds": [42, 43, 44], "published_figures": True,
    }  # fmt: skip
    assert {name: config[name] for name in plain} == plain
    assert config.pyramid.levels == "powers_of_two"
    assert (config.pyramid.combine, config.pyramid.initial) == ("mean", "scaled_noise")
    assert (config.pyramid.interpolation, config.pyramid.initial_scale) == ("bilinear", 1.0)
    decay = {"kind": "exponential_decay"}
    assert config.views == {
        "count": 8, "max_shift_px": 32, "augment": True,
        "noise": {**decay, "start": 0.2, "end": 0.5, "rate": 0.03},
        "colour_shift": {**decay, "start": 0.05, "end": 0.3, "rate": 0.03}, "crops": 0.0, "crop_size": [0.4, 0.9],
    }  # fmt: skip
    assert config.objective == {
        "clip": 5.0, "aesthetic": {**decay, "start": 0.0, "end": 3.0, "rate": 0.06}, "total_variation": 1e-8, "l1": 0.0,
        "highlights": 0.0,
    }  # fmt: skip
    assert (config.models.name, config.models.guide_dropout, config.models.attention) == ("ViT-L/14", True, "sdpa")
    assert config.runtime == {
        "deterministic": True, "device": "auto", "precision": "float32", "threads": None,
        "samples_per_batch": 1, "views_per_pass": 4, "checkpoint_steps": 20,
    }  # fmt: skip
    assert list(config.evaluator) == ["aesthetic_v2_5"]
    assert list(config.prompts.positive) == ["mona_lisa", "tokyo_tower", "mt_fuji", "geisha"]
    assert config.prompts.positive.geisha == GEISHA
    assert list(config.prompts.negative) == [NEGATIVE]


def test_prompts_are_those_of_the_note(compose_paper):
    note = (ROOT / "note" / "experimental_details.md").read_text(encoding="utf-8")
    prompts = compose_paper().prompts
    for name, text in prompts.positive.items():
        assert f"- **{name}**: {text}\n" in note
    assert f"Negative, for all: {prompts.negative[0]}\n" in note


def test_dropout_is_on_in_the_paper_alone(compose, compose_paper):
    assert compose_paper().models.guide_dropout is True
    assert compose("models=openai_clip").models.guide_dropout is False
    assert compose("models=openai_clip").randomness == "per_sample"


def test_the_published_programs_own_image_from_its_seed(paper, tmp_path):
    """Everything on: its random numbers in its order, the networks' initial weights and dropout included."""
    plan, store = paper("method=das_ag", "steps=20", head=laion_head_path()), Store(tmp_path)
    assert generate(plan, store).made == 1
    (record,), _ = store.records()
    recorded = exact()
    assert largest_difference(trace_of(store, record), recorded["geisha-42-das_ag/trace"]) < 1e-5
    image = store.read_image(record.image)
    assert largest_difference(image, recorded["geisha-42-das_ag/image"]) <= 1
    # What is compared is this seed's and this method's own: without dropout the trace is already another.
    other = Store(tmp_path / "other")
    generate(paper("method=das_ag", "steps=2", "models.guide_dropout=false", head=laion_head_path()), other)
    (record,), _ = other.records()
    assert largest_difference(trace_of(other, record), recorded["geisha-42-das_ag/trace"][:2]) > 1e-3


def test_a_seed_gives_the_same_bytes_whatever_was_made_before(paper, tmp_path):
    """The networks are made once, but each seed starts as if the program had just been started with it."""
    both, alone = Store(tmp_path / "both"), Store(tmp_path / "alone")
    generate(paper("steps=2", "seeds=[42,43]"), both)
    release_guide()
    generate(paper("steps=2", "seeds=[43]"), alone)
    (expected,) = [r for r in both.records()[0] if r.sample.seed == 43]
    (got,), _ = alone.records()
    assert got.image_sha256 == expected.image_sha256
    assert (alone.root / got.folder / "trace.csv").read_bytes() == (
        both.root / expected.folder / "trace.csv"
    ).read_bytes()


def test_dropout_moves_the_ascent_and_not_what_is_measured_of_the_image(paper, tmp_path):
    with_dropout, without = Store(tmp_path / "with"), Store(tmp_path / "without")
    generate(paper("method=das_ag", "steps=4", "randomness=per_sample"), with_dropout)
    plan = paper("method=das_ag", "steps=4", "randomness=per_sample", "models.guide_dropout=false")
    generate(plan, without)
    (a,), (b,) = (store.records()[0] for store in (with_dropout, without))
    assert a.image_sha256 != b.image_sha256
    # The views of the first step are the same, the score that guides is not; the finished image is rated without.
    first, other = trace_of(with_dropout, a)[0], trace_of(without, b)[0]
    assert first[1:].tolist() == other[1:].tolist()
    assert abs(first[0] - other[0]) > 1e-4
    guide = guide_of(plan, plan.samples, CPU)
    pixels = torch.from_numpy(with_dropout.read_image(a.image)).permute(2, 0, 1)[None] / 255
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    features = guide.functions.encode_images((pixels - mean[:, None, None]) / std[:, None, None])
    rated = guide.functions.rate_features(features).item()
    assert a.result["guide_aesthetic_score"] == pytest.approx(rated, abs=0.01)  # 8 bits


def test_keys_depend_on_weights_and_kernel_but_not_on_where_files_lie(paper, clip_path, tmp_path):
    (sample,) = paper().samples
    moved = tmp_path / "moved.pt"
    moved.write_bytes(clip_path.read_bytes())
    assert paper(f"models.path={moved}").samples[0].key == sample.key
    (tmp_path / "other.pth").write_bytes(b"other")
    changed = [
        paper("models.attention=math"),
        paper("models.guide_dropout=false"),
        paper("randomness=per_sample"),
        paper("runtime.precision=bfloat16"),
        paper(head=tmp_path / "other.pth"),
    ]
    assert len({sample.key, *(plan.samples[0].key for plan in changed)}) == 6


@pytest.mark.parametrize("option", ["models.attention=math", "runtime.views_per_pass=3"])
def test_kernels_and_passes_agree_to_rounding(paper, tmp_path, option):
    stores = [Store(tmp_path / name) for name in "ab"]
    for store, options in zip(stores, ((), (option,)), strict=True):
        generate(paper("method=das_ag", "steps=3", *options), store)
    (a,), (b,) = (store.records()[0] for store in stores)
    assert largest_difference(trace_of(stores[0], a), trace_of(stores[1], b)) < 1e-5
    assert largest_difference(stores[0].read_image(a.image), stores[1].read_image(b.image)) <= 1


def test_bfloat16_stays_near_float32_and_finite(paper, tmp_path):
    stores = [Store(tmp_path / name) for name in "ab"]
    for store, precision in zip(stores, ("float32", "bfloat16"), strict=True):
        generate(paper("steps=3", f"runtime.precision={precision}"), store)
    (a,), (b,) = (store.records()[0] for store in stores)
    assert a.image_sha256 != b.image_sha256
    assert largest_difference(trace_of(stores[0], a), trace_of(stores[1], b)) < 0.02


def test_a_long_prompt_is_told_with_the_words_that_were_cut(paper, tmp_path, caplog):
    prompts = "prompts=own", f"prompts.positive={{long: {'cat ' * 75}sat on}}"
    generate(paper("steps=1", prompts=prompts), Store(tmp_path))
    (warning,) = [r.getMessage() for r in caplog.records if "guide ignores" in r.getMessage()]
    assert warning.endswith("cat sat on”: sat, on")


def test_a_head_that_is_not_the_published_one_is_told(paper, tmp_path, caplog):
    release_guide()
    generate(paper("steps=1"), Store(tmp_path))
    assert "random.pth): this is not a published file" in caplog.text


def test_a_clip_of_other_features_than_the_head_reads(paper, tmp_path):
    path = tmp_path / "clip512.pt"
    architecture = {
        "embed_dim": 512, "image_resolution": 32, "vision_layers": 1, "vision_width": 64, "vision_patch_size": 16,
        "context_length": 77, "vocab_size": 49408, "transformer_width": 64, "transformer_heads": 1,
        "transformer_layers": 1,
    }  # fmt: skip
    save_random_clip(path, architecture)
    outcome = generate(paper(f"models.path={path}"), Store(tmp_path))
    (sentence,) = outcome.failed.values()
    assert sentence.startswith("LAION aesthetic head: expected a map from 512 features to 1 number, ")
    assert sentence.endswith("; point models.head to the head for this CLIP.")
    assert Store(tmp_path).failures.errors() == {"das geisha seed 42": sentence}


def test_one_set_of_networks_is_held_and_its_text_tower_is_gone(paper):
    plan = paper()
    guide = guide_of(plan, plan.samples, CPU)
    same, other = paper("method=das_ag"), paper(prompts=("prompts=own", "prompts.positive={other: a cat}"))
    assert guide_of(same, same.samples, CPU) is guide
    assert guide_of(other, other.samples, CPU) is not guide
    assert len(guides._loaded) == 1
    release_guide()
    assert not guides._loaded
    image_text, _ = plan.guide.load(CPU, torch.float32)
    image_text.release_texts()
    with pytest.raises((AttributeError, TypeError)):
        image_text.encode_texts(["a cat"])
    assert guide_of(other, other.samples, CPU).text_features["a cat"].shape == (768,)


def test_missing_files_are_told_before_anything_is_loaded(compose_paper, tmp_path, clip_path):
    with pytest.raises(UserError, match=r"^CLIP \(.*nowhere\.pt\): expected a file at .*; point CLIP_MODEL_PATH to it"):
        make_plan(compose_paper(f"models.path={tmp_path / 'nowhere.pt'}"))
    with pytest.raises(
        UserError, match=r"^LAION aesthetic head \(.*\): expected a file at .*; point AESTHETIC_PREDICTOR_PATH"
    ):
        make_plan(compose_paper(f"models.path={clip_path}", f"models.head={tmp_path / 'nowhere.pth'}"))


def run_paper(start_program, folder, *arguments, **variables):
    options = {"HF_HUB_OFFLINE": "1", **variables}
    process = start_program(folder, *arguments, PAPER, *ONE_PROMPT, *SMALLER, **options)
    stdout, stderr = process.communicate(timeout=300)
    return process.returncode, stdout, stderr


@pytest.fixture(params=["published", "random"])
def heads(request, tmp_path, head_path):
    """Paths of the guide's and of the evaluator's head: the published files, and others for where these are not."""
    if request.param == "published":
        return laion_head_path(), v2_5_head_path()
    save_random_v2_5_head(tmp_path / "v2_5.pth")
    return head_path, tmp_path / "v2_5.pth"


def test_the_whole_way_to_the_table(start_program, tmp_path, clip_path, heads):
    """run.py itself, three methods: the paths come from the environment."""
    siglip, folder = save_small_siglip(tmp_path / "siglip"), tmp_path / "run"
    folder.mkdir()
    variables = {
        "CLIP_MODEL_PATH": str(clip_path),
        "AESTHETIC_PREDICTOR_PATH": str(heads[0]),
        "SIGLIP_MODEL_PATH": str(siglip),
        "AESTHETIC_PREDICTOR_V2_5_PATH": str(heads[1]),
    }
    status, stdout, stderr = run_paper(start_program, folder, "-m", "method=das,das_ag,das_rag", "steps=3", **variables)
    assert status == 0, stderr
    table = (folder / "outputs" / "paper" / "table.md").read_text(encoding="utf-8")
    assert table in stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n\n")[0].splitlines()]
    assert rows[0][-2:] == ["published mean ↑", "published std"]
    assert [(row[0], row[1], *row[-2:]) for row in rows[2:]] == [
        ("DAS", "1", "3.406", "0.230"), ("DAS-AG", "1", "3.783", "0.203"), ("DAS-rAG", "1", "2.988", "0.282"),
    ]  # fmt: skip
    assert "Aesthetic Predictor v2.5" in table
    assert "not the same digits" in table
    records, damaged = Store(folder / "outputs" / "paper").records()
    assert (len(records), damaged) == (3, [])
    assert {tuple(record.scores) for record in records} == {("aesthetic_v2_5",)}
    assert {record.sample.settings["guide"]["guide_dropout"] for record in records} == {True}
    assert {record.provenance["samples_per_batch"] for record in records} == {1}
    # Again: nothing is generated and nothing scored.
    status, stdout, _ = run_paper(start_program, folder, "-m", "method=das,das_ag,das_rag", "steps=3", **variables)
    assert status == 0
    assert stdout.count("0 generated, 1 already there") == 3
    assert "images scored" not in stdout


def test_without_an_evaluator_nothing_is_generated(start_program, tmp_path, clip_path, head_path):
    """What would fail after hours is told at once."""
    folder = tmp_path / "run"
    folder.mkdir()
    variables = {
        "CLIP_MODEL_PATH": str(clip_path), "AESTHETIC_PREDICTOR_PATH": str(head_path),
        "SIGLIP_MODEL_PATH": str(tmp_path / "nowhere"),
    }  # fmt: skip
    status, _, stderr = run_paper(start_program, folder, "method=das", "steps=1", **variables)
    assert status == 1
    assert "SigLIP: expected model.safetensors in " in stderr
    assert "SIGLIP_MODEL_PATH" in stderr
    assert not (folder / "outputs" / "paper" / "samples").exists()


def test_the_guide_is_gone_when_the_evaluator_is_loaded(paper, tmp_path, monkeypatch, compose_paper):
    """They would not fit on a small card together."""
    monkeypatch.chdir(tmp_path)
    plan = paper("steps=1", "evaluator=tiny")
    generate(plan, Store(plan.folder))
    assert guides._loaded
    held, load = [], TinyJudgeChoice.load
    monkeypatch.setattr(TinyJudgeChoice, "load", lambda *a: (held.append(dict(guides._loaded)), load(*a))[1])
    config = compose_paper("evaluator=tiny", "runtime.device=cpu", "runtime.threads=1")
    assert sweep.finish([config], 0.0) == 0
    assert held == [{}]


def test_paths_that_are_given_ask_no_network(paper, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    release_guide()
    siglip, v2_5 = save_small_siglip(tmp_path / "siglip"), tmp_path / "v2_5.pth"
    save_random_v2_5_head(v2_5)
    plan = paper(
        "steps=1",
        f"evaluator.aesthetic_v2_5.siglip_path={siglip}",
        f"evaluator.aesthetic_v2_5.head_path={v2_5}",
    )
    store = Store(tmp_path / "store")
    generate(plan, store)
    assert evaluate(store, plan.evaluators, CPU) == []
    (record,), _ = store.records()
    assert json.loads((store.root / record.folder / "scores.json").read_text())["aesthetic_v2_5"]["score"]
    with Image.open(store.root / record.image) as image:
        assert image.size == (224, 224)


def test_a_dry_run_without_weights_names_them_and_downloads_none(compose_paper, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise AssertionError(f"asks the network: {arguments}")

    for variable in (
        "CLIP_MODEL_PATH",
        "AESTHETIC_PREDICTOR_PATH",
        "SIGLIP_MODEL_PATH",
        "AESTHETIC_PREDICTOR_V2_5_PATH",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(UserError) as caught:
        make_plan(compose_paper("dry_run=true", "runtime.device=cpu"), evaluate=True)
    for name in (
        "CLIP ViT-L/14 (933 MB)",
        "LAION aesthetic head for ViT-L/14 (3.7 MB)",
        "SigLIP (3.5 GB)",
        "v2.5 head (2.6 MB)",
    ):
        assert name in str(caught.value)
