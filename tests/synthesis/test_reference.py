"""The method on one screen and its batched form are the same, step by step."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from das_ag.generation.published import PublishedNumbers
from das_ag.synthesis import reference
from das_ag.synthesis.ascent import Ascent
from das_ag.synthesis.objective import Guide, Objective, ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings, as_rgb
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import ViewSettings

IMAGE, DIM = 8, 16
FALLING = Schedule("exponential_decay", 0.5, 0.1, 0.2)
VIEWS = ViewSettings(3, 2, FALLING, FALLING, augment=True)
STEPS = AscentSettings(12, 0.05, (0.5, 0.99))


def random_guide(dropout=()):
    generator = torch.Generator().manual_seed(1)
    encoder = torch.randn(3 * IMAGE * IMAGE, DIM, generator=generator)
    rating = torch.randn(DIM, generator=generator)

    def rate(features, *masks):
        return (features * masks[0] if masks else features) @ rating + 5

    return Guide(IMAGE, lambda x: F.normalize(x.flatten(1) @ encoder, dim=-1), rate, dropout)


def objective_settings(sign):
    rising = Schedule("exponential_decay", 0.0, 3.0, 0.06)
    return ObjectiveSettings(rising, sign, 5.0, {"total_variation": 0.3, "l1": 0.1, "highlights": 0.0})


@pytest.mark.parametrize("sign", [-1, 0, 1])
@pytest.mark.parametrize(
    ("pyramid", "dropout"),
    [
        (PyramidSettings(20, "powers_of_two", 20, "mean", "scaled_noise", "bilinear", "clip_normalised"), ()),
        (PyramidSettings(13, "powers_of_two", 13, "mean", "scaled_noise", "bilinear", "full"), ((DIM, 0.2),)),
        (PyramidSettings(12, "powers_of_two", 6, "sum", "scaled_noise", "bilinear", "decorrelated", 3.5, 0.2), ()),
    ],
    ids=["published", "full gamut and dropout", "default colours"],
)
def test_the_reference_and_the_batched_form_are_the_same(pyramid, dropout, sign):
    guide, objective = random_guide(dropout), objective_settings(sign)
    positive, negative = F.normalize(torch.randn(2, DIM, generator=torch.Generator().manual_seed(2)), dim=1)
    generator = torch.Generator().manual_seed(7)
    expected = list(reference.synthesise(guide, positive, negative, (pyramid, VIEWS, objective, STEPS), generator))

    numbers = PublishedNumbers(7, torch.Generator().manual_seed(7).get_state())
    levels = Pyramid(numbers.levels(pyramid), pyramid)
    texts = Objective(objective, positive[None], negative[None])
    canvases = [as_rgb(levels.canvas(), pyramid.gamut).detach()]
    for (loss, canvas), iterate in zip(
        expected, Ascent(levels, guide, texts, VIEWS, STEPS, numbers=numbers, views_per_pass=2), strict=True
    ):
        assert iterate.loss.item() == pytest.approx(loss, abs=1e-5)
        torch.testing.assert_close(canvases[-1], canvas, rtol=0, atol=1e-5)
        canvases.append(as_rgb(levels.canvas(), pyramid.gamut).detach())
    assert len(expected) == STEPS.steps
    assert (canvases[-1] - canvases[0]).abs().mean() > 0.02  # what is compared has moved


def test_the_method_fits_its_screens():
    assert len(Path(reference.__file__).read_text(encoding="utf-8").splitlines()) <= 120
