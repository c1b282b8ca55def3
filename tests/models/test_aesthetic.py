import pytest
import torch
from reference import find_weights, laion_head_path
from torch import nn

from das_ag.errors import UserError
from das_ag.evaluation.readiness import RATING_SCORES, rates_as_known
from das_ag.models.aesthetic import DROPOUT, LaionHead, draw_initial_weights, save_random_head
from das_ag.models.sources import HEADS


def made_up_layers(inputs=768):
    """Layers of the head's shapes with random weights, dropout between as published."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(inputs, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2),
            nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
        ).eval()  # fmt: skip


def save(layers, path, prefix="layers."):
    torch.save({prefix + name: weight for name, weight in layers.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    return save(made_up_layers(), tmp_path_factory.mktemp("head") / "made_up.pth")


def random_features(n=5):
    return nn.functional.normalize(torch.randn(n, 768, generator=torch.Generator().manual_seed(1)), dim=-1)


def affine_map(head):
    """w and b of a head that is one affine map."""
    bias = head.rate_features(torch.zeros(1, 768))
    return head.rate_features(torch.eye(768)) - bias, bias


def test_the_laion_head_is_one_affine_map():
    """‖w‖ about 18.0 and b about 5.24: the product of the published file's five matrices, in NumPy."""
    head = LaionHead(laion_head_path())
    weight, bias = affine_map(head)
    assert weight.norm().item() == pytest.approx(18.0, abs=0.1)
    assert bias.item() == pytest.approx(5.24, abs=0.01)
    assert head.digest == HEADS["sac+logos+ava1-l14-linearMSE.pth"].sha256
    features = random_features()
    torch.testing.assert_close(head.rate_features(features), features @ weight + bias, rtol=0, atol=1e-4)


def test_the_laion_head_equals_the_product_of_its_matrices():
    path = laion_head_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    weight, bias = torch.eye(768, dtype=torch.float64), torch.zeros(768, dtype=torch.float64)
    for layer in (0, 2, 4, 6, 7):
        matrix, offset = (state[f"layers.{layer}.{kind}"].double() for kind in ("weight", "bias"))
        weight, bias = matrix @ weight, matrix @ bias + offset
    expected = random_features().double() @ weight[0] + bias
    torch.testing.assert_close(LaionHead(path).rate_features(random_features()), expected.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("prefix", ["layers.", ""])
def test_a_made_up_head_equals_plain_layers(tmp_path, prefix):
    layers = made_up_layers()
    head = LaionHead(save(layers, tmp_path / "head.pth", prefix))
    features = random_features()
    scores = head.rate_features(features)
    assert scores.shape == (5,)
    assert torch.equal(scores, layers(features)[:, 0])


def test_a_picture_alone_has_its_score_among_others(made_up):
    head, features = LaionHead(made_up), random_features()
    alone = torch.cat([head.rate_features(row[None]) for row in features])
    torch.testing.assert_close(alone, head.rate_features(features), rtol=0, atol=1e-6)


def test_by_default_no_dropout_and_no_random_number(made_up):
    before = torch.get_rng_state()
    head = LaionHead(made_up)
    assert torch.equal(head.rate_features(random_features()), head.rate_features(random_features()))
    assert torch.equal(torch.get_rng_state(), before)


def test_masks_act_where_the_published_head_has_dropout(tmp_path):
    """The same random numbers through the published layers in training mode and through ours."""
    layers = made_up_layers()
    head, features = LaionHead(save(layers, tmp_path / "head.pth")), random_features()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = layers.train()(features)[:, 0]
        torch.manual_seed(3)
        masks = [nn.functional.dropout(torch.ones(5, width), rate) for width, rate in DROPOUT]
    scores = head.rate_features(features, *masks)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)
    assert (scores - head.rate_features(features)).abs().min() > 1e-4


