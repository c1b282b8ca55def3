"""Figures here are of transformers 5.23.0, aesthetic-predictor-v2-5 2024.12.18.1, torch 2.15.0, Pillow 13.0.0."""

import json
import shutil
import socket
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from reference import save_random_v2_5_head, save_small_siglip, v2_5_head_path
from safetensors.torch import load_file, save_file

from das_ag.errors import UserError
from das_ag.models.aesthetic_v2_5 import AestheticV25, combined_digest, prepare
from das_ag.models.sources import V2_5_SHA256
from das_ag.models.weights import sha256_of

LINEAR = (0, 2, 4, 6, 8)
"""Places of the linear layers in the head; dropout stands between."""


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    return save_small_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    return save_random_v2_5_head(tmp_path_factory.mktemp("head") / "head.pth")


@pytest.fixture(scope="module")
def model(siglip, head):
    return AestheticV25(siglip, head)


@pytest.fixture
def other_siglip(tmp_path, siglip):
    """A copy to be spoilt."""
    return shutil.copytree(siglip, tmp_path / "siglip")


def pictures():
    """A gradient, a noisy checkerboard and smooth blobs, of three shapes."""
    noise = np.random.default_rng(0).normal(0, 20, (512, 512, 3))
    y, x = np.mgrid[:300, :200]
    gradient = np.stack([x * 255 / 199, y * 255 / 299, (x + y) * 255 / 498], axis=-1)
    y, x = np.mgrid[:512, :512]
    checkerboard = ((x // 32 + y // 32) % 2 * 200)[..., None] + noise
    y, x = np.mgrid[:240, :500]
    blobs = [(120, 90, 60), (300, 140, 90), (420, 60, 120)]
    smooth = [255 * np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * size**2)) for across, down, size in blobs]
    return [image.clip(0, 255).astype(np.uint8) for image in (gradient, checkerboard, np.stack(smooth, axis=-1))]


def affine_map(path):
    """w and b of a head, the product of its matrices in float64."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    weight, bias = torch.eye(1152, dtype=torch.float64), torch.zeros(1152, dtype=torch.float64)
    for layer in LINEAR:
        matrix, offset = (state[f"scoring_head.{layer}.{kind}"].double() for kind in ("weight", "bias"))
        weight, bias = matrix @ weight, matrix @ bias + offset
    return weight[0], bias[0]


def scores_of_the_package(siglip, head, images):
    """Scores as the package's own description says to compute them."""
    from aesthetic_predictor_v2_5 import convert_v2_5_from_siglip

    with torch.random.fork_rng(devices=[]):
        theirs, processor = convert_v2_5_from_siglip(str(head), str(siglip))
    pixels = [processor(images=Image.fromarray(image), return_tensors="pt").pixel_values for image in images]
    with torch.inference_mode():
        return np.array([theirs(one, return_dict=True).logits.item() for one in pixels])


def test_the_published_head_is_one_affine_map():
    weight, bias = affine_map(v2_5_head_path())
    assert weight.norm().item() == pytest.approx(25.45, abs=0.01)
    assert bias.item() == pytest.approx(1.939, abs=0.001)


@pytest.mark.parametrize("which", ["published", "random"])
def test_scores_equal_those_of_the_package(siglip, head, which):
    """Up to 1.4e-4 apart, since its processor resizes with torchvision; fed with our pixels it gives our scores."""
    path = v2_5_head_path() if which == "published" else head
    ours = AestheticV25(siglip, path).rate_images(pictures())
    np.testing.assert_allclose(ours, scores_of_the_package(siglip, path, pictures()), rtol=0, atol=1e-3)
    assert np.abs(np.subtract.outer(ours, ours)[np.triu_indices(3, 1)]).min() > 0.1


