"""The choices `models=imagenet` and `evaluator=imagenet`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel, FeatureRater, ImageTextModel


def _files(name: str, checkpoint: str | None, head: str | None, option: str) -> dict[str, Path]:
    """The files of a network and, where it has one, of its quality head."""
    from das_ag.models.classifier import check_name, weights_file
    from das_ag.models.quality import packaged_head

    check_name(name, f"{option}.name")
    heads = Path(head).expanduser() if head else packaged_head(name)
    return {"classifier": weights_file(name, checkpoint), **({"head": heads} if heads else {})}


def _digests(files: Mapping[str, Path], option: str) -> dict[str, str]:
    from das_ag.models.weights import check_file

    return {role: check_file(path, what=option, remedy="correct the path") for role, path in files.items()}


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
        """See `GuideChoice`."""
        from das_ag.models.quality import packaged_head

        return bool(self.head or packaged_head(self.name))

    def identity(self) -> dict[str, Any]:
        """See `GuideChoice`."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in self.places}

    def check(self, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ARG002
        """See `GuideChoice`."""
        if self.image_size_px is not None and self.image_size_px < 32:
            raise UserError(
                f"models.image_size_px: expected at least 32, got {self.image_size_px}; null is a safe choice."
            )

    def digests(self) -> dict[str, str]:
        """See `GuideChoice`."""
        return _digests(_files(self.name, self.checkpoint, self.head, "models"), "models")

    def without_content(self, texts: Sequence[str]) -> list[str]:
        """See `GuideChoice`."""
        from das_ag.models.words import read_text

        return [text for text in texts if not read_text(text).things]

    def lost_words(self, text: str) -> tuple[str, ...]:
        """See `GuideChoice`."""
        from das_ag.models.words import read_text

        return read_text(text).unknown

    def nearest_words(self, word: str) -> tuple[str, ...]:
        """See `GuideChoice`."""
        from das_ag.models.words import nearest

        return nearest(word)

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[ImageTextModel, FeatureRater]:
        """See `GuideChoice`."""
        from das_ag.models.imagenet import ImagenetGuide

        head = Path(self.head).expanduser() if self.head else None
        guide = ImagenetGuide(
            self.name, self.checkpoint, image_size_px=self.image_size_px, head=head, device=device, dtype=dtype
        )
        return guide, guide

    def draw_initial_weights(self, image_text: ImageTextModel) -> None:
        """See `GuideChoice`; the published program knows no such network."""


@dataclass(frozen=True)
class ImagenetJudgeChoice:
    """A classifier of photographs that judges.

    Attributes:
        name, checkpoint, head: as of `ImagenetChoice`.
    """

    name: str
    checkpoint: str | None
    head: str | None

    strangers_only: ClassVar = True
    title: ClassVar = "ImageNet judge (photographic quality)"
    remark: ClassVar = (
        "It rates photographic quality, not beauty, and cannot be compared with the published table. It recognises an "
        "image if the thing is its first guess, or if several things are all among its first five. It is a sibling of "
        "the default guide, trained on the same photos, so the two agree more easily than strangers."
    )

    def check(self, device: torch.device) -> None:
        """See `EvaluatorChoice`."""

    def digest(self) -> str:
        """See `EvaluatorChoice`."""
        return hashlib.sha256(" ".join(self.weights().values()).encode()).hexdigest()

    def weights(self) -> dict[str, str]:
        """See `EvaluatorChoice`."""
        return _digests(_files(self.name, self.checkpoint, self.head, "evaluator.imagenet"), "evaluator.imagenet")

    def version(self) -> str:
        """See `EvaluatorChoice`."""
        return f"{metadata.version('das-ag')}, {self.name}, timm {metadata.version('timm')}"

    def load(self, device: torch.device) -> AestheticModel:
        """See `EvaluatorChoice`."""
        from das_ag.models.imagenet import ImagenetJudge

        head = Path(self.head).expanduser() if self.head else None
        return ImagenetJudge(self.name, self.checkpoint, head=head, device=device)
