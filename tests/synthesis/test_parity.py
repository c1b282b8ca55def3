"""The published program's own trajectories, reproduced. tests/data/README.md says how they were recorded."""

import numpy as np
import pytest
import torch
from reference import (
    GEISHA,
    NEGATIVE,
    SMALL_CLIP_SHA256,
    find_weights,
    laion_head_path,
    save_small_clip,
    small_clip_state,
    trajectories,
)

from das_ag.models.aesthetic import LaionHead
from das_ag.models.clip import OpenAIClip
from das_ag.synthesis.ascent import Ascent, image_rgb, measure_result, to_bytes
from das_ag.synthesis.objective import Guide, Objective, ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import Pyramid, PyramidSettings
from das_ag.synthesis.randomness import SampleNumbers
from das_ag.synthesis.schedules import Schedule
from das_ag.synthesis.views import ViewSettings

PYRAMID = PyramidSettings(256, "powers_of_two", 256, "mean", "scaled_noise", "bilinear", "clip_normalised")
ZERO = Schedule("linear", 0.0, 0.0, 0.5)
BORDER = 16
VIEWS = ViewSettings(1, BORDER, ZERO, ZERO, augment=False)
ASCENT = AscentSettings(30, 0.05, (0.5, 0.99))
RUNS = {
    "das_plain": ObjectiveSettings(ZERO, 1, 5.0, {"total_variation": 1e-8, "l1": 0.0, "highlights": 0.0}),
    "ag_l1tv": ObjectiveSettings(
        Schedule("exponential_decay", 0.0, 3.0, 0.06), 1, 5.0, {"total_variation": 0.5, "l1": 0.2, "highlights": 0.0}
    ),
}
COLUMNS = ("aesthetic", "positive", "negative", "total_variation", "l1")

TRACE_TOLERANCE, PIXEL_TOLERANCE = 1e-5, 1
"""An independent implementation came within 2e-7 and 1 of 255; other versions of libraries are allowed more."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return OpenAIClip(save_small_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def recorded():
    return trajectories()


def reproduce(name, clip, rate_features, recorded):
    """Trace (steps, terms), final terms and image (h, w, 3) of a recorded run."""
    levels = [torch.from_numpy(recorded[f"init/{size}"]) for size in PYRAMID.sizes_px]
    pyramid = Pyramid(levels, PYRAMID)
    guide = Guide(clip.image_size_px, clip.encode_images, rate_features)
    objective = Objective(RUNS[name], clip.encode_texts([GEISHA]), clip.encode_texts([NEGATIVE]))

    def row(terms):
        return [terms[column].item() for column in COLUMNS]

    trace = [
        row(iterate.terms)
        for iterate in Ascent(pyramid, guide, objective, VIEWS, ASCENT, numbers=SampleNumbers([torch.Generator()]))
    ]
    final = row(measure_result(pyramid, guide, objective, BORDER))
    return np.array(trace), np.array(final[:3]), to_bytes(image_rgb(pyramid, BORDER))[0].numpy()


def largest_difference(a, b):
    return np.abs(a.astype(np.float64) - b.astype(np.float64)).max()


def test_das_without_any_file_of_weights(clip, recorded):
    """The aesthetic head does not guide this run, so that everything but its own column can be compared."""
    trace, final, image = reproduce("das_plain", clip, lambda features: features.new_zeros(len(features)), recorded)
    assert largest_difference(trace[:, 1:], recorded["das_plain/trace"][:, 1:]) < TRACE_TOLERANCE
    assert largest_difference(final[1:], recorded["das_plain/final"][1:]) < TRACE_TOLERANCE
    assert largest_difference(image, recorded["das_plain/image"]) <= PIXEL_TOLERANCE
    # What is compared has moved: the similarity rose by far more than the tolerance.
    assert recorded["das_plain/trace"][-1, 1] - recorded["das_plain/trace"][0, 1] > 0.01


@pytest.mark.parametrize("name", RUNS)
def test_whole_run_with_the_laion_head(name, clip, recorded):
    head = LaionHead(laion_head_path())
    trace, final, image = reproduce(name, clip, head.rate_features, recorded)
    assert largest_difference(trace, recorded[f"{name}/trace"]) < TRACE_TOLERANCE
    assert largest_difference(final, recorded[f"{name}/final"]) < TRACE_TOLERANCE
    assert largest_difference(image, recorded[f"{name}/image"]) <= PIXEL_TOLERANCE


def test_the_rebuilt_clip_equals_the_one_of_the_recording():
    path = find_weights("clip_small_random.pt", variable="CLIP_MODEL_PATH", sha256=SMALL_CLIP_SHA256)
    recorded, rebuilt = torch.load(path, map_location="cpu", weights_only=True), small_clip_state()
    assert recorded.keys() == rebuilt.keys()
    for name, weight in recorded.items():
        assert weight.dtype == rebuilt[name].dtype == torch.float16
        assert torch.equal(weight, rebuilt[name]), name