def test_scores_are_the_affine_map_of_siglips_pooled_output(siglip, head, model):
    """Read by SigLIP's own class, so that weights which the package failed to load would show."""
    from transformers import SiglipModel

    with torch.random.fork_rng(devices=[]):
        eyes = SiglipModel.from_pretrained(siglip).vision_model.eval()
    weight, bias = affine_map(head)
    with torch.inference_mode():
        pooled = torch.cat([eyes(prepare(image, 384)).pooler_output for image in pictures()]).double()
    expected = pooled @ weight / pooled.norm(dim=-1) + bias
    np.testing.assert_allclose(model.rate_images(pictures()), expected.numpy(), rtol=0, atol=1e-4)


def test_pixels_equal_those_of_the_packages_processor_on_pillow(siglip):
    """Which is what it used when the predictor was published; that on torchvision differs by up to 2 of 255."""
    from aesthetic_predictor_v2_5 import AestheticPredictorV2_5Processor

    try:
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil as OnPillow
    except ImportError:  # transformers 4
        from transformers import SiglipImageProcessor as OnPillow
    on_torchvision = AestheticPredictorV2_5Processor.from_pretrained(siglip)
    on_pillow = OnPillow.from_pretrained(siglip)
    for image in pictures():
        ours, pil = prepare(image, 384), Image.fromarray(image)
        expected = torch.as_tensor(on_pillow(images=pil, return_tensors="pt").pixel_values)
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)
        theirs = on_torchvision(images=pil, return_tensors="pt").pixel_values
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2.01 / 127.5)
        assert (ours - theirs).abs().mean() < 0.01 / 127.5


@pytest.mark.parametrize(
    ("size_px", "place", "expected"),
    [
        (4, (0, 0), [70, 148, 101, 147]),
        (4, (1, 2), [137, 117, 125, 149]),
        (4, (2, 3), [117, 145, 163, 141]),
        (12, (0, 0), [0, 35, 80, 122, 177, 216, 12, 35, 83, 136, 194, 232]),
        (12, (1, 6), [227, 63, 81, 159, 135, 40, 148, 180, 98, 84, 162, 185]),
        (12, (2, 11), [157, 20, 62, 199, 233, 120, 237, 107, 170, 163, 86, 210]),
    ],
)
def test_prepared_pixels_are_those_recorded(size_px, place, expected):
    """Rows (channel, y) that Pillow 13.0.0 computed, of 255; a library that resizes otherwise would change scores."""
    y, x, channel = np.mgrid[:7, :10, :3]
    image = ((37 * y + 53 * x + 91 * channel + 11 * x * y) % 256).astype(np.uint8)
    pixels = prepare(image, size_px)
    assert (pixels.shape, pixels.dtype) == ((1, 3, size_px, size_px), torch.float32)
    expected = torch.tensor(expected) / 127.5 - 1
    torch.testing.assert_close(pixels[0][place], expected, rtol=0, atol=1e-6)


def test_prepared_pixels_reach_from_minus_one_to_one():
    for level, expected in ((0, -1.0), (255, 1.0)):
        pixels = prepare(np.full((5, 9, 3), level, dtype=np.uint8), 8)
        assert torch.equal(pixels, torch.full((1, 3, 8, 8), expected))


def test_an_image_has_its_score_in_any_company(model):
    a, b, c = pictures()
    alone = [model.rate_images([image]).item() for image in (a, b, c)]
    assert model.rate_images([a, b, c]).tolist() == alone
    assert model.rate_images([c, a, b, a]).tolist() == [alone[2], alone[0], alone[1], alone[0]]


def test_scores_are_float32_one_for_each_image(model):
    for n in (0, 1, 3):
        scores = model.rate_images(pictures()[:n])
        assert (scores.shape, scores.dtype) == ((n,), np.float32)
    assert model.image_size_px == 384


def test_both_kernels_of_torch_give_the_same_scores(siglip, head, model):
    """5e-7 apart."""
    plain = AestheticV25(siglip, head, attention="math").rate_images(pictures())
    np.testing.assert_allclose(plain, model.rate_images(pictures()), rtol=0, atol=1e-5)


