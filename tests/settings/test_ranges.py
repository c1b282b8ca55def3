"""What is out of range is told, by its name in the configuration."""

import math

import pytest

from das_ag.errors import UserError
from das_ag.settings.ranges import check_ranges, check_schedule
from das_ag.synthesis.objective import ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import PyramidSettings
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import ViewSettings

CONSTANT = Schedule("linear", 0.1, 0.1, 0.5)


def pyramid(**changes):
    values = {
        "canvas_px": 16, "levels": "powers_of_two", "max_level_px": 16, "combine": "mean", "initial": "scaled_noise",
        "interpolation": "bilinear", "gamut": "clip_normalised",
    }  # fmt: skip
    return PyramidSettings(**(values | changes))


def views(**changes):
    values = {"count": 4, "max_shift_px": 3, "noise": CONSTANT, "colour_shift": CONSTANT, "augment": True}
    return ViewSettings(**(values | changes))


def objective(**changes):
    others = {name: changes.pop(name, 0.5) for name in ("total_variation", "l1", "highlights")}
    return ObjectiveSettings(**({"aesthetic": CONSTANT, "aesthetic_sign": 1, "clip": 5.0} | changes), others=others)


def ascent(**changes):
    return AscentSettings(**({"steps": 200, "learning_rate": 0.05, "betas": (0.5, 0.99)} | changes))


@pytest.mark.parametrize("settings", [pyramid(), views(), objective(), ascent(), object()])
def test_what_is_within_its_range_is_allowed(settings):
    check_ranges(settings)
    check_schedule(CONSTANT, "views.noise")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": "thirds"}, r"pyramid\.levels: expected one of powers_of_two, all_resolutions, got 'thirds'"),
        ({"combine": "max"}, r"pyramid\.combine: expected one of mean, sum, got 'max'"),
        ({"initial": "ones"}, r"pyramid\.initial: expected one of scaled_noise, zeros, got 'ones'"),
        ({"interpolation": "area"}, r"pyramid\.interpolation: expected one of .*, got 'area'"),
        ({"gamut": "cmyk"}, r"pyramid\.gamut: expected one of clip_normalised, full, decorrelated, got 'cmyk'"),
        ({"canvas_px": 0, "max_level_px": 0}, r"canvas_px: expected at least 1, got 0"),
        ({"max_level_px": 17}, r"pyramid\.max_level_px: expected from 1 to the canvas size 16, got 17; lower it"),
        ({"max_level_px": 0}, r"pyramid\.max_level_px: expected from 1 to the canvas size 16, got 0"),
    ],
)
def test_pyramid_out_of_range(changes, message):
    with pytest.raises(UserError, match=message):
        check_ranges(pyramid(**changes))


@pytest.mark.parametrize("name", ["gamut_gain", "initial_scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_gain_and_scale_are_positive_numbers(name, value):
    with pytest.raises(UserError, match=f"{name}: expected a number above 0"):
        check_ranges(pyramid(**{name: value}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, r"views\.count: expected at least 1, got 0"),
        ({"max_shift_px": -1}, r"views\.max_shift_px: expected at least 0, got -1"),
        ({"noise": Schedule("linear", 0.1, -0.1, 0.5)}, r"views\.noise: expected start and end of at least 0"),
        ({"colour_shift": Schedule("linear", -0.1, 0.1, 0.5)}, r"views\.colour_shift: expected start and end of"),
    ],
)
def test_views_out_of_range(changes, message):
    with pytest.raises(UserError, match=message):
        check_ranges(views(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crops": 1.5}, "views.crops: expected a share from 0 to 1, got 1.5"),
        ({"crop_size": (0.9, 0.4)}, "views.crop_size: expected two shares of the canvas, the smaller first"),
        ({"crop_size": (0.0, 0.4)}, "views.crop_size"),
        ({"crop_size": (0.5, 1.1)}, "views.crop_size"),
    ],
)
def test_crops_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        check_ranges(views(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aesthetic": Schedule("linear", -1.0, 2.0, 0.5)}, r"objective\.aesthetic: expected start and end of at lea"),
        ({"aesthetic": Schedule("linear", 1.0, -2.0, 0.5)}, r"got 1\.0 and -2\.0; the method sets the sign"),
        ({"aesthetic_sign": 2}, r"aesthetic_sign: expected -1, 0 or 1, got 2"),
        ({"clip": -1.0}, r"objective\.clip: expected a weight of at least 0, got -1\.0"),
        ({"total_variation": float("nan")}, r"objective\.total_variation: expected a weight of at least 0, got nan"),
        ({"l1": float("inf")}, r"objective\.l1: expected a weight of at least 0, got inf"),
    ],
)
def test_objective_out_of_range(changes, message):
    with pytest.raises(UserError, match=message):
        check_ranges(objective(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"steps: expected at least 1, got 0"),
        ({"learning_rate": 0.0}, r"learning_rate: expected above 0 and at most 1000.0, got 0\.0"),
        ({"learning_rate": -0.1}, r"learning_rate: expected above 0 and at most 1000.0, got -0\.1"),
        ({"learning_rate": float("nan")}, r"learning_rate: expected above 0 and at most 1000.0, got nan"),
        ({"learning_rate": float("inf")}, r"learning_rate: expected above 0 and at most 1000.0, got inf"),
        ({"betas": (1.0, 0.99)}, r"betas: expected two numbers from 0 to below 1, got \(1\.0, 0\.99\)"),
        ({"betas": (0.5, -0.1)}, r"betas: expected two numbers from 0 to below 1"),
    ],
)
def test_ascent_out_of_range(changes, message):
    with pytest.raises(UserError, match=message):
        check_ranges(ascent(**changes))


def test_the_ends_of_the_ranges_are_allowed():
    check_ranges(AscentSettings(1, 1000.0, (0.0, 0.0)))


def test_unknown_kind():
    with pytest.raises(
        UserError, match=r"views\.noise: expected one of linear, exponential_decay, .*, got 'square'; choose"
    ):
        check_schedule(Schedule("square", 0.0, 1.0, 0.5), "views.noise")


@pytest.mark.parametrize("kind", ["exponential_decay", "exponential_warmup"])
@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_rate_out_of_range(kind, rate):
    with pytest.raises(UserError, match=r"views\.noise\.rate: expected between 0 and 1, got"):
        check_schedule(Schedule(kind, 0.0, 1.0, rate), "views.noise")


@pytest.mark.parametrize("ends", [(float("nan"), 1.0), (0.0, float("inf"))])
def test_start_and_end_must_be_finite(ends):
    with pytest.raises(UserError, match=r"views\.noise: expected finite start and end"):
        check_schedule(Schedule("linear", *ends, 0.5), "views.noise")
