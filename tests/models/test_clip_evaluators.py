"""LAION's predictor and the CLIP score, against CLIP's own package."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from reference import find_weights, save_small_clip
from tiny_models import picture

from das_ag.errors import UserError
from das_ag.evaluation.evaluate import check_not_guide, evaluate
from das_ag.evaluation.pictures import check_without_texts
from das_ag.models.aesthetic import LaionHead, save_random_head
from das_ag.models.evaluators.clip_score import ClipScoreChoice
from das_ag.models.evaluators.laion import LaionChoice
from das_ag.models.sources import HEADS
from das_ag.report import read_scores, write_tables
from das_ag.settings.choices import choose_evaluators
from das_ag.settings.configuration import compose_config
from das_ag.store.store import Store

CPU = torch.device("cpu")
WIDE = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)
IMAGES = (WIDE, picture(1), np.full((224, 224, 3), 128, np.uint8))


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    return save_small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def head_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("head") / "head.pth"
    save_random_head(path)
    return path


def features_of(clip_path, images, texts):
    """L2-normalised features by the package alone: its loader, its transform, its tokens."""
    import clip

    model, transform = clip.load(str(clip_path), device="cpu")
    with torch.no_grad():
        pictures = model.encode_image(torch.stack([transform(Image.fromarray(image)) for image in images]))
        words = model.encode_text(clip.tokenize(texts))
    return [torch.nn.functional.normalize(rows.float(), dim=-1) for rows in (pictures, words)]


def test_the_laion_predictor_is_its_head_on_the_packages_features(clip_path, head_path):
    judge = LaionChoice("ViT-L/14", str(clip_path), str(head_path)).load(CPU)
    features, _ = features_of(clip_path, IMAGES, ["a"])
    expected = LaionHead(head_path).rate_features(features)
    np.testing.assert_allclose(judge.rate_images(IMAGES), expected.numpy(), rtol=0, atol=1e-5)
    assert judge.rate_images(IMAGES[1:])[0] == judge.rate_images(IMAGES)[1]


def test_the_clip_score_is_100_times_the_cosine_and_never_negative(clip_path):
    """Several texts: 100 times their mean cosine, as torchmetrics computes it for pairs."""
    texts = ["a red heart", "a castle at sunset", "x"]
    judge = ClipScoreChoice("ViT-B/16", str(clip_path)).load(CPU)
    pictures, words = features_of(clip_path, IMAGES, texts)
    cosines = (100 * pictures @ words.T).numpy()
    for image, row in zip(IMAGES, cosines, strict=True):
        for text, cosine in zip(texts, row, strict=True):
            assert judge.rate_with_texts(image, [text]) == pytest.approx(max(cosine, 0), abs=1e-4)
        assert judge.rate_with_texts(image, texts) == pytest.approx(max(row.mean(), 0), abs=1e-4)
    assert cosines.min() < 0 < cosines.max()  # both cases occur


def test_a_store_keeps_the_clip_scores_of_its_texts_with_their_scale(clip_path, tmp_path, sample_of, put):
    store, choice = Store(tmp_path / "outputs"), ClipScoreChoice("ViT-B/16", str(clip_path))
    texts = ("a red heart", "a blue star")
    for place, positive in enumerate([texts[:1], texts[1:], texts]):
        put(store, sample_of(f"p{place}", positive=positive), image=picture(1))
    assert evaluate(store, {"clip_score": choice}, CPU) == []
    judge = choice.load(CPU)
    for record in store.records()[0]:
        entry = record.scores["clip_score"]
        assert entry["score"] == pytest.approx(judge.rate_with_texts(picture(1), record.sample.positive))
        assert (entry["scale"], entry["title"]) == ([0.0, 100.0], "CLIP score (ViT-B/16)")
    scored = read_scores(store.root)
    table = write_tables([scored], store.root)
    assert "Score by CLIP score (ViT-B/16), which guided none of the images; scale 0–100, ↑ better." in table


def test_pictures_without_texts_are_told_before_anything_is_loaded(clip_path):
    check_without_texts({"laion": LaionChoice("ViT-L/14", None, None)})
    with pytest.raises(UserError, match=r"^evaluator=clip_score: it compares an image with its prompt"):
        check_without_texts({"clip_score": ClipScoreChoice("ViT-B/16", str(clip_path))})


def test_a_guide_does_not_give_the_clip_score_of_its_own_images(clip_path):
    choice = ClipScoreChoice("ViT-B/16", str(clip_path))
    check_not_guide("clip_score", choice, {"0" * 64})
    with pytest.raises(UserError, match=r"choose another network with evaluator\.clip_score\.name="):
        check_not_guide("clip_score", choice, set(choice.weights().values()))


def test_a_table_by_its_guide_says_so(clip_path, head_path, tmp_path, sample_of, put):
    """The CLIP alone is enough: another head on it is no other network."""
    choice = LaionChoice("ViT-L/14", str(clip_path), str(head_path))
    weights = {"clip": choice.weights()["clip"], "head": "0" * 64}
    sample = sample_of()
    store = Store(tmp_path / "outputs")
    put(store, dataclasses.replace(sample, settings={**sample.settings, "weights": weights}), image=picture(1))
    assert evaluate(store, {"laion": choice}, CPU) == []
    table = write_tables([read_scores(store.root)], store.root)
    assert table.startswith(
        "GRADED BY ITS GUIDE: LAION aesthetic predictor (ViT-L/14) also guided images of this table"
    )
    assert "guided none" not in table


def test_no_evaluator_shares_weights_with_a_guide_by_default():
    """Names decide the published files."""
    evaluators = {
        name: next(iter(choose_evaluators(compose_config([f"evaluator={name}"]).evaluator).values()))
        for name in ("clip_score", "laion", "laion_b_16")
    }
    assert {name: choice.files()["clip"].what for name, choice in evaluators.items()} == {
        "clip_score": "CLIP ViT-B/16", "laion": "CLIP ViT-L/14", "laion_b_16": "CLIP ViT-B/16",
    }  # fmt: skip
    assert evaluators["laion"].files()["head"].sha256 == HEADS["sac+logos+ava1-l14-linearMSE.pth"].sha256
    assert evaluators["laion_b_16"].files()["head"].sha256 == HEADS["sa_0_4_vit_b_16_linear.pth"].sha256


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ClipScoreChoice("ViT-B16", None), "evaluator.clip_score.name: expected one of .* did you mean 'ViT-B/16'"),
        (LaionChoice("RN50", None, None), "evaluator.laion.name: found no LAION head for RN50, expected one of ViT-L"),
        (LaionChoice("ViT-L-14", None, "/x"), "evaluator.laion.name: expected one of .* did you mean 'ViT-L/14'"),
    ],
)
def test_a_wrong_name_is_told(choice, said):
    with pytest.raises(UserError, match=said):
        choice.files()


def test_a_published_head_for_another_clip_is_told(clip_path):
    name = "sa_0_4_vit_l_14_linear.pth"
    path = find_weights(name, variable="AESTHETIC_PREDICTOR_PATH", sha256=HEADS[name].sha256)
    with pytest.raises(UserError, match=r"evaluator\.laion\.head: expected a file for ViT-B/16, got .* for ViT-L/14"):
        LaionChoice("ViT-B/16", str(clip_path), str(path)).weights()


def test_a_moved_file_keeps_its_scores(clip_path, tmp_path):
    moved = tmp_path / "moved.pt"
    moved.write_bytes(clip_path.read_bytes())
    first, second = (ClipScoreChoice("ViT-B/16", str(path)) for path in (clip_path, moved))
    assert first.digest() == second.digest()
    moved.write_bytes(clip_path.read_bytes() + b" ")
    assert first.digest() != second.digest()