def test_bfloat16_gives_nearly_the_same_scores(siglip):
    """Up to 0.011 apart with the published head, which multiplies features of three digits by 25."""
    path = v2_5_head_path()
    exact = AestheticV25(siglip, path).rate_images(pictures())
    rounded = AestheticV25(siglip, path, dtype=torch.bfloat16).rate_images(pictures())
    np.testing.assert_allclose(rounded, exact, rtol=0, atol=0.05)
    assert (rounded != exact).all()


def test_loading_draws_no_random_number(siglip, head):
    before = torch.get_rng_state()
    model = AestheticV25(siglip, head)
    model.rate_images(pictures()[:1])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_model_is_frozen(model):
    assert not any(module.training for module in model._model.modules())
    assert not any(weight.requires_grad for weight in model._model.parameters())


def test_loading_and_rating_ask_no_network(monkeypatch, siglip, head):
    asked = []

    def refuse(*arguments, **_):
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    AestheticV25(siglip, head).rate_images(pictures()[:1])
    assert asked == []


def test_the_digest_tells_which_weights_rate(siglip, head, model):
    path = v2_5_head_path()
    published = AestheticV25(siglip, path).digest
    weights = sha256_of(siglip / "model.safetensors")
    assert published == combined_digest(weights, V2_5_SHA256)
    assert model.digest == combined_digest(weights, sha256_of(head))
    assert len({published, model.digest, combined_digest(V2_5_SHA256, weights)}) == 3


def test_missing_head(tmp_path, siglip):
    with pytest.raises(
        UserError,
        match=r"^Aesthetic Predictor v2\.5 head: expected a file at .*nowhere\.pth, found none; .*AESTHETIC_PREDICTOR",
    ):
        AestheticV25(siglip, tmp_path / "nowhere.pth")


def test_a_head_for_other_features(tmp_path, siglip):
    """The LAION head has 768 inputs and otherwise the same layers."""
    path = save_random_v2_5_head(tmp_path / "laion.pth", inputs=768)
    with pytest.raises(
        UserError, match=r"^Aesthetic P.*: expected layers of \[\(1024, 1152\), .* in .*laion\.pth, got \[\(1024, 768\)"
    ):
        AestheticV25(siglip, path)


@pytest.mark.parametrize("kept", [0, 500, 100_000])
def test_truncated_head(tmp_path, siglip, head, kept):
    path = tmp_path / "short.pth"
    path.write_bytes(head.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^Aesthetic Predictor v2\.5 head: cannot read .*short\.pth as a state dict"):
        AestheticV25(siglip, path)


@pytest.mark.parametrize("state", [{}, {"conv.weight": torch.zeros(3)}], ids=["nothing", "a convolution"])
def test_another_networks_weights_as_head(tmp_path, siglip, state):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"^Aesthetic Predictor v2\.5 head: .*, got (none|\[\(3,\)\])\. The file is"):
        AestheticV25(siglip, tmp_path / "other.pth")


@pytest.mark.parametrize("change", ["another prefix", "no biases"])
def test_a_head_whose_weights_have_other_names(tmp_path, siglip, head, change):
    """The message must not blame SigLIP."""
    state = torch.load(head, weights_only=True)
    for name in list(state):
        weight = state.pop(name)
        if change == "another prefix":
            state[name.replace("scoring_head.", "layers.")] = weight
        elif name.endswith(".weight"):
            state[name] = weight
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"^Aesthetic Predictor v2\.5 head: .*other\.pth"):
        AestheticV25(siglip, tmp_path / "other.pth")


def test_missing_siglip(tmp_path, head):
    with pytest.raises(UserError, match=r"^SigLIP: expected .*nowhere.*, found none; .*SIGLIP_MODEL_PATH"):
        AestheticV25(tmp_path / "nowhere", head)


def test_a_siglip_of_other_features(tmp_path, head):
    folder = save_small_siglip(tmp_path / "base", hidden=768)
    with pytest.raises(UserError, match=r"^SigLIP: expected 1152 features in .*base, got 768; point SIGLIP_MO"):
        AestheticV25(folder, head)


