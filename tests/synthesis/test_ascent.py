import copy
import io
import math

import pytest
import torch
from torch.nn import functional as F

from das_ag.generation.published import PublishedNumbers
from das_ag.synthesis.ascent import Ascent, geometry_of, image_rgb, measure_result, to_bytes
from das_ag.synthesis.objective import Guide, Objective, ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, as_rgb, initial_levels
from das_ag.synthesis.randomness import SampleNumbers
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import ViewGeometry, ViewSettings

CANVAS, BORDER, IMAGE, DIM = 13, 2, 8, 16
ZERO, SMALL = Schedule("linear", 0.0, 0.0, 0.5), Schedule("linear", 0.1, 0.05, 0.5)
PYRAMID = PyramidSettings(CANVAS, "powers_of_two", CANVAS, "mean", "scaled_noise", "bilinear", "clip_normalised")
NO_OTHERS = {"total_variation": 0.0, "l1": 0.0, "highlights": 0.0}
OBJECTIVE = ObjectiveSettings(
    Schedule("linear", 0.5, 0.5, 0.5), 1, 5.0, {"total_variation": 0.01, "l1": 0.01, "highlights": 0.1}
)
PLAIN = ViewSettings(1, BORDER, ZERO, ZERO, augment=False)
AUGMENTED = ViewSettings(4, BORDER, SMALL, SMALL, augment=True)
STEPS = AscentSettings(30, 0.05, (0.5, 0.99))


def toy_guide():
    """A fixed random linear encoder with a linear rating."""
    generator = torch.Generator().manual_seed(1)
    encoder = torch.randn(3 * IMAGE * IMAGE, DIM, generator=generator)
    rating = torch.randn(DIM, generator=generator)
    return Guide(IMAGE, lambda x: F.normalize(x.flatten(1) @ encoder, dim=-1), lambda f: f @ rating + 5)


