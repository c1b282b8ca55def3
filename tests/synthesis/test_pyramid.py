import math

import pytest
import torch
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, as_rgb, initial_levels, seen_colours


def settings(**changes):
    values = {
        "canvas_px": 16, "levels": "powers_of_two", "max_level_px": 16, "combine": "mean", "initial": "scaled_noise",
        "interpolation": "bilinear", "gamut": "clip_normalised",
    }  # fmt: skip
    return PyramidSettings(**(values | changes))


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def random_levels(chosen, batch=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, 3, s, s, generator=generator, dtype=torch.float64) for s in chosen.sizes_px]


def plain_canvas(levels, chosen):
    """Every level upsampled by PyTorch's own function, then stacked."""
    options = {} if chosen.interpolation == "nearest" else {"align_corners": False}

    def resized(pictures, side):
        return F.interpolate(pictures, size=(side, side), mode=chosen.interpolation, **options)

    upsampled = torch.stack([resized(x, levels[-1].shape[-1]) for x in levels])
    combined = upsampled.mean(dim=0) if chosen.combine == "mean" else upsampled.sum(dim=0)
    return torch.tanh(resized(combined, chosen.canvas_px))


@pytest.mark.parametrize(
    ("canvas_px", "levels", "max_level_px", "sizes"),
    [
        (512, "powers_of_two", 512, (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
        (256, "powers_of_two", 256, (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        (300, "powers_of_two", 300, (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        (256, "powers_of_two", 63, (1, 2, 4, 8, 16, 32)),
        (9, "powers_of_two", 1, (1,)),
        (9, "all_resolutions", 6, (1, 2, 3, 4, 5, 6)),
        (9, "all_resolutions", 1, (1,)),
    ],
)
def test_sizes(canvas_px, levels, max_level_px, sizes):
    assert settings(canvas_px=canvas_px, levels=levels, max_level_px=max_level_px).sizes_px == sizes


SHAPES = [
    {"canvas_px": 16, "max_level_px": 16},
    {"canvas_px": 24, "max_level_px": 24},  # no power of two: no level is as large as the canvas
    {"canvas_px": 16, "max_level_px": 4},
    {"canvas_px": 7, "max_level_px": 7, "levels": "all_resolutions"},
    {"canvas_px": 11, "max_level_px": 5, "levels": "all_resolutions"},
    {"canvas_px": 5, "max_level_px": 1},
    {"canvas_px": 1, "max_level_px": 1},
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("combine", ["mean", "sum"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_canvas_and_gradient_equal_the_plain_way(shape, combine, interpolation):
    chosen = settings(**shape, combine=combine, interpolation=interpolation)
    levels = random_levels(chosen)
    pyramid, plain = Pyramid(levels, chosen), [level.clone().requires_grad_() for level in levels]
    canvas, expected = pyramid.canvas(), plain_canvas(plain, chosen)
    torch.testing.assert_close(canvas, expected, rtol=0, atol=1e-12)
    weight = torch.randn(canvas.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (canvas * weight).sum().backward()
    (expected * weight).sum().backward()
    for level, other in zip(pyramid.levels, plain, strict=True):
        torch.testing.assert_close(level.grad, other.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("combine", "value"), [("mean", 0.46211716), ("sum", 0.98661430)])  # tanh(0.5), tanh(2.5)
def test_levels_that_are_all_one_half(combine, value):
    chosen = settings(combine=combine)
    pyramid = Pyramid([torch.full((1, 3, s, s), 0.5) for s in chosen.sizes_px], chosen)  # five levels
    torch.testing.assert_close(pyramid.canvas(), torch.full((1, 3, 16, 16), value), rtol=0, atol=1e-6)


def test_initial_levels_have_standard_deviation_one_over_their_size():
    chosen = settings(canvas_px=32, max_level_px=32)
    levels = initial_levels(chosen, generators(*range(100)))
    for size, level in zip(chosen.sizes_px, levels, strict=True):
        assert level.shape == (100, 3, size, size)
        assert level.dtype == torch.float32
        # The standard error of a standard deviation is its value over the root of 2n; five of them are allowed.
        assert level.std().item() * size == pytest.approx(1, abs=5 / math.sqrt(2 * level.numel()))
        assert level.mean().item() * size == pytest.approx(0, abs=5 / math.sqrt(level.numel()))


def test_zeros_draw_no_random_numbers():
    (generator,) = generators(3)
    before = generator.get_state()
    levels = initial_levels(settings(initial="zeros"), [generator])
    assert all(not level.any() for level in levels)
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_generator_gives_the_same_levels_in_any_batch(place):
    seeds = (7, 0, 5)
    together = initial_levels(settings(), generators(*seeds))
    alone = initial_levels(settings(), generators(seeds[place]))
    assert all(torch.equal(a[place : place + 1], b) for a, b in zip(together, alone, strict=True))


def test_initial_levels_are_drawn_coarse_to_fine():
    """The order in which the published program draws them."""
    (generator,) = generators(42)
    expected = [torch.randn(1, 3, s, s, generator=generator) / s for s in (1, 2, 4, 8, 16)]
    drawn = initial_levels(settings(), generators(42))
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected, strict=True))


def test_given_levels_are_replayed_and_not_touched():
    chosen = settings()
    levels = random_levels(chosen)
    copies = [level.clone() for level in levels]
    pyramid = Pyramid(levels, chosen)
    assert all(torch.equal(a, b) for a, b in zip(pyramid.levels, copies, strict=True))
    before = pyramid.canvas()
    assert torch.equal(before, Pyramid(copies, chosen).canvas())
    for level in levels:
        level.zero_()
    assert torch.equal(pyramid.canvas(), before)


@pytest.mark.parametrize("shape", SHAPES)
def test_canvas_stays_within_minus_one_and_one(shape):
    chosen = settings(**shape, combine="sum")
    canvas = Pyramid([100 * level for level in random_levels(chosen)], chosen).canvas()
    assert canvas.shape == (2, 3, chosen.canvas_px, chosen.canvas_px)
    assert canvas.abs().max() <= 1


def photograph(size):
    """A sky with a sun, behind it hills: smooth shading, one soft disc, one soft ridge. RGB from 0.05 to 0.95."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    sky = torch.stack([0.35 + 0.4 * y, 0.45 + 0.3 * y, 0.9 - 0.2 * y])
    sun = torch.sigmoid((0.15 - ((x - 0.7) ** 2 + (y - 0.25) ** 2).sqrt()) / 0.03)
    hills = torch.sigmoid((y - 0.65 - 0.1 * torch.sin(9 * x)) / 0.02)
    green = torch.stack([0.1 + 0.1 * x, 0.4 - 0.2 * y, 0.1 + 0.05 * x])
    picture = torch.lerp(sky, torch.tensor([0.95, 0.9, 0.5])[:, None, None].expand_as(sky), sun)
    return torch.lerp(picture, green, hills)[None].clamp(0.05, 0.95)


@pytest.mark.parametrize(
    "shape",
    [
        {"levels": "powers_of_two", "canvas_px": 48, "max_level_px": 48},
        {"levels": "powers_of_two", "canvas_px": 32, "max_level_px": 32},
        {"levels": "all_resolutions", "canvas_px": 25, "max_level_px": 25, "combine": "sum", "initial": "zeros"},
    ],
)
def test_a_pyramid_can_fit_a_photograph(shape):
    chosen = settings(**shape, gamut="full")
    pyramid = Pyramid(initial_levels(chosen, generators(0)), chosen)
    target = photograph(chosen.canvas_px)
    optimiser = torch.optim.Adam(pyramid.levels, lr=0.05, betas=(0.5, 0.99))
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=200)
    for _ in range(200):
        error = (as_rgb(pyramid.canvas(), "full") - target).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        annealing.step()
    assert target.std() > 0.2  # a plain picture would prove nothing
    assert error.sqrt() < 0.01


def test_clip_normalised_gamut_stays_within_mean_and_std():
    """From 0.213 to 0.750 for red, and likewise: the low contrast of the published pictures."""
    extremes = torch.tensor([-1.0, 1.0]).expand(1, 3, 1, 2)
    rgb = as_rgb(extremes, "clip_normalised")[0, :, 0]
    assert rgb[:, 0].tolist() == pytest.approx([0.2128249, 0.1965249, 0.1324336], abs=1e-6)  # mean - std
    assert rgb[:, 1].tolist() == pytest.approx([0.7500842, 0.7191301, 0.6839878], abs=1e-6)  # mean + std


def test_full_gamut_covers_zero_to_one():
    canvas = torch.tensor([-1.0, -0.5, 0.0, 1.0]).expand(1, 3, 2, 4)
    assert as_rgb(canvas, "full")[0, 2, 1].tolist() == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("gamut", ["clip_normalised", "full"])
def test_the_model_sees_the_normalised_image(gamut):
    canvas = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    expected = (as_rgb(canvas, gamut) - mean) / std
    scale, offset = seen_colours(gamut, canvas)
    torch.testing.assert_close(canvas * scale + offset, expected, rtol=0, atol=1e-6)


def test_levels_of_other_sizes_are_rejected():
    chosen = settings(max_level_px=4)
    with pytest.raises(ValueError, match=r"levels: expected sizes \(1, 2, 4\), got \(1, 4\)"):
        Pyramid([torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 4, 4)], chosen)


def test_decorrelated_colours_by_hand():
    """RGB = sigmoid(gain · C · x), written out channel by channel."""
    chosen = settings(gamut="decorrelated", gamut_gain=3.0, combine="sum", canvas_px=4, max_level_px=4)
    levels = random_levels(chosen)
    size = {"size": (4, 4), "mode": "bilinear", "align_corners": False}
    x = torch.stack([F.interpolate(level, **size) for level in levels]).sum(dim=0)
    longest = math.sqrt(0.26**2 + 0.27**2 + 0.27**2)  # of the first column
    rows = ((0.26, 0.09, 0.02), (0.27, 0.0, -0.05), (0.27, -0.09, 0.03))
    for channel, row in enumerate(rows):
        expected = torch.sigmoid(3.0 / longest * sum(weight * x[:, place] for place, weight in enumerate(row)))
        got = as_rgb(Pyramid(levels, chosen).canvas(), "decorrelated")[:, channel]
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-7)  # the basis is float32


def test_decorrelated_grey_stays_grey_only_where_no_contrast_is():
    chosen = settings(gamut="decorrelated", canvas_px=1, max_level_px=1)
    brightness, contrast = (torch.tensor(v)[None, :, None, None] for v in ([0.5, 0, 0], [0.0, 0.5, 0]))
    bright, coloured = (as_rgb(Pyramid([x], chosen).canvas(), "decorrelated").flatten() for x in (brightness, contrast))
    assert bright.max() - bright.min() < 0.01
    assert coloured[0] > 0.5 > coloured[2]  # red against blue


def test_the_initial_scale_multiplies_the_noise():
    (plain, scaled) = (initial_levels(settings(initial_scale=scale), generators(3)) for scale in (1.0, 0.2))
    for before, after in zip(plain, scaled, strict=True):
        torch.testing.assert_close(after, 0.2 * before)
