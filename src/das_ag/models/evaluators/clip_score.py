"""The choice `evaluator=clip_score`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from das_ag.models.registry import EvaluatorChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import TextRater
    from das_ag.models.files import WeightFile

GROUP = "evaluator.clip_score"


@dataclass(frozen=True)
class ClipScoreChoice(EvaluatorChoice):
    """The CLIP score: how similar an image is to its prompt for a CLIP that did not guide.

    Attributes:
        name: name of the CLIP in `clip.available_models()`.
        path: path to a checkpoint; None for the environment's path, else the cache.
    """

    name: str
    path: str | None

    places: ClassVar = ("name", "path")
    needs_texts: ClassVar = True
    scale: ClassVar = (0.0, 100.0)
    may_guide: ClassVar = False
    remark: ClassVar = (
        "It is 100 times the cosine of image and prompt, and at least 0; photos with their captions reach about 20 to "
        "35. It does not rate beauty."
    )

    @property
    @override
    def title(self) -> str:
        return f"CLIP score ({self.name})"

    @override
    def files(self) -> dict[str, WeightFile]:
        from das_ag.models.sources import clip_file

        return {"clip": clip_file(self.name, self.path, GROUP)}

    @override
    def weights(self) -> dict[str, str]:
        from das_ag.models.sources import check_names

        digests = super().weights()
        check_names(self.name, digests, GROUP)
        return digests

    @override
    def load(self, device: torch.device) -> TextRater:
        from das_ag.models.clip_evaluators import ClipScore

        return ClipScore(self.files()["clip"].path, device)
