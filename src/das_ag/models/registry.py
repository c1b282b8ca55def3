"""What can guide and what can evaluate: found by name here, imported when it is chosen.

A new guide is a subclass of `GuideChoice` in a file in `guides`, a file in `conf/models` and a line in `GUIDES`; a new
evaluator likewise. One from outside needs no line: `models.kind=package.module.Class`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel


@dataclass(frozen=True)
class GuideChoice(ABC):
    """A choice of `models=`; the fields of its subclass, a frozen dataclass, are the options of that group.

    Attributes:
        family: its name, which is that of its file in conf/models.
        places: options that only say where weights lie, which their digests tell better.
        advice: what to write in place of a text without content: the end of a sentence.
    """

    family: str

    places: ClassVar[tuple[str, ...]] = ()
    advice: ClassVar[str] = "write a text"

    @abstractmethod
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file of weights by role, without loading them; what may be downloaded is."""

    @abstractmethod
    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """The networks; one object may be both."""

    @property
    def rates(self) -> bool:
        """Whether the networks rate images, which every method but DAS needs."""
        return True

    def identity(self) -> dict[str, Any]:
        """Those options that change an image."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in self.places}

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """Raises UserError where the options cannot work on this device at this precision."""

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts of which no word describes something to the networks."""
        return [text for text in texts if not text.split()]

    def lost_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """Words of the text that the networks do not see."""
        return ()

    def nearest_words(self, word: str) -> tuple[str, ...]:  # noqa: ARG002
        """Known words that a lost one may have been meant for."""
        return ()

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """Draws from torch's default generator what the published program draws when it makes its networks."""


@dataclass(frozen=True)
class EvaluatorChoice(ABC):
    """A choice of `evaluator=`; the fields of its subclass, a frozen dataclass, are the options below its name."""

    @property
    @abstractmethod
    def title(self) -> str:
        """How tables call it."""

    @abstractmethod
    def load(self, device: torch.device) -> AestheticModel:
        """The predictor."""

    @property
    def remark(self) -> str:
        """What to know about its scores, a sentence or more below the table; may be empty."""
        return ""

    @property
    def may_guide(self) -> bool:
        """Whether it scores images that its own weights guided, of which the table then warns."""
        return True

    def check(self, device: torch.device) -> None:
        """Raises UserError where the options cannot work on this device."""

    def weights(self) -> dict[str, str]:
        """SHA-256 of each file of weights by role; what may be downloaded is."""
        return {}

    def digest(self) -> str:
        """SHA-256 of all that determines a score, without loading weights."""
        determining = [type(self).__qualname__, self.version(), dataclasses.asdict(self), self.weights()]
        return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()

    def version(self) -> str:
        """Of what computes the score."""
        return metadata.version("das-ag")


GUIDES = {
    "imagenet": "das_ag.models.guides.imagenet.ImagenetChoice",
    "openai_clip": "das_ag.models.guides.openai_clip.OpenAIClipChoice",
}
"""Classes by `models.family`."""

EVALUATORS = {
    "aesthetic_v2_5": "das_ag.models.evaluators.aesthetic_v2_5.AestheticV25Choice",
    "imagenet": "das_ag.models.evaluators.imagenet.ImagenetJudgeChoice",
}
"""Classes by name of the evaluator."""
