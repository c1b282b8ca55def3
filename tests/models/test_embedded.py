import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from reference import SMALL_TOWERS
from torch.nn import functional as F

from das_ag.errors import UserError
from das_ag.models import embedded
from das_ag.models.embedded import (
    MAX_WORDS,
    Architecture,
    EmbeddedGuide,
    EmbeddedJudge,
    Towers,
    WordTokenizer,
    digest,
    load_tokenizer,
    load_towers,
    save,
)
from das_ag.models.towers import fold_normalisation
from das_ag.training.assessment import assess

WORDS = ("a", "above", "background", "blue", "circle", "on", "red", "ring")
ROLES = ("guide", "judge")
SMALL = {role: Architecture(tower, options, 16, WORDS) for role, (tower, options) in SMALL_TOWERS.items()}


def make_towers(role):
    """Small towers with random weights, whose normalisation has seen some pictures and has weights of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        towers = Towers(SMALL[role])
        for module in towers.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 2)
                torch.nn.init.normal_(module.bias)
        for _ in range(3):
            towers.encode_images(torch.randn(8, 3, 64, 64) * 2 + 1)
    return towers.eval().requires_grad_(False)


def random_pixels(n=3):
    return torch.randn(n, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def random_image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def guide():
    return EmbeddedGuide()


@pytest.fixture(scope="module")
def judge():
    return EmbeddedJudge()


@pytest.fixture
def copied(tmp_path):
    """The package's own files of weights, to be spoilt."""
    for path in embedded.DATA.glob("*.*"):
        shutil.copyfile(path, tmp_path / path.name)
    return tmp_path


