"""The predictors that can evaluate: a choice of `evaluator=`, its options, and how it is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from das_ag.errors import UserError

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel
    from das_ag.models.sources import HubFolder, WeightFile


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


@dataclass(frozen=True)
class AestheticV25Choice:
    """Aesthetic Predictor v2.5.

    Attributes:
        siglip: name on the hub; not used where there is a path.
        siglip_path: to the folder of a checkpoint.
        head_path: to the predictor's head.
        attention, precision: of the networks.
    """

    siglip: str
    siglip_path: str | None
    head_path: str | None
    attention: str
    precision: str

    title: ClassVar = "Aesthetic Predictor v2.5"
    remark: ClassVar = ""
    may_guide: ClassVar = True

    def files(self) -> tuple[HubFolder, WeightFile]:
        """Where SigLIP and the head lie."""
        from das_ag.models.sources import siglip_folder, v2_5_file

        return siglip_folder(self.siglip, self.siglip_path), v2_5_file(self.head_path)

    @property
    def dtype(self) -> torch.dtype:
        """The type of that precision."""
        from das_ag.experiment.runtime import dtype_of

        return dtype_of(self.precision, "evaluator.aesthetic_v2_5.precision")

    def check(self, device: torch.device) -> None:
        """See `EvaluatorChoice`."""
        from das_ag.models.attention import check_kernel

        check_kernel(self.attention, "evaluator.aesthetic_v2_5.attention", device, self.dtype)

    def digest(self) -> str:
        """See `EvaluatorChoice`."""
        weights = self.weights()
        determining = [*weights.values(), self.attention, self.precision]
        return hashlib.sha256(json.dumps(determining).encode()).hexdigest()

    def weights(self) -> dict[str, str]:
        """See `EvaluatorChoice`."""
        siglip, head = self.files()
        siglip.fetch()
        head.fetch()
        return {"siglip": siglip.digest(), "siglip_config": siglip.config_digest(), "head": head.digest()}

    def version(self) -> str:
        """See `EvaluatorChoice`."""
        return f"{metadata.version('aesthetic-predictor-v2-5')}, transformers {metadata.version('transformers')}"

    def load(self, device: torch.device) -> AestheticModel:
        """See `EvaluatorChoice`."""
        from das_ag.models.aesthetic_v2_5 import AestheticV25

        siglip, head = self.files()
        return AestheticV25(siglip.folder(), head.path, device=device, dtype=self.dtype, attention=self.attention)


def check_not_guide(name: str, choice: EvaluatorChoice, guide_digests: Collection[str]) -> None:
    """Sees that an evaluator has not guided; one that may, has its tables say so.

    Args:
        name: of the evaluator.
        guide_digests: SHA-256 of the guide's files.

    Raises:
        UserError: it has.
    """
    if choice.may_guide:
        return
    if own := set(choice.weights().values()) & set(guide_digests):
        raise UserError(
            f"evaluator.{name}: expected other weights than the guide's, got the same ({min(own)[:12]}…), which would "
            f"judge their own images; choose another network with evaluator.{name}.name=."
        )


EVALUATORS = {
    "aesthetic_v2_5": "das_ag.experiment.evaluators.AestheticV25Choice",
    "imagenet": "das_ag.experiment.imagenet.ImagenetJudgeChoice",
}
"""Classes by name of the evaluator, imported when they are chosen."""
