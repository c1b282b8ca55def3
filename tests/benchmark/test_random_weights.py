"""Random weights have the sizes of the published ones."""

import math

import pytest
import torch

from das_ag.benchmark.random_weights import ARCHITECTURES, random_weights
from das_ag.errors import UserError
from das_ag.models.sources import CLIP_BYTES, clip_package, known_clips


def test_every_published_clip_has_an_architecture():
    assert list(ARCHITECTURES) == list(known_clips())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_has_the_size_of_the_published_file(name):
    """OpenAI's archives hold float16, but the token embedding and a few small tensors in float32, and some code."""
    clip_package()
    from clip.model import CLIP

    with torch.device("meta"):
        state = CLIP(**ARCHITECTURES[name]).state_dict()
    numbers = sum(math.prod(weight.shape) for weight in state.values())
    size = 2 * (numbers + math.prod(state["token_embedding.weight"].shape))
    assert size == pytest.approx(CLIP_BYTES[name], rel=0.01)


def test_a_network_that_is_no_clip_of_openai_is_told():
    with (
        pytest.raises(UserError, match=r"models\.name: expected one of RN50, .* for random weights, got 'resnet50'"),
        random_weights("resnet50"),
    ):
        pass
