"""The choices `models=imagenet` and `evaluator=imagenet`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel

LEAST_PX = 32
"""Of a network's input: the packaged ones halve it five times."""
JUDGE_REVISION = 1
"""Counts changes of how the judge prepares and recognises an image."""


def _digests(name: str, checkpoint: str | None, head: str | None, group: str) -> dict[str, str]:
    """SHA-256 of a network's weights and, where it has one, of its quality head.

    Raises:
        UserError: there is no such network or file, or the head is another network's.
    """
    from das_ag.models.classifier import check_name, weights_file
    from das_ag.models.imagenet import head_file
    from das_ag.models.quality import QualityHead
    from das_ag.models.weights import sha256_of

    check_name(name, group=group)
    found = {"classifier": sha256_of(weights_file(name, checkpoint, group=group))}
    if path := head_file(name, checkpoint, head):
        found["head"] = QualityHead(path, found["classifier"]).digest
    return found


@dataclass(frozen=True)
class ImagenetChoice:
    """A classifier of photographs that guides.

    Attributes:
        name: as timm calls the network.
        checkpoint: file of its weights; None for those of its package or of the hub.
        image_size_px: side of the pictures that it looks at; None for the network's own.
        head: file of a quality head; None for the one in the package.
    """

    family: str
    name: str
    checkpoint: str | None
    image_size_px: int | None
    head: str | None

    places: ClassVar = ("checkpoint", "head")
    advice: ClassVar = "choose among those that python scripts/list_words.py lists"

    @property
    def rates(self) -> bool:
        """Whether there is a quality head."""
        from das_ag.models.imagenet import head_file

        return head_file(self.name, self.checkpoint, self.head) is not None

    def identity(self) -> dict[str, Any]:
        """The options, with the size as a number."""
        options = dataclasses.asdict(self) | {"image_size_px": self._size_px()}
        return {name: value for name, value in options.items() if name not in self.places}

    def _size_px(self) -> int:
        from das_ag.models.classifier import check_name, own_size_px

        check_name(self.name)
        return self.image_size_px or own_size_px(self.name)

    def check(self, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ARG002
        """Raises UserError where the size is too small."""
        if self.image_size_px is not None and self.image_size_px < LEAST_PX:
            raise UserError(
                f"models.image_size_px: expected at least {LEAST_PX}, got {self.image_size_px}; null takes the "
                "network's own."
            )

    def digests(self) -> dict[str, str]:
        """SHA-256 of the network and of its head."""
        return _digests(self.name, self.checkpoint, self.head, "models")

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """Texts that name no class."""
        from das_ag.models.words import read_text

        return [text for text in texts if not read_text(text).things]

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words that name no class."""
        from das_ag.models.words import read_text

        return read_text(text).unknown

    def nearest_words(self, word: str) -> tuple[str, ...]:
        """Names that are spelled like it."""
        from das_ag.models.words import nearest

        return nearest(word)

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """One object is both."""
        from das_ag.models.imagenet import ImagenetGuide, head_file

        head, size_px = head_file(self.name, self.checkpoint, self.head), self._size_px()
        guide = ImagenetGuide(
            self.name, self.checkpoint, image_size_px=size_px, head=head, device=device, dtype=dtype
        )  # fmt: skip
        return guide, guide

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """Nothing: the published program knows no such network."""


@dataclass(frozen=True)
class ImagenetJudgeChoice:
    """A classifier of photographs that judges.

    Attributes:
        name, checkpoint, head: as of `ImagenetChoice`.
    """

    name: str
    checkpoint: str | None
    head: str | None

    may_guide: ClassVar = False

    @property
    def _rates(self) -> bool:
        from das_ag.models.imagenet import head_file

        return head_file(self.name, self.checkpoint, self.head) is not None

    @property
    def title(self) -> str:
        """What it judges."""
        return "ImageNet judge (photographic quality)" if self._rates else f"ImageNet judge ({self.name})"

    @property
    def remark(self) -> str:
        """What it rates, when it recognises, and how far it can be trusted."""
        rates = "It rates photographic quality, not beauty, and cannot be compared with the published table. "
        recognises = (
            "It recognises an image if the thing is its first guess, or if several things are all among its first five."
        )
        sibling = (
            " It is a sibling of the default guide, trained on the same photos, so the two agree more easily than "
            "strangers."
        )
        return f"{rates if self._rates else ''}{recognises}{sibling if 'efficientnet_lite' in self.name else ''}"

    def check(self, device: torch.device) -> None:
        """It works on every device."""

    def digest(self) -> str:
        """Of network, head, names of the classes, and of how an image is prepared."""
        from das_ag.models import words

        parts = [*self.weights().values(), words.digest(), str(JUDGE_REVISION)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def weights(self) -> dict[str, str]:
        """SHA-256 of the network and of its head."""
        return _digests(self.name, self.checkpoint, self.head, "evaluator.imagenet")

    def version(self) -> str:
        """Of what computes the score."""
        return f"{metadata.version('das-ag')}, {self.name}, timm {metadata.version('timm')}"

    def load(self, device: torch.device) -> AestheticModel:
        """The judge."""
        from das_ag.models.imagenet import ImagenetJudge, head_file

        head = head_file(self.name, self.checkpoint, self.head)
        return ImagenetJudge(self.name, self.checkpoint, head=head, device=device)
