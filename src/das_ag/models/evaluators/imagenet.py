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
    from das_ag.models.hub import HubFolder

JUDGE_REVISION = 1
"""Increases with each change of the judge's preparation or recognition of images."""


@dataclass(frozen=True)
class ImagenetJudgeChoice(EvaluatorChoice):
    """An ImageNet classifier as evaluator.

    Attributes:
        name, checkpoint, head: as in `ImagenetChoice`.
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
        """The judge's name in tables, with what it judges."""
        return "ImageNet judge (photographic quality)" if self._rates else f"ImageNet judge ({self.name})"

    @property
    def meaning(self) -> str:
        """What a score means, and what it does not."""
        if not self._rates:
            return "It gives no scores: without a quality head, it only recognises what a text names."
        return (
            "It rates photographic quality, not beauty: about 7 for a clean photo, lower for a picture with blur, "
            "noise or false colours."
        )

    @property
    def remark(self) -> str:
        """A note on what the judge rates, when it recognises an image, and how similar it is to the default guide."""
        rates = "It rates photographic quality, not beauty; do not compare its scores with the published table. "
        recognises = (
            "It recognises an image of one thing if the thing is its first guess, and an image of several things if "
            "all are among its first five guesses."
        )
        sibling = (
            " It is similar to the default guide and was trained on the same photos, so the two agree more easily than "
            "independent networks."
        )
        return f"{rates if self._rates else ''}{recognises}{sibling if 'efficientnet_lite' in self.name else ''}"

    def digest(self) -> str:
        """SHA-256 of network, head, class names and revision of the judge."""
        from das_ag.models import words

        parts = [*self.weights().values(), words.digest(), str(JUDGE_REVISION)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def files(self) -> dict[str, HubFolder]:
        """The network's weights, if they come from the hub."""
        from das_ag.models.classifier import hub_files

        return hub_files(self.name, self.checkpoint, group="evaluator.imagenet")

    def weights(self) -> dict[str, str]:
        """SHA-256 of the network and, if it has one, of its head."""
        from das_ag.models.imagenet import digests

        return digests(self.name, self.checkpoint, self.head, "evaluator.imagenet")

    def version(self) -> str:
        """Versions of das-ag and timm, with the network's name."""
        return f"{metadata.version('das-ag')}, {self.name}, timm {metadata.version('timm')}"

    def load(self, device: torch.device) -> AestheticModel:
        """Loads the judge."""
        from das_ag.models.imagenet import ImagenetJudge, head_file

        head = head_file(self.name, self.checkpoint, self.head)
        return ImagenetJudge(self.name, self.checkpoint, head=head, device=device)
