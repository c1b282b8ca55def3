import json

import pytest
import torch
from safetensors.torch import save_file

from das_ag.errors import UserError
from das_ag.models.classifier import PACKAGED
from das_ag.models.quality import FORMAT, QualityHead, packaged_head, save_head
from das_ag.models.weights import sha256_of

WIDTH = 1280
"""Of the pooled features of both packaged networks."""
ABOUT = {"network": "made_up", "network_digest": "ab" * 32, "photos": 3}


@pytest.fixture
def path(tmp_path):
    save_head(tmp_path / "head.safetensors", torch.tensor([1.0, -2.0, 0.5]), torch.tensor(7.0), ABOUT)
    return tmp_path / "head.safetensors"


def refusal(path, digest="ab" * 32):
    with pytest.raises(UserError) as refused:
        QualityHead(path, digest)
    message = str(refused.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_rates_by_weight_and_bias(path):
    head = QualityHead(path, "ab" * 32)
    features = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]])
    assert head.rate_features(features).tolist() == [7.0, 7 + 1 - 4 + 2]
    assert head.rate_features(features[:1]).shape == (1,)
    assert head.dropout == ()
    assert head.digest == sha256_of(path)
    assert head.about == {"format": FORMAT, **ABOUT}


def test_is_differentiable_in_the_features(path):
    features = torch.zeros(2, 3, requires_grad=True)
    QualityHead(path, "ab" * 32).rate_features(features).sum().backward()
    assert features.grad.tolist() == [[1.0, -2.0, 0.5]] * 2


def test_equal_heads_have_equal_bytes(path, tmp_path):
    for attempt in range(8):
        again = tmp_path / f"{attempt}.safetensors"
        save_head(again, torch.tensor([1.0, -2.0, 0.5]), torch.tensor(7.0), dict(reversed(ABOUT.items())))
        assert again.read_bytes() == path.read_bytes()


def test_a_failed_save_keeps_the_file_that_exists(path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_head(path, torch.ones(3), torch.tensor(0.0), {**ABOUT, "kinds": object()})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_refuses_the_head_of_another_network(path):
    message = refusal(path, digest="cd" * 32)
    assert "expected a head for the network with SHA-256 cdcdcdcdcdcdcdcd…, got a head for made_up" in message
    assert "scripts/train_quality_head.py" in message


def test_refuses_a_missing_file(tmp_path):
    assert "found none" in refusal(tmp_path / "none.safetensors")


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_refuses_a_damaged_file(path, cut):
    path.write_bytes(path.read_bytes()[:cut])
    assert "cannot read weight, bias and metadata" in refusal(path)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        (torch.ones(1, 3), torch.tensor(0.0)),
        (torch.ones(3), torch.zeros(1)),
        (torch.tensor([1.0, float("nan")]), torch.tensor(0.0)),
    ],
)
def test_refuses_tensors_of_another_kind(path, weight, bias):
    about = {"quality_head": json.dumps({"format": FORMAT, **ABOUT})}
    save_file({"weight": weight, "bias": bias}, path, about)
    assert "expected one finite weight for each feature and one finite bias" in refusal(path)


@pytest.mark.parametrize(
    "metadata", [None, {"a": "b"}, {"quality_head": "no json"}, {"quality_head": "[]"}, {"quality_head": "{}"}]
)
def test_refuses_a_file_without_its_metadata(path, metadata):
    save_file({"weight": torch.ones(3), "bias": torch.tensor(0.0)}, path, metadata)
    assert "cannot read weight, bias and metadata" in refusal(path)


def test_refuses_a_later_format(path):
    about = {"quality_head": json.dumps({**ABOUT, "format": FORMAT + 1})}
    save_file({"weight": torch.ones(3), "bias": torch.tensor(0.0)}, path, about)
    assert f"expected format {FORMAT}" in refusal(path)
    assert f"got {FORMAT + 1}" in refusal(path)


def test_refuses_features_of_another_width(path):
    with pytest.raises(UserError, match="expected features of width 3, got 4"):
        QualityHead(path, "ab" * 32).rate_features(torch.zeros(2, 4))


@pytest.mark.parametrize("network", PACKAGED)
def test_each_packaged_network_has_its_head(network):
    path = packaged_head(network)
    assert path.stat().st_size < 10_000
    head = QualityHead(path, PACKAGED[network].sha256)
    assert head.rate_features(torch.zeros(1, WIDTH)).isfinite()
    assert head.about["network"] == network
    assert len(head.about["kinds"]) == 9
    assert head.about["photos"] == {"guide": 600, "judge": 200}[head.about["role"]]


def test_other_networks_have_none():
    assert packaged_head("resnet50.a1_in1k") is None
    assert packaged_head("../checksums") is None
