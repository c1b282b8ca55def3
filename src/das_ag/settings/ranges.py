"""Ranges of the method's settings; messages use the names of the configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import singledispatch

from das_ag.errors import UserError
from das_ag.store.schema import MOST_CANVAS_PX
from das_ag.synthesis.objective import ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import COMBINE, GAMUTS, INITIAL, LEVELS, PyramidSettings
from das_ag.synthesis.resize import INTERPOLATIONS
from das_ag.synthesis.schedules import KINDS, Schedule
from das_ag.synthesis.views import ViewSettings

LEAST_PX = 8
"""Smallest side of an image; a smaller one is probably a mistake, and cannot be scored."""
MAX_LEARNING_RATE = 1000.0
"""Far beyond any use; float32 overflows beyond 1e38."""
LARGEST = {
    "steps": 1_000_000, "canvas_px": MOST_CANVAS_PX, "views.count": 10_000, "runtime.threads": 1024,
    "runtime.samples_per_batch": 65_536, "runtime.views_per_pass": 1_000_000,
}  # fmt: skip
"""Largest values, far beyond any use; a larger one would never end, or need more memory than any machine has."""


def check_choice(name: object, choices: Sequence[str] | Mapping[str, object], option: str) -> str:
    """Returns the name if it is one of the choices.

    Raises:
        UserError: it is not one of them.
    """
    if not isinstance(name, str) or name not in choices:
        raise UserError(f"{option}: expected one of {', '.join(choices)}, got {name!r}; choose one of them.")
    return name


def check_bounds(name: str, value: int, least: int, remedy: str) -> None:
    """Checks that a setting is at least `least`, and at most its value in `LARGEST` if it has one.

    Raises:
        UserError: it is not; `remedy` ends the message about a value that is too small.
    """
    if value < least:
        raise UserError(f"{name}: expected at least {least}, got {value}; {remedy}.")
    if value > LARGEST.get(name, value):
        raise UserError(f"{name}: expected at most {LARGEST[name]:,}, got {value:,}; lower it.")


def check_border(canvas_px: int, border_px: int) -> None:
    """Checks that the border leaves at least half of the canvas, and `LEAST_PX`; a smaller image is a mistake.

    Raises:
        UserError: it leaves less.
    """
    left_px, least_px = canvas_px - 2 * border_px, max(LEAST_PX, canvas_px // 2)
    if left_px < least_px:
        raise UserError(
            f"views.max_shift_px: {border_px} px on each side of a canvas of {canvas_px} px leave an image of "
            f"{max(left_px, 0)} px, expected at least {least_px} px; lower it or raise canvas_px."
        )


@singledispatch
def check_ranges(_settings: object) -> None:
    """Checks the ranges of settings; accepts any other object.

    Raises:
        UserError: a setting is out of its range.
    """


@check_ranges.register
def _(s: PyramidSettings) -> None:
    choices = {"levels": LEVELS, "combine": COMBINE, "initial": INITIAL, "interpolation": INTERPOLATIONS,
               "gamut": GAMUTS}  # fmt: skip
    for name, allowed in choices.items():
        check_choice(getattr(s, name), allowed, f"pyramid.{name}")
    check_bounds("canvas_px", s.canvas_px, 1, "raise it")
    if not 1 <= s.max_level_px <= s.canvas_px:
        raise UserError(
            f"pyramid.max_level_px: expected from 1 to the canvas size {s.canvas_px}, got {s.max_level_px}; lower it "
            "or raise pyramid.canvas_px."
        )
    for name, value in (("gamut_gain", s.gamut_gain), ("pyramid.initial_scale", s.initial_scale)):
        if not 0 < value < math.inf:
            raise UserError(f"{name}: expected a number above 0, got {value}; try 1.")


@check_ranges.register
def _(s: ViewSettings) -> None:
    check_bounds("views.count", s.count, 1, "the published value is 8")
    check_bounds("views.max_shift_px", s.max_shift_px, 0, "raise it")
    for name, schedule in (("noise", s.noise), ("colour_shift", s.colour_shift)):
        if min(schedule.start, schedule.end) < 0:
            raise UserError(f"views.{name}: expected start and end of at least 0, got {schedule}; raise them.")
    if not 0 <= s.crops <= 1:
        raise UserError(f"views.crops: expected a share from 0 to 1, got {s.crops}; 0.5 crops half of the views.")
    if not 0 < s.crop_size[0] <= s.crop_size[1] <= 1:
        raise UserError(
            f"views.crop_size: expected two shares of the canvas, the smaller first, got {list(s.crop_size)}; try "
            "[0.4,0.9]."
        )


@check_ranges.register
def _(s: ObjectiveSettings) -> None:
    if min(s.aesthetic.start, s.aesthetic.end) < 0:
        raise UserError(
            f"objective.aesthetic: expected start and end of at least 0, got {s.aesthetic.start} and "
            f"{s.aesthetic.end}; the method sets the sign."
        )
    if s.aesthetic_sign not in (-1, 0, 1):
        raise UserError(f"aesthetic_sign: expected -1, 0 or 1, got {s.aesthetic_sign}; choose a method.")
    for name, weight in {"clip": s.clip, **s.others}.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise UserError(f"objective.{name}: expected a weight of at least 0, got {weight}; change it.")


@check_ranges.register
def _(s: AscentSettings) -> None:
    check_bounds("steps", s.steps, 1, "the published value is 200")
    if not 0 < s.learning_rate <= MAX_LEARNING_RATE:  # NaN fails too
        raise UserError(
            f"learning_rate: expected above 0 and at most {MAX_LEARNING_RATE}, got {s.learning_rate}; the published "
            "value is 0.05."
        )
    if not all(0 <= beta < 1 for beta in s.betas):
        raise UserError(f"betas: expected two numbers from 0 to below 1, got {s.betas}; change them.")


def check_schedule(s: Schedule, where: str) -> None:
    """Checks the ranges of the schedule at this place in the configuration.

    Raises:
        UserError: a value is out of its range.
    """
    check_choice(s.kind, KINDS, where)
    if not (math.isfinite(s.start) and math.isfinite(s.end)):
        raise UserError(f"{where}: expected finite start and end, got {s.start} and {s.end}; change them.")
    if s.kind.startswith("exponential") and not 0 < s.rate < 1:
        raise UserError(f"{where}.rate: expected between 0 and 1, got {s.rate}; 0.03 is a published value.")
