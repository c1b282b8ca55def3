"""Which frozen networks can be chosen by name, and how each is loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch

    from das_ag.models import AestheticModel, FeatureRater, ImageTextModel


@dataclass(frozen=True)
class LoadedGuide:
    """Networks that guide.

    Attributes:
        image_text: of images and prompts.
        rater: of the aesthetics of its features.
    """

    image_text: ImageTextModel
    rater: FeatureRater


@dataclass(frozen=True)
class GuideFamily:
    """A choice of `models=`.

    Attributes:
        digests: SHA-256 of each file of weights by role, without loading them.
        load: the networks on a device.
        lost_words: words of a text that the networks do not see.
        content_words: words of a text that they know and that describe something.
    """

    digests: Callable[[], dict[str, str]]
    load: Callable[[torch.device], LoadedGuide]
    lost_words: Callable[[str], tuple[str, ...]]
    content_words: Callable[[str], tuple[str, ...]]


@dataclass(frozen=True)
class EvaluatorFamily:
    """A choice of `evaluator=`.

    Attributes:
        title: how tables call it.
        digest: SHA-256 of its weights, without loading them.
        load: the predictor on a device.
    """

    title: str
    digest: Callable[[], str]
    load: Callable[[torch.device], AestheticModel]


def check_name(name: Any, choices: Mapping[str, object], option: str) -> str:
    """Returns the name if it is one of the choices.

    Raises:
        UserError: it is not.
    """
    if name not in choices:
        raise UserError(f"{option}: expected one of {', '.join(choices)}, got {name!r}; choose one of them.")
    return str(name)


@functools.lru_cache(maxsize=1)
def load_guide(family: str, device: torch.device) -> LoadedGuide:
    """The guide's networks; the jobs of a sweep share them."""
    return GUIDES[family].load(device)


def _embedded_digests() -> dict[str, str]:
    from das_ag.models import embedded

    return {"guide": embedded.digest("guide")}


def _load_embedded_guide(device: torch.device) -> LoadedGuide:
    from das_ag.models.embedded import EmbeddedGuide

    guide = EmbeddedGuide(device=device)
    return LoadedGuide(guide, guide)


def _embedded_lost_words(text: str) -> tuple[str, ...]:
    from das_ag.models import embedded

    return embedded.load_tokenizer("guide").lost_words(text)


def _embedded_content_words(text: str) -> tuple[str, ...]:
    from das_ag.models import embedded

    return embedded.load_tokenizer("guide").content_words(text)


def _embedded_judge_digest() -> str:
    from das_ag.models import embedded

    return embedded.digest("judge")


def _load_embedded_judge(device: torch.device) -> AestheticModel:
    from das_ag.models.embedded import EmbeddedJudge

    return EmbeddedJudge(device=device)


GUIDES = {
    "embedded": GuideFamily(_embedded_digests, _load_embedded_guide, _embedded_lost_words, _embedded_content_words)
}
EVALUATORS = {"embedded": EvaluatorFamily("Embedded judge", _embedded_judge_digest, _load_embedded_judge)}