def prompt(seed):
    return F.normalize(torch.randn(1, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


class Run:
    """A batch of toy samples, each made of a seed for its numbers and its prompts."""

    def __init__(self, *seeds, views=AUGMENTED, guide=None, settings=STEPS, numbers=None):
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.numbers = numbers or SampleNumbers(self.generators)
        self.pyramid = Pyramid(self.numbers.levels(PYRAMID), PYRAMID)
        positive = torch.cat([prompt(100 + seed) for seed in seeds])
        negative = torch.cat([prompt(200 + seed) for seed in seeds])
        self.objective = Objective(OBJECTIVE, positive, negative)
        self.guide, self.views, self.settings = guide or toy_guide(), views, settings

    def draw(self):
        return self.numbers.step(self.views, geometry_of(PYRAMID, BORDER, self.guide), self.guide.dropout)

    def steps(self, **options):
        chosen = self.pyramid, self.guide, self.objective, self.views, self.settings
        return Ascent(*chosen, numbers=self.numbers, **options)

    def result(self):
        return measure_result(self.pyramid, self.guide, self.objective, BORDER)


@pytest.mark.parametrize("views", [PLAIN, AUGMENTED])
def test_the_objective_rises(views):
    run = Run(0, 1, 2, views=views)
    before = run.result()
    list(run.steps())
    after = run.result()
    loss_before, loss_after = (run.objective.loss(terms, 0, 30) for terms in (before, after))
    assert (loss_before - loss_after > 2).all()
    assert (after["positive"] - before["positive"] > 0.3).all()
    assert (after["negative"] - before["negative"] < -0.1).all()


def test_each_method_moves_the_aesthetic_score_its_own_way():
    scores = {}
    for sign in (-1, 0, 1):
        run = Run(0)
        settings = ObjectiveSettings(Schedule("linear", 5.0, 5.0, 0.5), sign, 5.0, NO_OTHERS)
        run.objective = Objective(settings, run.objective.positive, run.objective.negative)
        list(run.steps())
        scores[sign] = 10 * run.result()["aesthetic"].item()
    assert scores[-1] + 0.5 < scores[0] < scores[1] - 0.5


def test_steps_are_counted_and_terms_detached():
    run = Run(0, 1)
    iterates = list(run.steps())
    assert [iterate.step for iterate in iterates] == list(range(30))
    for value in (iterates[0].loss, *iterates[0].terms.values()):
        assert value.shape == (2,)
        assert not value.requires_grad
    assert torch.equal(iterates[5].loss, run.objective.loss(iterates[5].terms, 5, 30))


def test_an_iterate_holds_what_was_seen_before_the_move():
    run = Run(0, 1, views=PLAIN)
    seen = run.result()
    for iterate in run.steps():
        for name, value in seen.items():
            torch.testing.assert_close(iterate.terms[name], value, rtol=0, atol=1e-6)
        seen = run.result()


def test_without_augmentation_no_number_is_drawn():
    run = Run(0, views=PLAIN)
    before = run.generators[0].get_state()
    assert len(list(run.steps())) == 30
    assert torch.equal(run.generators[0].get_state(), before)


@pytest.mark.parametrize("views", [PLAIN, AUGMENTED])
@pytest.mark.parametrize("views_per_pass", [1, 3, 4, 7, 8, 11])
def test_views_that_pass_in_parts_give_the_same(views, views_per_pass):
    """4 views of 3 samples: parts of one sample, one sample, two samples; the guide's head has dropout."""
    plain = toy_guide()
    passes = []

    def encode(pixels):
        passes.append(len(pixels))
        return plain.encode_images(pixels)

    def rate(features, mask):
        return plain.rate_features(features * mask.mean(dim=1, keepdim=True))

    guide = Guide(IMAGE, encode, rate, dropout=((32, 0.3),))
    whole, parts = (Run(5, 0, 9, views=views, guide=guide, settings=AscentSettings(3, 0.05, (0.5, 0.99))) for _ in "ab")
    expected = list(whole.steps())
    passes.clear()
    for a, b in zip(expected, parts.steps(views_per_pass=views_per_pass), strict=True):
        for name, value in a.terms.items():
            torch.testing.assert_close(b.terms[name], value, rtol=0, atol=1e-5)
        torch.testing.assert_close(b.loss, a.loss, rtol=0, atol=1e-4)
    for level, other in zip(whole.pyramid.levels, parts.pyramid.levels, strict=True):
        torch.testing.assert_close(level, other, rtol=0, atol=1e-4)
    assert max(passes) <= views_per_pass
    assert sum(passes) == 3 * 3 * views.views_in_step


def test_learning_rate_follows_a_cosine_down_to_one_percent():
    """Under a constant gradient Adam moves every level by the learning rate itself, whatever its betas."""
    one_pixel = PyramidSettings(1, "powers_of_two", 1, "sum", "zeros", "bilinear", "clip_normalised")
    pyramid = Pyramid([torch.zeros(1, 3, 1, 1, dtype=torch.float64)], one_pixel)
    # Near zero, tanh is the identity: the loss is linear in the level.
    guide = Guide(1, lambda pixels: pixels.mean(dim=(1, 2, 3))[:, None], lambda features: features[:, 0])
    one = torch.ones(1, 1, dtype=torch.float64)
    objective = Objective(ObjectiveSettings(ZERO, 0, 1e6, NO_OTHERS), one, 0 * one)
    views, settings = ViewSettings(1, 0, ZERO, ZERO, augment=False), AscentSettings(10, 1e-6, (0.5, 0.99))
    place, moves = 0.0, []
    for iterate in Ascent(pyramid, guide, objective, views, settings, numbers=SampleNumbers([torch.Generator()])):
        moves.append(iterate.pyramid.levels[0][0, 0, 0, 0].item() - place)
        place += moves[-1]
    expected = [1e-6 * (0.01 + 0.99 * (1 + math.cos(math.pi * t / 10)) / 2) for t in range(10)]
    assert expected[0] == pytest.approx(1e-6)
    assert expected[5] == pytest.approx(0.505e-6)
    assert moves == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sample_in_a_batch_equals_the_sample_alone(place):
    seeds = (5, 0, 9)
    together, alone = Run(*seeds), Run(seeds[place])
    for a, b in zip(together.steps(), alone.steps(), strict=True):
        torch.testing.assert_close(a.loss[place], b.loss[0], rtol=0, atol=1e-4)
    rgb = image_rgb(together.pyramid, BORDER)[place], image_rgb(alone.pyramid, BORDER)[0]
    torch.testing.assert_close(*rgb, rtol=0, atol=1e-4)
    assert torch.equal(together.generators[place].get_state(), alone.generators[0].get_state())


def test_a_samples_gradient_is_not_shared_with_its_batch():
    """Adam would hide a common factor, but for its epsilon."""
    together, alone = Run(5, 0, 9, views=PLAIN), Run(0, views=PLAIN)
    next(together.steps())
    next(alone.steps())
    for level, other in zip(together.pyramid.levels, alone.pyramid.levels, strict=True):
        torch.testing.assert_close(level.grad[1], other.grad[0], rtol=1e-4, atol=1e-6)


def test_the_same_batch_twice_gives_the_same_bytes():
    images = []
    for _ in range(2):
        run = Run(3, 4)
        list(run.steps())
        images.append(to_bytes(image_rgb(run.pyramid, BORDER)).numpy().tobytes())
    assert images[0] == images[1]


def dropping_guide():
    """A guide whose rating draws numbers too, but for the finished image."""
    plain = toy_guide()

    def rate(features, mask=1):
        return plain.rate_features(features * mask)

    return Guide(IMAGE, plain.encode_images, rate, dropout=((DIM, 0.3),))


TEN = AscentSettings(10, 0.05, (0.5, 0.99))


def sample_run():
    return Run(5, 0, 9, guide=dropping_guide(), settings=TEN)


def published_run():
    state = torch.Generator().manual_seed(5).get_state()
    return Run(5, guide=dropping_guide(), settings=TEN, numbers=PublishedNumbers(5, state))


def through_a_file(state):
    """As a checkpoint goes: nothing in it may need more than plain types."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def bytes_of(iterate):
    """Whatever a step says and leaves, to be compared to the last bit."""
    tensors = [iterate.loss, *iterate.terms.values(), iterate.finite, *iterate.pyramid.levels]
    return [tensor.detach().numpy().tobytes() for tensor in tensors]


@pytest.mark.parametrize("broken_after", [0, 1, 6, 9])
@pytest.mark.parametrize("started", [sample_run, published_run])
def test_going_on_from_a_state_gives_the_bytes_of_an_unbroken_run(started, broken_after):
    unbroken = started()
    expected = [bytes_of(iterate) for iterate in unbroken.steps()]
    broken = started()
    ascent = broken.steps()
    got = [bytes_of(next(ascent)) for _ in range(broken_after)]
    state = through_a_file(ascent.state_dict())
    other = started()
    for _ in range(3):
        other.draw()  # where the new run stands before does not matter
    ascent = other.steps()
    ascent.load_state_dict(state)
    rest = [(iterate.step, bytes_of(iterate)) for iterate in ascent]
    assert [step for step, _ in rest] == list(range(broken_after, 10))
    assert got + [left for _, left in rest] == expected
    for name, value in other.result().items():
        assert torch.equal(value, unbroken.result()[name])


def test_published_numbers_are_drawn_as_the_program_draws_them():
    """Shifts first, right before down; then offset before gain; then noise on all of the canvas, border included."""
    geometry, own = ViewGeometry(4, 4), torch.Generator().manual_seed(5)
    numbers = PublishedNumbers(5, own.get_state())
    assert numbers.step(ViewSettings(2, 3, ZERO, ZERO, augment=False), geometry, ())[0] is None
    drawn, _ = numbers.step(ViewSettings(2, 3, ZERO, ZERO, augment=True), geometry, ())
    dx_dy = [int(torch.randint(-3, 4, (1,), generator=own)) for _ in range(4)]
    # A picture that moves right shows what lay further left.
    assert drawn.square_px.tolist() == [[[4, 3 - dx_dy[1], 3 - dx_dy[0]], [4, 3 - dx_dy[3], 3 - dx_dy[2]]]]
    offset, gain = (torch.rand(1, 2, 3, 1, 1, generator=own) * 2 - 1 for _ in range(2))
    assert torch.equal(drawn.offset, offset)
    assert torch.equal(drawn.gain, gain)
    assert torch.equal(drawn.noise, torch.randn(1, 2, 3, 10, 10, generator=own)[..., 3:7, 3:7])


def test_a_state_is_loaded_without_a_file_and_by_a_run_that_has_gone_further():
    """Back to where it was: the same steps again."""
    run = sample_run()
    ascent = run.steps()
    next(ascent)
    state = copy.deepcopy(ascent.state_dict())
    first = [bytes_of(next(ascent)) for _ in range(5)]
    ascent.load_state_dict(state)
    assert [bytes_of(next(ascent)) for _ in range(5)] == first


def test_a_sample_that_was_lost_before_the_state_stays_lost():
    guide = toy_guide()

    def started(rate):
        return Run(0, guide=Guide(IMAGE, guide.encode_images, rate))

    lost = started(lambda features: guide.rate_features(features) + math.inf)
    ascent = lost.steps()
    next(ascent)
    other = started(guide.rate_features)
    going_on = other.steps()
    going_on.load_state_dict(through_a_file(ascent.state_dict()))
    assert [bool(iterate.finite) for iterate in going_on] == [False] * 29


def test_a_state_of_other_samples_is_refused():
    """Else some rows would silently keep what they were."""
    state, other = Run(5, 0, 9).steps().state_dict(), Run(5, 0)
    ascent = other.steps()
    with pytest.raises(RuntimeError, match="must match the size"):
        ascent.load_state_dict(state)
    with pytest.raises(ValueError, match="zip"):
        ascent.load_state_dict({**ascent.state_dict(), "levels": other.pyramid.levels[:-1]})
    with pytest.raises(ValueError, match="zip"):
        ascent.load_state_dict({**ascent.state_dict(), "numbers": state["numbers"]})


def test_a_sample_that_is_lost_does_not_harm_its_siblings():
    class Spoilt(SampleNumbers):
        """Numbers of which in one step sample 1 gets noise that is not a number."""

        steps = 0

        def step(self, *settings):
            views, dropout = super().step(*settings)
            if self.steps == 12:
                views.noise[1] = float("nan")
            self.steps += 1
            return views, dropout

    sound = Run(0, 1, 2)
    lost = Run(0, 1, 2, numbers=Spoilt([torch.Generator().manual_seed(seed) for seed in (0, 1, 2)]))
    sound_steps, lost_steps = list(sound.steps()), list(lost.steps())
    assert all(iterate.finite.tolist() == [True, True, True] for iterate in sound_steps)
    for step, (a, b) in enumerate(zip(sound_steps, lost_steps, strict=True)):
        assert b.finite.tolist() == [True, step < 12, True]
        assert torch.equal(a.loss[[0, 2]], b.loss[[0, 2]])
    for a, b in zip(sound.pyramid.levels, lost.pyramid.levels, strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])


def test_a_lost_sample_stays_lost():
    """An infinite loss can pass without harm to the levels; the sample counts as lost all the same."""
    guide, calls = toy_guide(), iter(range(100))

    def rate(features):
        scores = guide.rate_features(features)
        return scores + float("inf") if next(calls) == 4 else scores

    run = Run(0, guide=Guide(IMAGE, guide.encode_images, rate))
    finite = [(bool(i.finite), bool(i.loss.isfinite())) for i in run.steps()]
    assert finite == [(True, True)] * 4 + [(False, False)] + [(False, True)] * 25


def test_a_reward_without_a_rating_is_no_silent_nothing():
    silent = Guide(IMAGE, toy_guide().encode_images, None)
    with pytest.raises(ValueError, match="expected a guide with an aesthetic score"):
        Run(0, guide=silent).steps()


@pytest.mark.parametrize("gamut", ["clip_normalised", "full"])
@pytest.mark.parametrize("border", [0, 1, 5])
def test_image_is_the_canvas_without_its_border(border, gamut):
    settings = PyramidSettings(CANVAS, "all_resolutions", 6, "sum", "scaled_noise", "bicubic", gamut)
    pyramid = Pyramid(initial_levels(settings, [torch.Generator().manual_seed(0)]), settings)
    rgb = image_rgb(pyramid, border)
    assert not rgb.requires_grad
    expected = as_rgb(pyramid.canvas(), gamut)[:, :, border : CANVAS - border, border : CANVAS - border]
    torch.testing.assert_close(rgb, expected, rtol=0, atol=1e-7)


def test_to_bytes_truncates():
    row = torch.tensor([0.0, 0.003, 0.004, 0.5, 0.999, 1.0])  # 255 · v is 0, 0.77, 1.02, 127.5, 254.7, 255
    rgb = row.expand(1, 3, 2, 6).clone()
    rgb[0, 2] = 0
    pixels = to_bytes(rgb)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (1, 2, 6, 3)
    assert pixels.is_contiguous()
    assert pixels[0, 1, :, 0].tolist() == pixels[0, 0, :, 1].tolist() == [0, 0, 1, 127, 254, 255]
    assert not pixels[..., 2].any()