def test_the_mean_over_masks_is_the_score_without(made_up):
    """Dropout scales what it keeps, and the map is linear in it."""
    head, features = LaionHead(made_up), random_features(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        masks = [nn.functional.dropout(torch.ones(5_000, width), rate) for width, rate in DROPOUT]
    scores = head.rate_features(features.expand(5_000, -1), *masks)
    standard_error = (scores.std() / 5_000**0.5).item()
    assert scores.mean().item() == pytest.approx(head.rate_features(features).item(), abs=4 * standard_error)


def test_dropout_is_off_unless_asked_for(made_up):
    assert LaionHead(made_up).dropout == ()
    assert LaionHead(made_up, dropout=DROPOUT).dropout == DROPOUT


def test_initial_weights_draw_as_the_layers_do():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draw_initial_weights()
        ours = torch.get_rng_state()
        torch.manual_seed(0)
        for outputs, inputs in [(1024, 768), (128, 1024), (64, 128), (16, 64), (1, 16)]:
            nn.Linear(inputs, outputs)
        assert torch.equal(torch.get_rng_state(), ours)


def test_scores_have_a_gradient_in_the_features(made_up):
    head, features = LaionHead(made_up), random_features(2).requires_grad_()
    head.rate_features(features).sum().backward()
    weight, _ = affine_map(head)
    torch.testing.assert_close(features.grad, weight.expand(2, -1), rtol=0, atol=1e-6)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"expected a file at .*nowhere\.pth, found none; point models\.head to"):
        LaionHead(tmp_path / "nowhere.pth")


@pytest.mark.parametrize("kept", [0, 500, 100_000])
def test_truncated_file(tmp_path, made_up, kept):
    short = tmp_path / "short.pth"
    short.write_bytes(made_up.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"cannot read .*short\.pth"):
        LaionHead(short)


def test_a_head_for_other_features(tmp_path):
    """The predictor v2.5 has 1152 inputs and otherwise the same layers."""
    path = save(made_up_layers(1152), tmp_path / "v2_5.pth")
    with pytest.raises(
        UserError, match=r"expected a map from 768 features .*, got layers of \[\(1024, 1152\).*v2_5\.pth"
    ):
        LaionHead(path)


@pytest.mark.parametrize("state", [{}, {"conv.weight": torch.zeros(3)}])
def test_another_networks_weights(tmp_path, state):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"expected a map from 768 features .*, got layers of (none|\[\(3,\)\]) in"):
        LaionHead(tmp_path / "other.pth")


def test_a_head_with_a_weight_that_is_no_number(tmp_path):
    path = tmp_path / "head.pth"
    save_random_head(path)
    state = torch.load(path, weights_only=True)
    state["layers.2.bias"][7] = float("inf")
    torch.save(state, path)
    with pytest.raises(
        UserError, match=r"^LAION aesthetic head: expected finite weights in .*, got NaN .* layers\.2\.bias"
    ):
        LaionHead(path)


@pytest.mark.parametrize("name", RATING_SCORES)
def test_a_published_head_rates_real_features_as_known(name):
    path = find_weights(name, variable="AESTHETIC_PREDICTOR_PATH", sha256=HEADS[name].sha256)
    assert rates_as_known(name, path)
    assert LaionHead(path, inputs=512 if "b_32" in name else 768).dropout == ()


def test_another_head_does_not_rate_real_features_as_known(tmp_path):
    """Not even one that is nearly the published one."""
    name = "sa_0_4_vit_b_32_linear.pth"
    state = torch.load(find_weights(name, variable="AESTHETIC_PREDICTOR_PATH"), weights_only=True)
    torch.save({**state, "bias": state["bias"] + 0.02}, tmp_path / "other.pth")
    assert not rates_as_known(name, tmp_path / "other.pth")


def test_a_linear_head_is_one_product(tmp_path):
    weight, bias = torch.randn(1, 512, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5])
    torch.save({"weight": weight, "bias": bias}, tmp_path / "linear.pth")
    head = LaionHead(tmp_path / "linear.pth", inputs=512, dropout=DROPOUT)
    features = nn.functional.normalize(torch.randn(3, 512, generator=torch.Generator().manual_seed(1)), dim=-1)
    torch.testing.assert_close(head.rate_features(features), features @ weight[0] + 0.5)
    assert head.dropout == ()  # it has no such layers


def test_a_head_for_other_features_is_told(made_up, tmp_path):
    torch.save({"weight": torch.zeros(1, 512), "bias": torch.zeros(1)}, tmp_path / "linear.pth")
    for path, inputs, got in ((made_up, 512, "(1024, 768)"), (tmp_path / "linear.pth", 768, "(1, 512)")):
        with pytest.raises(UserError, match=f"expected a map from {inputs} features to 1 number") as error:
            LaionHead(path, inputs=inputs)
        assert got in str(error.value)