@pytest.mark.parametrize("role", ROLES)
def test_folding_normalisation_keeps_the_function(role):
    tower = make_towers(role).image
    before = tower(random_pixels())
    folded = fold_normalisation(tower)
    torch.testing.assert_close(folded(random_pixels()), before, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert torch.equal(tower(random_pixels()), before)  # the original is left as it was


@pytest.mark.parametrize("role", ROLES)
def test_saved_weights_come_back_rounded_to_float16(tmp_path, role):
    towers = make_towers(role)
    path = save(towers, role, tmp_path)
    loaded = load_towers(role, tmp_path)
    expected = make_towers(role)
    expected.image = fold_normalisation(expected.image)
    state = expected.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    for name, weight in loaded.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, state[name].half().float()), name
    expected.load_state_dict({name: weight.half().float() for name, weight in state.items()})
    texts = ["a red circle", "a blue ring on a red background"]
    features = loaded.encode_images(random_pixels())
    torch.testing.assert_close(features, expected.encode_images(random_pixels()), rtol=0, atol=1e-5)
    torch.testing.assert_close(loaded.encode_texts(texts), expected.encode_texts(texts), rtol=0, atol=1e-5)
    torch.testing.assert_close(loaded.rate_features(features), expected.rate_features(features), rtol=0, atol=1e-5)
    assert digest(role, tmp_path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("role", ROLES)
def test_what_was_saved_stays_close_to_what_was_trained(tmp_path, role):
    towers = make_towers(role)
    save(towers, role, tmp_path)
    loaded = load_towers(role, tmp_path)
    similarity = (loaded.encode_images(random_pixels()) * towers.encode_images(random_pixels())).sum(dim=-1)
    assert similarity.min() > 0.9999


def test_both_roles_can_be_saved_into_one_folder(tmp_path):
    for role in ROLES:
        save(make_towers(role), role, tmp_path)
    checksums = json.loads((tmp_path / "checksums.json").read_text())
    assert checksums == {f"{role}.safetensors": digest(role, tmp_path) for role in ROLES}
    assert load_tokenizer("judge", tmp_path).vocabulary == WORDS


@pytest.mark.parametrize("role", ROLES)
def test_loaded_towers_are_frozen(tmp_path, role):
    save(make_towers(role).requires_grad_(True).train(), role, tmp_path)
    loaded = load_towers(role, tmp_path)
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert not any(module.training for module in loaded.modules())


@pytest.mark.parametrize("role", ROLES)
def test_loading_draws_no_random_number(tmp_path, role):
    save(make_towers(role), role, tmp_path)
    before = torch.get_rng_state()
    load_towers(role, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("role", ROLES)
def test_altered_file(copied, role):
    path = copied / f"{role}.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"^embedded {role}: expected SHA-256 [0-9a-f]{{16}}… of {path.name}"):
        load_towers(role, copied)


@pytest.mark.parametrize("kept", [0, 1000, -1])
def test_truncated_file(copied, kept):
    path = copied / "guide.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^embedded guide: .*the file is truncated, altered or another one; reinstall"):
        EmbeddedGuide(copied)


def test_missing_file(copied):
    (copied / "judge.safetensors").unlink()
    with pytest.raises(UserError, match=r"^embedded judge: expected a file at .*judge\.safetensors, found none"):
        EmbeddedJudge(copied)


def test_a_folder_without_any_file(tmp_path):
    with pytest.raises(UserError, match=r"^embedded guide: expected"):
        EmbeddedGuide(tmp_path)


def test_a_file_whose_checksum_is_not_listed(copied):
    """It could hold anything."""
    (copied / "checksums.json").write_text("{}")
    with pytest.raises(UserError, match=r"^embedded guide: expected"):
        EmbeddedGuide(copied)


def test_words_become_tokens():
    tokenizer = WordTokenizer(WORDS)
    tokens = tokenizer(["A red, RED circle!", "a ring", "ring sparkling blue"])
    # places in WORDS counted from 1; 0 behind the last word; an unknown word leaves no gap
    assert tokens.tolist() == [[1, 7, 7, 5], [1, 8, 0, 0], [8, 4, 0, 0]]


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("a red circle on a blue background", ()),
        ("a Red circle, above a BLUE ring.", ()),
        ("a red circle with sparkles", ("with", "sparkles")),
        ("een rode cirkel", ("een", "rode", "cirkel")),
        ("ein schöner Ring", ("ein", "schöner")),
        ("3 red circle 42 on 7 blue background", ("3", "42", "7")),
        ("a 2nd red2blue circle_ring of 1.5 px", ("2", "nd", "2", "of", "1", "5", "px")),
        ("a red ❤\ufe0f + 心, ½ $ of “it” (a ring) – 'on' #a: blue!", ("❤", "+", "心", "½", "$", "of", "it")),
        ("", ()),
        ("red " * MAX_WORDS, ()),
        ("red " * MAX_WORDS + "circle ring", ("circle", "ring")),
        ("red " * MAX_WORDS + "circle with ring", ("with", "circle", "ring")),
    ],
)
def test_lost_words(text, lost):
    assert WordTokenizer(WORDS).lost_words(text) == lost


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a red circle on a blue background", ("red", "circle", "blue")),
        ("a ring above a circle", ("ring", "above", "circle")),
        ("a picture on a background", ()),
        ("a sparkling thing", ()),
        ("", ()),
    ],
)
def test_content_words(text, content):
    assert WordTokenizer(WORDS).content_words(text) == content


def test_words_that_are_lost_do_not_change_the_features():
    towers = make_towers("guide")
    known, more = towers.encode_texts(["a red circle"]), towers.encode_texts(["a red sparkling circle"])
    assert torch.equal(known, more)
    assert torch.equal(known, towers.encode_texts(["4 a 1red 22 circle ❤ 7"]))
    full = "red " * MAX_WORDS
    assert torch.equal(towers.encode_texts([full]), towers.encode_texts([full + "circle ring"]))


def test_padding_does_not_change_a_texts_features():
    towers = make_towers("judge")
    alone = towers.encode_texts(["a ring"])
    beside = towers.encode_texts(["a ring", "a red circle on a blue background"])[:1]
    torch.testing.assert_close(alone, beside, rtol=0, atol=1e-6)


def test_the_order_of_words_changes_the_features():
    a, b = make_towers("guide").encode_texts(["a red circle on blue", "a blue circle on red"])
    assert (a - b).norm() > 1e-3


