import math

import pytest
import torch
from reference import SMALL_TOWERS

from das_ag.models.embedded import Architecture, Towers
from das_ag.training.assessment import assess
from das_ag.training.contrastive import (
    ascend_in_ball,
    image_to_text_loss,
    meaningless_pictures,
    random_in_ball,
    text_to_image_loss,
)
from das_ag.training.dreams import Dreams
from das_ag.training.recipes import RECIPES
from das_ag.training.train import Recipe, train
from das_ag.world.captions import vocabulary


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def own(b, n):
    """Every caption false but each picture's own."""
    return torch.eye(b, n, dtype=torch.bool)


def test_image_to_text_loss_by_hand():
    """Mean of ln(1 + e^-2) = 0.126928 and ln(1 + e^-1) = 0.313262."""
    similarity = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert image_to_text_loss(similarity, own(2, 2)).item() == pytest.approx(0.220095, abs=1e-6)


def test_image_to_text_loss_counts_false_captions():
    """All alike: one of four, ln 4."""
    assert image_to_text_loss(torch.zeros(2, 4), own(2, 4)).item() == pytest.approx(math.log(4), abs=1e-6)


def test_image_to_text_loss_leaves_other_true_captions_out():
    """For the first picture one of four captions is true beside its own: mean of ln 3 and ln 4."""
    similarity, truth = torch.zeros(2, 4), own(2, 4)
    truth[0, 1], similarity[0, 1] = True, 1000.0
    expected = (math.log(3) + math.log(4)) / 2
    assert image_to_text_loss(similarity, truth).item() == pytest.approx(expected, abs=1e-6)


def test_text_to_image_loss_counts_pictures_of_nothing():
    """All alike: two pictures and three of nothing, ln 5; false captions are nobody's."""
    loss = text_to_image_loss(torch.zeros(2, 6), own(2, 6), torch.zeros(3, 6))
    assert loss.item() == pytest.approx(math.log(5), abs=1e-6)


def test_text_to_image_loss_by_hand():
    """First caption: ln(1 + e^-2 + e^1) for similarities 2, 0, 3; second: ln(1 + e^-1 + e^-1) for 1, 0, 0."""
    similarity, nothing = torch.tensor([[2.0, 0.0, 9.0], [0.0, 1.0, 9.0]]), torch.tensor([[3.0, 0.0, 9.0]])
    expected = (math.log(1 + math.exp(-2) + math.exp(1)) + math.log(1 + 2 * math.exp(-1))) / 2
    assert text_to_image_loss(similarity, own(2, 3), nothing).item() == pytest.approx(expected, abs=1e-6)


def test_text_to_image_loss_leaves_other_pictures_out_of_which_the_caption_is_true():
    """The second caption is true of the first picture too: mean of ln 5 and ln 4."""
    similarity, truth = torch.zeros(2, 4), own(2, 4)
    truth[0, 1], similarity[0, 1] = True, 1000.0
    loss = text_to_image_loss(similarity, truth, torch.zeros(3, 4))
    assert loss.item() == pytest.approx((math.log(5) + math.log(4)) / 2, abs=1e-6)


def lengths(pictures):
    return pictures.flatten(1).norm(dim=1)


def test_ascend_in_ball_by_hand():
    """From (0.3, 0) one step of 0.4 along (0, 1) leads to (0.3, 0.4), of length 0.5."""
    delta, gradient = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    delta[0, 0, 0, 0], gradient[0, 0, 0, 1] = 0.3, 7.0
    moved = ascend_in_ball(delta, gradient, radius=2.0, step=0.4)[0, 0, 0]
    assert moved.tolist() == pytest.approx([0.3, 0.4], abs=1e-6)
    projected = ascend_in_ball(delta, gradient, radius=0.25, step=0.4)[0, 0, 0]
    assert projected.tolist() == pytest.approx([0.15, 0.2], abs=1e-6)


def test_ascend_in_ball_stays_within_the_radius():
    delta = random_in_ball((6, 3, 8, 8), 0.7, generator())
    for step in range(10):
        gradient = torch.randn(6, 3, 8, 8, generator=generator(step)) * 10.0**step
        delta = ascend_in_ball(delta, gradient, radius=0.7, step=0.35)
        assert (lengths(delta) <= 0.7 * (1 + 1e-6)).all()
    still = ascend_in_ball(delta, torch.zeros(6, 3, 8, 8), radius=0.7, step=0.35)
    torch.testing.assert_close(still, delta, rtol=0, atol=1e-6)


def test_random_in_ball_has_lengths_uniform_up_to_the_radius():
    measured = lengths(random_in_ball((2000, 3, 4, 4), 0.7, generator()))
    assert measured.max() <= 0.7 * (1 + 1e-6)
    assert measured.mean().item() == pytest.approx(0.35, abs=0.02)
    assert measured.std().item() == pytest.approx(0.7 / 12**0.5, abs=0.01)
    assert not random_in_ball((3, 3, 4, 4), 0.0, generator()).any()


