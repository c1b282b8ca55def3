"""experiment=laptop on small random CLIPs and the real linear heads, and what is said about weights that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from reference import find_weights

from das_ag.errors import UserError
from das_ag.evaluation.evaluate import check_not_guide, evaluate
from das_ag.generation.generate import generate
from das_ag.generation.guide import release_guide
from das_ag.models.clip import save_random_clip
from das_ag.models.sources import HEADS
from das_ag.report import write_report
from das_ag.settings.choices import choose_guide
from das_ag.settings.configuration import compose_config
from das_ag.settings.plan import make_plan
from das_ag.store.command import overrides_of
from das_ag.store.store import Store

CPU = torch.device("cpu")
LAPTOP = "experiment=laptop"
FAST = (
    "steps=2", "canvas_px=48", "views.count=1", "views.max_shift_px=4", "runtime.device=cpu", "runtime.threads=1",
)  # fmt: skip
SMALL = {
    "embed_dim": 512, "image_resolution": 224, "vision_layers": 2, "vision_width": 64, "vision_patch_size": 32,
    "context_length": 77, "vocab_size": 49408, "transformer_width": 64, "transformer_heads": 1, "transformer_layers": 2,
}  # fmt: skip
"""A ViT-B/32 with fewer and narrower layers; with 512 features, as its head expects."""
SMALL_RESNET = SMALL | {
    "embed_dim": 64, "image_resolution": 64, "vision_layers": (1, 1, 1, 1), "vision_width": 16,
    "vision_patch_size": None,
}  # fmt: skip


def head(name):
    return find_weights(name, variable="AESTHETIC_PREDICTOR_PATH_VIT_B_32", sha256=HEADS[name].sha256)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Guide, evaluator and ResNet."""
    folder = tmp_path_factory.mktemp("clips")
    files = {}
    for seed, (name, architecture) in enumerate({"guide": SMALL, "judge": SMALL, "resnet": SMALL_RESNET}.items()):
        files[name] = folder / f"{name}.pt"
        save_random_clip(files[name], architecture, seed)
    yield files
    release_guide()


@pytest.fixture
def plan_of(paths):
    def plan_of(*overrides, guide="guide"):
        files = f"models.path={paths[guide]}", f"evaluator.laion.path={paths['judge']}"
        return make_plan(compose_config([LAPTOP, *FAST, *files, *overrides]))

    return plan_of


def test_settings_suit_a_processor_and_the_evaluator_is_another_network():
    config = compose_config([LAPTOP])
    assert 224 <= config.canvas_px - 2 * config.views.max_shift_px <= 288
    assert (config.gamut, config.steps, config.views.count) == ("decorrelated", 120, 4)
    assert (config.models.name, config.evaluator.laion.name) == ("ViT-B/32", "ViT-B/16")
    assert config.runtime.checkpoint_steps == 20
    assert len(config.prompts.positive) == 6


@pytest.mark.parametrize("evaluator", ["laion", "clip_score", "aesthetic_v2_5", "imagenet"])
def test_another_evaluator_takes_the_place_of_the_default(evaluator):
    assert list(compose_config([LAPTOP, f"evaluator={evaluator}"]).evaluator) == [evaluator]


def test_the_linear_head_pulls_as_hard_as_the_published_one():
    """The end of the weight times the norm of the head's map, which is 18.0 for the published head (test_aesthetic)."""
    weight = torch.load(head("sa_0_4_vit_b_32_linear.pth"), weights_only=True)["weight"]
    end = compose_config([LAPTOP]).objective.aesthetic.end
    published = compose_config(["experiment=paper"]).objective.aesthetic.end
    assert end * weight.norm().item() == pytest.approx(published * 18.0, rel=0.05)