@pytest.mark.parametrize("kept", [0, 7, 1000, 1_000_000])
def test_truncated_siglip(other_siglip, head, kept):
    file = other_siglip / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"^SigLIP: transformers cannot load the checkpoint in .*siglip \(“"):
        AestheticV25(other_siglip, head)


def test_another_networks_weights_as_siglip(other_siglip, head):
    save_file({"conv.weight": torch.zeros(3)}, other_siglip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"^SigLIP: expected 1152 features in .*, got another network; point SIGLIP_MODEL"
    ):
        AestheticV25(other_siglip, head)


@pytest.mark.parametrize("lost", ["vision_model.embeddings.position_embedding.weight", "vision_model.head.probe"])
def test_a_siglip_without_one_of_its_weights(other_siglip, head, lost):
    """transformers would make it up and say nothing."""
    state = load_file(other_siglip / "model.safetensors")
    del state[lost]
    save_file(state, other_siglip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"^SigLIP: "):
        AestheticV25(other_siglip, head)


def test_a_siglip_of_fewer_layers_than_its_configuration_says(other_siglip, head):
    config = json.loads((other_siglip / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (other_siglip / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"^SigLIP: "):
        AestheticV25(other_siglip, head)


def test_a_siglip_without_its_configuration(other_siglip, head):
    (other_siglip / "config.json").unlink()
    with pytest.raises(UserError, match=r"^SigLIP: transformers cannot load the checkpoint in .*siglip \(“"):
        AestheticV25(other_siglip, head)


def test_a_siglip_with_a_weight_that_is_no_number(other_siglip, head):
    state = load_file(other_siglip / "model.safetensors")
    state["vision_model.post_layernorm.bias"][3] = float("nan")
    save_file(state, other_siglip / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"^SigLIP: expected finite weights in .*, got NaN .* post_layernorm\.bias"):
        AestheticV25(other_siglip, head)


def image_tower(siglip):
    from transformers import SiglipVisionModel

    with torch.random.fork_rng(devices=[]):
        read = SiglipVisionModel.from_pretrained(siglip)
        new = SiglipVisionModel(read.config)  # a model that was read is written with the names of its file
    new.load_state_dict(read.state_dict())
    return new


@pytest.mark.parametrize("options", [{}, {"max_shard_size": "20MB"}], ids=["one file", "several files"])
def test_an_image_tower_as_transformers_writes_it_today(tmp_path, siglip, head, model, options):
    """From version 5.6 on, the names in its file have no prefix."""
    image_tower(siglip).save_pretrained(tmp_path, **options)
    files = len(list(tmp_path.glob("*.safetensors")))
    assert files == 1 if not options else files > 1
    np.testing.assert_allclose(
        AestheticV25(tmp_path, head).rate_images(pictures()), model.rate_images(pictures()), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_an_image_tower_of_any_version_of_transformers(tmp_path, siglip, head, model, file, prefix):
    tower = image_tower(siglip)
    tower.config.save_pretrained(tmp_path)
    names = {name: name.removeprefix("vision_model.") for name in tower.state_dict()}
    state = {f"{prefix}{names[name]}": weight for name, weight in tower.state_dict().items()}
    if file.endswith(".bin"):
        torch.save(state, tmp_path / file)
    else:
        save_file(state, tmp_path / file, metadata={"format": "pt"})
    np.testing.assert_allclose(
        AestheticV25(tmp_path, head).rate_images(pictures()), model.rate_images(pictures()), rtol=0, atol=1e-5
    )


def test_a_siglip_that_does_not_fit_its_configuration(other_siglip, head):
    config = json.loads((other_siglip / "config.json").read_text())
    config["vision_config"]["intermediate_size"] = 32
    (other_siglip / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"^SigLIP: transformers cannot load the checkpoint in .*siglip \(“"):
        AestheticV25(other_siglip, head)


def test_without_the_package(monkeypatch, siglip, head):
    monkeypatch.setitem(sys.modules, "aesthetic_predictor_v2_5", None)
    with pytest.raises(UserError, match=r"cannot import the package aesthetic-predictor-v2-5 .* uv sync --extra paper"):
        AestheticV25(siglip, head)