def test_guide_knows_its_words(guide):
    assert guide.lost_words("a photorealistic red circle") == ("photorealistic",)
    assert load_tokenizer("guide").content_words("a photorealistic red circle") == ("red", "circle")


def test_guide_features_have_length_one_and_one_dimension(guide):
    images = guide.encode_images(random_pixels())
    texts = guide.encode_texts(["a red circle", "a blue ring on a white background"])
    assert images.shape[1] == texts.shape[1]
    for features in (images, texts):
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(features)), rtol=0, atol=1e-5)


def test_gradient_flows_to_the_image(guide):
    pixels = random_pixels(2).requires_grad_()
    features = guide.encode_images(pixels)
    text = guide.encode_texts(["a red circle"])
    assert not text.requires_grad
    similarity, rating = (features @ text[0]).sum(), guide.rate_features(features).sum()
    for value in (similarity, rating):
        (gradient,) = torch.autograd.grad(value, pixels, retain_graph=True)
        assert gradient.isfinite().all()
        # every picture, channel and quarter of the picture counts
        assert (F.adaptive_avg_pool2d(gradient.abs(), 2) > 0).all()


def test_climbing_the_gradient_raises_the_similarity(guide):
    pixels, text = random_pixels(1).requires_grad_(), guide.encode_texts(["a red circle"])[0]
    before = guide.encode_images(pixels)[0] @ text
    (gradient,) = torch.autograd.grad(before, pixels)
    after = guide.encode_images(pixels + 0.5 * gradient / gradient.norm())[0] @ text
    # to first order the similarity grows by step times the gradient's length
    assert (after - before).item() == pytest.approx(0.5 * gradient.norm().item(), rel=0.3)


def test_judge_gives_an_image_the_same_score_alone_and_among_others(judge):
    images = [random_image(64, 64, 1), random_image(448, 448, 2), random_image(31, 57, 3), random_image(1, 1, 4)]
    together = judge.rate_images(images)
    assert together.dtype == np.float32
    assert together.shape == (4,)
    assert together.tolist() == [judge.rate_images([image])[0] for image in images]
    assert judge.rate_images(images[::-1]).tolist() == together.tolist()[::-1]
    assert judge.rate_images([]).shape == (0,)


def test_judge_sees_a_plain_picture_the_same_at_every_size(judge):
    small, large = (np.full((*size, 3), (200, 30, 40), dtype=np.uint8) for size in ((64, 64), (225, 31)))
    torch.testing.assert_close(judge.features(small), judge.features(large), rtol=0, atol=1e-6)


def test_judge_names_the_caption_that_its_features_are_closest_to(judge):
    image, captions = random_image(64, 64), ["a red circle", "a blue ring", "a black star on a white background"]
    similarity = judge.features(image) @ load_towers("judge").encode_texts(captions).T
    assert judge.name_image(image, captions) == similarity.argmax().item()


def test_guide_and_judge_share_nothing():
    """No weight of one stands in the other, whatever its name."""

    def weights(role):
        state = load_towers(role).state_dict()
        return {(tuple(w.shape), w.contiguous().numpy().tobytes()): name for name, w in state.items() if w.numel() > 1}

    guide, judge = weights("guide"), weights("judge")
    assert guide
    assert judge
    assert [(guide[key], judge[key]) for key in guide.keys() & judge.keys()] == []
    assert digest("guide") != digest("judge")


@pytest.mark.parametrize("role", ROLES)
def test_the_package_holds_the_files_that_its_checksums_name(role):
    listed = json.loads((embedded.DATA / "checksums.json").read_text())[f"{role}.safetensors"]
    assert digest(role) == listed


@pytest.mark.parametrize("role", ROLES)
def test_zero_shot_accuracy_and_rank_correlation(role):
    """400 unseen scenes; chance is 1 in 10 shapes, 1 in 12 colours and grounds, and no correlation."""
    figures = assess(load_towers(role), n=400)
    assert min(figures["shape"], figures["colour"], figures["background"]) >= 0.95, figures
    assert figures["rating"] >= 0.9, figures