def test_from_the_texts_to_the_table(plan_of, tmp_path):
    guide_head, judge_head = (head(f"sa_0_4_vit_b_{patch}_linear.pth") for patch in (32, 16))
    heads = [f"models.head={guide_head}", f"evaluator.laion.head={judge_head}"]
    store = Store(tmp_path)
    for method in ("das", "das_ag", "das_rag"):
        plan = plan_of(f"method={method}", *heads)
        check_not_guide("laion", plan.evaluators["laion"], plan.samples[0].settings["weights"].values())
        assert plan.samples[0].settings["weights"]["head"] == HEADS["sa_0_4_vit_b_32_linear.pth"].sha256
        assert generate(plan, store).made == 6
    assert evaluate(store, plan.evaluators, CPU) == []
    table, told = write_report(tmp_path)
    assert told == []
    records, _ = store.records()
    assert len(records) == 18
    assert all(np.ptp(store.read_image(record.image)) > 0 for record in records)
    assert all(record.scores["laion"]["weights"]["head"].startswith("8ad3923d") for record in records)
    for row in ("| DAS    ", "| DAS-AG ", "| DAS-rAG "):
        assert row in table
    assert "Score by LAION aesthetic predictor (ViT-B/16), which guided none of the images; scale 1–10" in table
    trace = (tmp_path / records[0].folder / "trace.csv").read_text().splitlines()
    assert len(trace) == 3  # heading and two steps


def test_a_sample_says_which_clip_guided_it(plan_of):
    """So that it can be made again where the published weights are; samples of the published experiment record none."""
    heads = [f"models.head={head('sa_0_4_vit_b_32_linear.pth')}"]
    (sample, *_) = plan_of("method=das_ag", *heads).samples
    overrides = overrides_of(sample)
    assert 'models.name="ViT-B/32"' in overrides
    config = compose_config([LAPTOP, *overrides])
    assert (config.models.name, config.models.head) == ("ViT-B/32", None)
    guide = choose_guide(compose_config(["experiment=paper"]).models)
    assert guide.identity() == {"family": "openai_clip", "attention": "sdpa", "guide_dropout": True}
    other = dataclasses.replace(guide, head="sa_0_4_vit_l_14_linear.pth")
    assert other.identity() == guide.identity() | {"head": "sa_0_4_vit_l_14_linear.pth"}


def test_a_resnet_guides_das_and_has_no_head_for_the_others(plan_of, tmp_path):
    plan = plan_of("models.name=RN50", "~prompts.positive.tiger", guide="resnet")
    assert plan.samples[0].settings["weights"].keys() == {"clip"}
    assert generate(plan, Store(tmp_path)).made == 5
    for method in ("das_ag", "das_rag"):
        with pytest.raises(
            UserError,
            match=r"^method: this guide has no quality head, so it supports only das; use [^.]*\.head=path\.$",
        ):
            plan_of("models.name=RN50", f"method={method}", guide="resnet")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-32", "did you mean 'ViT-B/32'"),
        ("vit-b/32", "did you mean 'ViT-B/32'"),
        ("RN5O", "did you mean 'RN50'"),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_the_nearest(name, said):
    with pytest.raises(UserError, match=rf"^models\.name: expected one of .*{said}"):
        make_plan(compose_config([LAPTOP, *FAST, f"models.name={name}"]))


def test_weights_that_do_not_fit_are_told_and_finished_images_stay(plan_of, paths, tmp_path):
    store = Store(tmp_path / "outputs")
    real = head("sa_0_4_vit_b_32_linear.pth")
    one = ("prompts=own", "prompts.positive={mine: a tiger}")
    assert generate(plan_of(*one, f"models.head={real}"), store).made == 1
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    wide = tmp_path / "wide.pth"
    torch.save({"weight": torch.zeros(1, 640), "bias": torch.zeros(1)}, wide)
    with pytest.raises(
        UserError, match=r"^models\.head: expected a file for ViT-B/32, got the published one for ViT-L/14"
    ):
        plan_of(*one, "method=das_ag", f"models.head={head('sa_0_4_vit_l_14_linear.pth')}")
    for overrides, said in (
        ([f"models.head={wide}"], "LAION aesthetic head: expected a map from 512 features to 1 number"),
        ([f"models.head={real}", f"models.path={real}"], "CLIP: expected a checkpoint of OpenAI's CLIP in "),
    ):
        (error,) = generate(plan_of(*one, "method=das_ag", *overrides), store).failed.values()
        assert error.startswith(said)
        assert "\n" not in error
    assert {path: path.read_bytes() for path in before} == before
