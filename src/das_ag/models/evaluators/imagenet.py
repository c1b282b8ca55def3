"""The choice `evaluator=imagenet`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar

from das_ag.models.registry import EvaluatorChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel

JUDGE_REVISION = 1
"""Counts changes of how the judge prepares and recognises an image."""


@dataclass(frozen=True)
class ImagenetJudgeChoice(EvaluatorChoice):
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

    def digest(self) -> str:
        """Of network, head, names of the classes, and of how an image is prepared."""
        from das_ag.models import words

        parts = [*self.weights().values(), words.digest(), str(JUDGE_REVISION)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def weights(self) -> dict[str, str]:
        """SHA-256 of the network and of its head."""
        from das_ag.models.imagenet import digests

        return digests(self.name, self.checkpoint, self.head, "evaluator.imagenet")

    def version(self) -> str:
        """Of what computes the score."""
        return f"{metadata.version('das-ag')}, {self.name}, timm {metadata.version('timm')}"

    def load(self, device: torch.device) -> AestheticModel:
        """The judge."""
        from das_ag.models.imagenet import ImagenetJudge, head_file

        head = head_file(self.name, self.checkpoint, self.head)
        return ImagenetJudge(self.name, self.checkpoint, head=head, device=device)
