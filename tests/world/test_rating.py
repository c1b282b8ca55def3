import dataclasses
import math

import pytest
import torch

from das_ag.world import Pictures, rate, render, sample_scenes
from das_ag.world.rating import WEIGHTS, rating_terms

SIDE = 20


def block(rows, columns):
    """A figure that covers a block of the 20×20 picture."""
    coverage = torch.zeros(1, 2, SIDE, SIDE)
    coverage[0, 0, rows, columns] = 1
    return coverage


# 14 of 20 rows and 8 of 20 columns in the middle: 28 % of the picture, the share that composition likes best.
MIDDLE = block(slice(3, 17), slice(6, 14))


def painted(figure, ground, coverage=MIDDLE):
    """Figure and ground in plain colours."""
    figure, ground = (torch.tensor(rgb, dtype=torch.float32)[None, :, None, None] for rgb in (figure, ground))
    shape = coverage[:, :1]
    return Pictures(rgb=shape * figure + (1 - shape) * ground, coverage=coverage)


def term(name, pictures):
    return rating_terms(pictures)[name].item()


BLACK, WHITE, GREY = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5)
RED, CYAN, BLUE, GREEN, MAGENTA = (1, 0, 0), (0, 1, 1), (0, 0, 1), (0, 1, 0), (1, 0, 1)


@pytest.mark.parametrize(
    ("figure", "ground", "contrast"),
    [
        (BLACK, WHITE, 1.0),
        (WHITE, BLACK, 1.0),
        (GREY, BLACK, 0.5339),  # CIELAB of RGB 0.5: L = 53.39
        (GREY, WHITE, 0.4661),
        ((0.04,) * 3, BLACK, 0.0280),  # both formulas' linear parts: Y = 0.04 / 12.92 = 0.003096, L = 903.3 · Y = 2.80
        (RED, WHITE, 1.0),  # CIELAB of red: 53.24, 80.09, 67.20; a distance of 114.6 counts as 100
        (GREY, GREY, 0.0),
    ],
)
def test_contrast(figure, ground, contrast):
    assert term("contrast", painted(figure, ground)) == pytest.approx(contrast, abs=1e-3)


@pytest.mark.parametrize(
    ("figure", "ground", "harmony"),
    [
        # Hues by atan2(b, a) of the colours' CIELAB, from the usual tables: red 40.0°, cyan 196.4°, blue 306.3°,
        # green 136.0°, magenta 328.2°. Harmony is (1 + cos 2Δh) / 2.
        (RED, CYAN, 0.840),  # Δh 156.4°
        (RED, BLUE, 0.004),  # 93.7°
        (RED, GREEN, 0.011),  # 96.0°
        (GREEN, MAGENTA, 0.956),  # 192.2°
        # Mauve is L, a, b = 52.82, 19.37, -8.03, yellow 97.14, -21.55, 94.48: Δh 125.4°; mauve's chroma of 20.97 weighs
        # 20.97 / 40.
        ((0.6, 0.45, 0.55), (1, 1, 0), 0.651),
        (RED, RED, 1.0),
        (RED, GREY, 1.0),  # grey has no chroma
        (WHITE, BLUE, 1.0),
    ],
)
def test_harmony(figure, ground, harmony):
    assert term("harmony", painted(figure, ground)) == pytest.approx(harmony, abs=6e-3)
    assert term("harmony", painted(ground, figure)) == pytest.approx(harmony, abs=6e-3)


@pytest.mark.parametrize(
    ("coverage", "composition"),
    [
        (MIDDLE, 1.0),
        # three of twenty pixels aside: the centre of mass at 6/19, exp(-(6/19)² / 0.18) = 0.5747
        (block(slice(3, 17), slice(9, 17)), 0.5747),
        (block(slice(0, 14), slice(6, 14)), 0.5747),
        (block(slice(0, 14), slice(3, 11)), 0.5747**2),
        # in the middle, 14 % of the picture: exp(-(0.14 / 0.18)²) = 0.5461
        (block(slice(3, 17), slice(8, 12)), 0.5461),
        # all of it: exp(-(0.72 / 0.18)²) = exp(-16)
        (block(slice(0, 20), slice(0, 20)), 0.0),
    ],
)
def test_composition(coverage, composition):
    assert term("composition", painted(BLACK, WHITE, coverage)) == pytest.approx(composition, abs=1e-3)


@pytest.mark.parametrize(("amplitude", "cleanness"), [(0.0, 1.0), (0.05, 0.75), (0.1, 0.5), (0.2, 0.0), (0.4, 0.0)])
def test_cleanness_of_a_chequered_picture(amplitude, cleanness):
    """Alternately brighter and darker by the amplitude, which is then the root mean square: 1 - rms / 0.2."""
    plain = painted((0.6, 0.5, 0.4), (0.5, 0.4, 0.6))
    sign = 1 - 2 * ((torch.arange(SIDE)[:, None] + torch.arange(SIDE)) % 2)
    chequered = Pictures(rgb=plain.rgb + amplitude * sign, coverage=plain.coverage)
    assert term("cleanness", chequered) == pytest.approx(cleanness, abs=1e-4)


