"""What a recipe from a file costs; one that asks for more than the published experiment does not run unasked."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from das_ag.errors import UserError, counted
from das_ag.settings.plan import Plan
from das_ag.store.samples import Placement

PUBLISHED_IMAGES, PUBLISHED_STEPS, PUBLISHED_VIEWS = 36, 200, 8
"""The published experiment: its images, the steps of each and the views in a step."""
MOST_LEVEL_BYTES = 10**9
"""Memory for levels above which a recipe does not run unasked; a published image needs 17 MB."""
_COPIES = 4
"""Of each level: its pixels, their gradient, and both moments of Adam."""


@dataclass(frozen=True)
class Cost:
    """The work of a recipe.

    Attributes:
        steps: steps of the optimiser.
        views: views of each image in a step.
        samples: images that are optimised together, since the recipe's image was made among as many.
        canvas_px: side of the canvas.
        level_bytes: memory that the levels of the pyramid need; the networks need more.
    """

    steps: int
    views: int
    samples: int
    canvas_px: int
    level_bytes: int

    @property
    def images(self) -> float:
        """How many images of the published experiment have as many views."""
        return self.steps * self.views * self.samples / (PUBLISHED_STEPS * PUBLISHED_VIEWS)

    @property
    def is_large(self) -> bool:
        """Whether it needs more time or memory than the whole published experiment."""
        many_views = self.views * self.samples > PUBLISHED_VIEWS * PUBLISHED_IMAGES
        return self.images > PUBLISHED_IMAGES or many_views or self.level_bytes > MOST_LEVEL_BYTES

    def __str__(self) -> str:
        return (
            f"{counted(self.steps, 'step')}, {counted(self.views * self.samples, 'view')} in each, a canvas of "
            f"{self.canvas_px:,} px: "
            f"{self.images:,.1f} times the views of a published image, and {self.level_bytes / 1e6:,.0f} MB for the "
            "pyramid"
        )


def cost_of(plan: Plan, placement: Placement) -> Cost:
    """The cost of a plan of one sample."""
    samples, views = placement.samples_per_batch, plan.settings.views.views_in_step
    pyramid = plan.settings.pyramid
    level_bytes = _COPIES * samples * sum(3 * 4 * side**2 for side in pyramid.sizes_px)
    return Cost(plan.settings.ascent.steps, views, samples, pyramid.canvas_px, level_bytes)


def confirm(name: str, cost: Cost, *, yes: bool) -> None:
    """Shows a large cost, and asks whether to go on.

    Args:
        name: name of the sample.
        yes: the answer, given in advance.

    Raises:
        UserError: the answer is no, or there is no terminal to ask.
    """
    if not cost.is_large:
        return
    print(f"{name}: {cost}.", file=sys.stderr, flush=True)
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise UserError(f"{name}: asks for more than the published experiment; add --yes to make it all the same.")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError(f"{name}: not made, since the answer was no.")
