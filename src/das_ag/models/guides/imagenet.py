"""The choice `models=imagenet`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from das_ag.errors import UserError
from das_ag.models.registry import GuideChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import FeatureRater, ImageTextModel
    from das_ag.models.hub import HubFolder

LEAST_PX = 32
"""Smallest side of a network's input: the packaged networks halve it five times."""


@dataclass(frozen=True)
class ImagenetChoice(GuideChoice):
    """An ImageNet classifier as guide.

    Attributes:
        name: name of the network in timm.
        checkpoint: file of its weights; None for the weights of its package or of the hub.
        image_size_px: side of the input pictures; None for the network's own.
        head: file of a quality head; None for the one in the package, if there is one.
    """

    name: str
    checkpoint: str | None
    image_size_px: int | None
    head: str | None

    places: ClassVar = ("checkpoint", "head")
    advice: ClassVar = "choose words that das-ag list words lists"

    @property
    def title(self) -> str:
        """The network in timm, and whether it has a quality head."""
        return f"{self.name} {'with' if self.rates else 'without'} a quality head"

    @property
    def rates(self) -> bool:
        """Whether there is a quality head."""
        from das_ag.models.imagenet import head_file

        return head_file(self.name, self.checkpoint, self.head) is not None

    def identity(self) -> dict[str, Any]:
        """The options that determine an image, with the size as a number."""
        return super().identity() | {"image_size_px": self._size_px()}

    def _size_px(self) -> int:
        from das_ag.models.classifier import check_name, own_size_px

        check_name(self.name)
        return self.image_size_px or own_size_px(self.name)

    def check(self, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ARG002
        """Raises UserError if the size is too small."""
        if self.image_size_px is not None and self.image_size_px < LEAST_PX:
            raise UserError(
                f"models.image_size_px: expected at least {LEAST_PX}, got {self.image_size_px}; null uses the "
                "network's own size."
            )

    def files(self) -> dict[str, HubFolder]:
        """The network's weights, if they come from the hub."""
        from das_ag.models.classifier import hub_files

        return hub_files(self.name, self.checkpoint, group="models")

    def digests(self) -> dict[str, str]:
        """SHA-256 of the network and, if it has one, of its head."""
        from das_ag.models.imagenet import digests

        return digests(self.name, self.checkpoint, self.head, "models")

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """Texts that name no class."""
        from das_ag.models.words import read_text

        return [text for text in texts if not read_text(text).things]

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words that name no class."""
        from das_ag.models.words import read_text

        return read_text(text).unknown

    def nearest_words(self, word: str) -> tuple[str, ...]:
        """Known names with a similar spelling."""
        from das_ag.models.words import nearest

        return nearest(word)

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """Loads the network; one object is both encoder and rater."""
        from das_ag.models.imagenet import ImagenetGuide, head_file

        head, size_px = head_file(self.name, self.checkpoint, self.head), self._size_px()
        guide = ImagenetGuide(
            self.name, self.checkpoint, image_size_px=size_px, head=head, device=device, dtype=dtype
        )  # fmt: skip
        return guide, guide
