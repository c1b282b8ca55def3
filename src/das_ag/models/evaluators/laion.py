"""The choice `evaluator=laion`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from das_ag.errors import UserError
from das_ag.models.registry import EvaluatorChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel
    from das_ag.models.files import WeightFile

GROUP = "evaluator.laion"


@dataclass(frozen=True)
class LaionChoice(EvaluatorChoice):
    """LAION's aesthetic predictor: a head on the features of OpenAI's CLIP.

    Attributes:
        name: name of the CLIP in `clip.available_models()`; it also selects the head.
        path: path to a checkpoint; None for the environment's path, else the cache.
        head: path to an aesthetic head, or name of a published one; None for the one that fits the CLIP.
    """

    name: str
    path: str | None
    head: str | None

    places: ClassVar = ("name", "path", "head")
    meaning: ClassVar = "A score predicts how much people like a picture, mostly from 1 to 10."

    @property
    @override
    def title(self) -> str:
        return f"LAION aesthetic predictor ({self.name})"

    @property
    @override
    def remark(self) -> str:
        """A note on predictors of the same family, since most guides are OpenAI's CLIP with a LAION head."""
        return (
            "It agrees more easily with a guide that is another CLIP of OpenAI with a LAION head than an independent "
            "predictor does. Each head has its own scale: compare scores of the same head only."
        )

    @override
    def files(self) -> dict[str, WeightFile]:
        from das_ag.models.sources import HEADS, clip_file, head_file

        head = head_file(self.name, self.head)
        if head is None:
            names = ", ".join(dict.fromkeys(published.clip for published in HEADS.values()))
            raise UserError(
                f"{GROUP}.name: found no LAION head for {self.name}, expected one of {names}; choose one of them, or "
                f"point {GROUP}.head to a head."
            )
        return {"clip": clip_file(self.name, self.path, GROUP), "head": head}

    @override
    def check(self, device: torch.device) -> None:
        self.files()

    @override
    def weights(self) -> dict[str, str]:
        from das_ag.models.sources import check_names

        digests = super().weights()
        check_names(self.name, digests, GROUP)
        return digests

    @override
    def load(self, device: torch.device) -> AestheticModel:
        from das_ag.models.clip_evaluators import LaionPredictor

        files = self.files()
        return LaionPredictor(files["clip"].path, files["head"].path, device)
