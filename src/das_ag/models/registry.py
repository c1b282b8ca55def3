"""The registry of guides and evaluators by name; the program imports a class only when it is chosen.

To add a guide, write a subclass of `GuideChoice` in a file in `guides`, a file in `conf/models` and a line in `GUIDES`.
Add an evaluator in the same way. An external class needs no line: `models.kind=package.module.Class`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel, TextRater
    from das_ag.models.files import WeightFile
    from das_ag.models.hub import HubFolder


class Choice:
    """What guides and evaluators have in common; each is a frozen dataclass.

    Attributes:
        places: options that only locate weights; they do not count, since the digests identify the weights.
    """

    places: ClassVar[tuple[str, ...]] = ()

    def identity(self) -> dict[str, Any]:
        """The options that determine an image or a score."""
        options: dict[str, Any] = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {name: value for name, value in options.items() if name not in self.places}

    def files(self) -> Mapping[str, WeightFile | HubFolder]:
        """The weights that may need a download, by role; none if they come with Python packages."""
        return {}


@dataclass(frozen=True)
class GuideChoice(Choice, ABC):
    """A choice of `models=`; each subclass is a frozen dataclass, whose fields are the options of the group.

    Attributes:
        family: name of the choice and of its file in conf/models.
        advice: what to write instead of a text without content; messages end with it.
    """

    family: str

    advice: ClassVar[str] = "write a text"

    @abstractmethod
    def digests(self) -> dict[str, str]:
        """SHA-256 of each file of weights, by role; downloads missing files if possible, but loads none."""

    @abstractmethod
    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater | None]:
        """Loads the networks; one object may be both. A guide that does not rate has None as its rater."""

    @property
    def title(self) -> str:
        """The guide's name below tables, with that of its aesthetic head."""
        return self.family

    @property
    def rates(self) -> bool:
        """Whether the networks rate images; every method except DAS needs this."""
        return True

    def check(self, device: torch.device, dtype: torch.dtype) -> None:
        """Raises UserError if the options cannot work on this device at this precision."""

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """The texts in which the networks know no word."""
        return [text for text in texts if not text.split()]

    def lost_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """Words of the text that the networks ignore."""
        return ()

    def nearest_words(self, word: str) -> tuple[str, ...]:  # noqa: ARG002
        """Suggestions of known words for an unknown one."""
        return ()

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """Draws the same numbers from torch's default generator as the published program's network creation."""


@dataclass(frozen=True)
class EvaluatorChoice(Choice, ABC):
    """A choice of `evaluator=`; each subclass is a frozen dataclass, whose fields are the options below its name."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The evaluator's name in tables."""

    @abstractmethod
    def load(self, device: torch.device) -> AestheticModel | TextRater:
        """Loads the predictor: a `TextRater` if `needs_texts`, else an `AestheticModel`."""

    @property
    def needs_texts(self) -> bool:
        """Whether its score of an image depends on the image's texts."""
        return False

    @property
    def scale(self) -> tuple[float, float]:
        """The ends of its scale, for tables and plots; a larger score is better."""
        return (1.0, 10.0)

    @property
    def remark(self) -> str:
        """A note on the scores, in sentences, for display below the table; may be empty."""
        return ""

    @property
    def meaning(self) -> str:
        """What a score means, in a sentence, for people who score their own pictures; may be empty."""
        return ""

    @property
    def may_guide(self) -> bool:
        """Whether it may score images that its own weights guided; the table then shows a warning."""
        return True

    def check(self, device: torch.device) -> None:
        """Raises UserError if the options cannot work on this device."""

    def weights(self) -> dict[str, str]:
        """SHA-256 of each file of weights, by role; downloads missing files if possible."""
        from das_ag.models.files import fetch_all

        files = self.files()
        fetch_all(files.values())
        return {role: file.digest() for role, file in files.items()}

    def digest(self) -> str:
        """SHA-256 of everything that determines a score; loads no weights."""
        determining = [type(self).__qualname__, self.version(), self.identity(), self.weights()]
        return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()

    def version(self) -> str:
        """Version of the code that computes the score."""
        return metadata.version("das-ag")


def provide_weights(guide: GuideChoice, evaluators: Iterable[EvaluatorChoice], *, dry_run: bool) -> None:
    """Downloads missing weights; a dry run downloads nothing.

    Raises:
        UserError: weights are not available, or a dry run lacks those of the guide; the message names all of them.
    """
    from das_ag.models.files import fetch_all, size_of

    choices: list[Choice] = [guide, *evaluators]
    files = [file for choice in choices for file in choice.files().values()]
    fetch_all(file for file in files if file.given or not dry_run)
    if not all(file.is_there() for file in guide.files().values()):
        missing = ", ".join(f"{file.what} ({size_of(file)})" for file in files if not file.is_there())
        raise UserError(
            f"dry_run: cannot tell which samples are finished, since these weights are missing: {missing}. A dry run "
            "downloads nothing; a run without dry_run does."
        )


GUIDES = {
    "hf_clip": "das_ag.models.guides.hf_clip.HfClipChoice",
    "imagenet": "das_ag.models.guides.imagenet.ImagenetChoice",
    "open_clip": "das_ag.models.guides.open_clip.OpenClipChoice",
    "openai_clip": "das_ag.models.guides.openai_clip.OpenAIClipChoice",
}
"""Dotted names of classes, by `models.family`."""

EVALUATORS = {
    "aesthetic_v2_5": "das_ag.models.evaluators.aesthetic_v2_5.AestheticV25Choice",
    "clip_score": "das_ag.models.evaluators.clip_score.ClipScoreChoice",
    "imagenet": "das_ag.models.evaluators.imagenet.ImagenetJudgeChoice",
    "laion": "das_ag.models.evaluators.laion.LaionChoice",
}
"""Dotted names of classes, by name of the evaluator."""
