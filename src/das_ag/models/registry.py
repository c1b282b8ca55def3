"""What can guide and what can evaluate: found by name here, imported when it is chosen.

A new guide is one file in `guides`, one in `conf/models` and one line in `GUIDES`; a new evaluator likewise. One from
outside needs no line: `models.kind=package.module.Class`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel


@runtime_checkable
class GuideChoice(Protocol):
    """A choice of `models=`; its fields are the options of that group."""

    @property
    def family(self) -> str:
        """Its name, which is that of its file in conf/models."""

    @property
    def rates(self) -> bool:
        """Whether the networks rate images, which every method but DAS needs."""

    @property
    def advice(self) -> str:
        """What to write in place of a text without content: the end of a sentence."""

    def identity(self) -> dict[str, Any]:
        """Those options that change an image; not where files lie."""

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """Raises UserError where the options cannot work on this device at this precision."""

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file of weights by role, without loading them; what may be downloaded is."""

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts of which no word describes something to the networks."""

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words of the text that the networks will not see, as far as that is known before they are loaded."""

    def nearest_words(self, word: str) -> tuple[str, ...]:
        """Known words that a lost one may have been meant for."""

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """The networks."""

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """Draws from torch's default generator what the published program draws when it makes its networks."""


@runtime_checkable
class EvaluatorChoice(Protocol):
    """A choice of `evaluator=`; its fields are the options below its name."""

    @property
    def title(self) -> str:
        """How tables call it."""

    @property
    def remark(self) -> str:
        """What to know about its scores, a sentence or more below the table; may be empty."""

    @property
    def may_guide(self) -> bool:
        """Whether it scores images that its own weights guided, of which the table then warns."""

    def check(self, device: torch.device) -> None:
        """Raises UserError where the options cannot work on this device."""

    def digest(self) -> str:
        """SHA-256 of all that determines a score, without loading weights; what may be downloaded is."""

    def weights(self) -> dict[str, str]:
        """SHA-256 of each file of weights by role."""

    def version(self) -> str:
        """Of the package that computes the score."""

    def load(self, device: torch.device) -> AestheticModel:
        """The predictor."""


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