def test_the_best_picture_is_rated_ten():
    assert rate(painted(BLACK, WHITE)).item() == pytest.approx(10, abs=0.01)


def test_a_picture_without_contrast():
    """Of what grey on grey has, all but the contrast."""
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    expected = 1 + 9 * (1 - WEIGHTS["contrast"])
    assert rate(painted(GREY, GREY)).item() == pytest.approx(expected, abs=0.01)


def test_two_figures_count_by_their_mean():
    coverage = torch.zeros(1, 2, SIDE, SIDE)
    coverage[0, 0, 3:17, 2:8] = 1
    coverage[0, 1, 3:17, 12:18] = 1
    rgb = torch.ones(1, 3, SIDE, SIDE)
    rgb[:, :, 3:17, 2:8] = 0
    rgb[:, :, 3:17, 12:18] = 0.5
    pictures = Pictures(rgb=rgb, coverage=coverage)
    assert term("contrast", pictures) == pytest.approx((1 + 0.4661) / 2, abs=2e-3)
    # both together cover 42 % around the middle: exp(-(0.14 / 0.18)²)
    assert term("composition", pictures) == pytest.approx(0.5461, abs=1e-3)
    assert term("cleanness", pictures) == pytest.approx(1, abs=1e-3)


def clean_scene():
    scenes = sample_scenes(1, torch.Generator().manual_seed(0), pair_fraction=0.0, nuisance=0.0)
    return dataclasses.replace(
        scenes,
        shape=torch.tensor([[0, -1]]),
        centre=torch.zeros(1, 2, 2),
        radius=torch.full((1, 2), 0.6),
        figure_rgb=torch.full((1, 2, 3), 0.1),
        ground_rgb=torch.full((1, 3), 0.9),
    )


def rendered(**changes):
    return render(dataclasses.replace(clean_scene(), **changes), torch.Generator().manual_seed(0))


def test_a_dark_disc_on_a_light_ground_is_rated_highly():
    pictures = rendered()
    assert term("contrast", pictures) > 0.7
    assert term("cleanness", pictures) > 0.95
    assert rate(pictures).item() > 8


@pytest.mark.parametrize(
    ("nuisance", "weak", "strong"), [("noise", 0.05, 0.15), ("blur", 1.0, 2.5), ("shading", 0.2, 0.6)]
)
def test_each_nuisance_lowers_cleanness_and_rating(nuisance, weak, strong):
    pictures = [
        rendered(),
        rendered(**{nuisance: torch.tensor([weak])}),
        rendered(**{nuisance: torch.tensor([strong])}),
    ]
    clean, weaker, stronger = (term("cleanness", p) for p in pictures)
    assert clean - 0.05 > weaker
    assert weaker - 0.05 > stronger
    assert rate(pictures[0]) > rate(pictures[1]) > rate(pictures[2])


def test_noise_costs_its_standard_deviation():
    """Noise of std 0.05 has that root mean square: 1 - 0.05 / 0.2, below the clean picture's smooth edges."""
    assert term("cleanness", rendered(noise=torch.tensor([0.05]))) == pytest.approx(0.75, abs=0.02)


def test_ratings_and_terms_stay_in_range():
    drawn = torch.Generator().manual_seed(0)
    pictures = render(sample_scenes(400, drawn), drawn)
    ratings = rate(pictures)
    assert ratings.shape == (400,)
    assert 1 <= ratings.min() < 4  # they use much of the scale
    assert 8 < ratings.max() <= 10
    for values in rating_terms(pictures).values():
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6


def test_a_pictures_rating_does_not_depend_on_its_batch():
    drawn = torch.Generator().manual_seed(0)
    pictures = render(sample_scenes(6, drawn), drawn)
    together = rate(pictures)
    for index in range(6):
        one = slice(index, index + 1)
        alone = rate(Pictures(rgb=pictures.rgb[one], coverage=pictures.coverage[one]))
        assert alone.item() == pytest.approx(together[index].item(), abs=1e-4)


def test_figures_that_are_not_there_do_not_count():
    """Composition of an empty picture is that of no area: exp(-(0.28 / 0.18)²)."""
    empty = Pictures(rgb=torch.full((1, 3, SIDE, SIDE), 0.3), coverage=torch.zeros(1, 2, SIDE, SIDE))
    terms = {name: value.item() for name, value in rating_terms(empty).items()}
    expected = {"contrast": 0.0, "harmony": 0.0, "composition": math.exp(-((0.28 / 0.18) ** 2)), "cleanness": 1.0}
    assert terms == pytest.approx(expected, abs=1e-3)