@pytest.mark.parametrize("m", [1, 2, 5, 8])
def test_meaningless_pictures(m):
    given = torch.rand(m, 3, 64, 64, generator=generator())
    pictures = meaningless_pictures(given, generator(1))
    assert pictures.shape == given.shape
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    for before, after in zip(given[m // 2 :], pictures[m // 2 :], strict=True):
        # The same pixels, whole ones, at other places.
        assert torch.equal(before.flatten(1).sort(dim=1).values, after.flatten(1).sort(dim=1).values)
        assert {tuple(rgb) for rgb in before.flatten(1).T.tolist()} == {
            tuple(rgb) for rgb in after.flatten(1).T.tolist()
        }
        assert not torch.equal(before, after)
    for cloud in pictures[: m // 2]:
        assert cloud.std() > 0.05


def test_blocks_are_moved_whole():
    """In a picture whose blocks of 8 pixels are each of one colour, so are they after shuffling."""
    given = torch.rand(6, 3, 8, 8, generator=generator()).repeat_interleave(8, 2).repeat_interleave(8, 3)
    shuffled = meaningless_pictures(given, generator(1))[3:]
    blocks = shuffled.unfold(2, 8, 8).unfold(3, 8, 8)
    assert (blocks.amax(dim=(4, 5)) == blocks.amin(dim=(4, 5))).all()


def test_dreams_climb_their_gradient():
    """Under a gradient towards white they become brighter by their step, until they are white or start anew."""
    dreams = Dreams(6, generator(), torch.device("cpu"))
    dreams.renewed = 0.0
    before = dreams.rgb.clone()
    dreams.rgb.grad = torch.full_like(before, 0.003)
    dreams.move()
    torch.testing.assert_close(dreams.rgb, (before + 0.04).clamp(max=1), rtol=0, atol=1e-6)
    for _ in range(40):
        dreams.rgb.grad = torch.full_like(before, 0.003)
        dreams.move()
    assert (dreams.rgb == 1).all()


def test_dreams_start_anew():
    dreams = Dreams(4, generator(), torch.device("cpu"))
    dreams.renewed = 1.0
    dreams.rgb = torch.full((4, 3, 64, 64), 7.0)
    dreams.rgb.grad = torch.zeros(4, 3, 64, 64)
    dreams.move()
    assert dreams.rgb.min() >= 0
    assert dreams.rgb.max() <= 1
    assert (dreams.rgb.std(dim=(1, 2, 3)) > 0.01).all()


def recipe(role="guide", **changes):
    image_tower, options = SMALL_TOWERS[role]
    values = {
        "seed": 5, "image_tower": image_tower, "options": options, "updates": 3, "plain_updates": 1,
        "radius": 0.5, "replays": 2, "batch": 8, "dreams": 4, "dim": 16,
    }  # fmt: skip
    return Recipe(**(values | changes))


def trained(chosen):
    with torch.random.fork_rng(devices=[]):
        return train(chosen, lambda _: None).state_dict()


@pytest.mark.parametrize("role", SMALL_TOWERS)
def test_a_few_updates_change_every_weight_the_same_way_each_time(role):
    first, second = trained(recipe(role)), trained(recipe(role))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        initial = Towers(Architecture(*SMALL_TOWERS[role], 16, vocabulary())).state_dict()
    assert first.keys() == second.keys() == initial.keys()
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
        assert weight.isfinite().all(), name
        assert not torch.equal(weight, initial[name]), name


@pytest.mark.parametrize(("dreams_from", "moves"), [(0, 4), (1, 3), (9, 0)])
def test_dreams_take_part_from_their_update_on(monkeypatch, dreams_from, moves):
    moved = []
    monkeypatch.setattr(Dreams, "move", lambda dreams: moved.append(dreams.rgb.grad.abs().max().item()))
    trained(recipe(updates=4, plain_updates=4, dreams_from=dreams_from))
    assert len(moved) == moves
    assert all(gradient > 0 for gradient in moved)


@pytest.mark.slow
def test_training_teaches_something():
    """A hundred small updates suffice to tell backgrounds apart, of which chance names one in twelve."""
    reports = []
    chosen = recipe("judge", updates=100, plain_updates=100, radius=0.0, batch=16, dreams_from=100, learning_rate=3e-3)
    with torch.random.fork_rng(devices=[]):
        towers = train(chosen, reports.append)
    assert not towers.training
    assert not any(weight.requires_grad for weight in towers.parameters())
    assert [progress.update for progress in reports] == [50, 100]
    assert [progress.radius for progress in reports] == [0.0, 0.0]
    # 16 own and 32 false captions: ln 48 for a network that knows nothing.
    assert reports[-1].losses["image_to_text"] < math.log(48) - 0.4
    assert assess(towers, n=200)["background"] > 0.25


@pytest.mark.parametrize(
    ("update", "radius"),
    # plain up to 100; then (0.2 + 1.6 · progress) of 2, at most all of it, over the other 200 updates
    [(0, 0.0), (99, 0.0), (100, 0.4), (150, 1.2), (200, 2.0), (299, 2.0)],
)
def test_radius_of_the_disturbance(update, radius):
    chosen = recipe(updates=300, plain_updates=100, radius=2.0)
    assert chosen.radius_at(update) == pytest.approx(radius, abs=1e-9)


@pytest.mark.parametrize(
    ("update", "factor"),
    # a rise over 150 updates; then (1 + cos(π t / T)) / 2 + 0.005
    [(0, 1 / 150), (74, 0.5), (500, 0.505), (750, 0.1464466 + 0.005), (1000, 0.005)],
)
def test_learning_rate(update, factor):
    assert recipe(updates=1000).learning_rate_at(update) == pytest.approx(factor, abs=1e-6)


def test_the_two_recipes_share_neither_seed_nor_architecture():
    guide, judge = RECIPES["guide"], RECIPES["judge"]
    assert guide.seed != judge.seed
    assert guide.image_tower != judge.image_tower


def test_untrained_towers_are_assessed_at_chance():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        towers = Towers(Architecture(*SMALL_TOWERS["judge"], 16, vocabulary())).eval()
    figures = assess(towers, n=200)
    assert set(figures) == {"shape", "colour", "background", "rating"}
    # One in ten or twelve; a network that always gives the same answer can be luckier than that by half.
    assert all(0 <= figures[name] < 0.25 for name in ("shape", "colour", "background"))
    assert abs(figures["rating"]) < 0.5
