"""The choice `evaluator=aesthetic_v2_5`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from das_ag.models.registry import EvaluatorChoice

if TYPE_CHECKING:
    import torch

    from das_ag.models.contracts import AestheticModel
    from das_ag.models.files import WeightFile
    from das_ag.models.hub import HubFolder


@dataclass(frozen=True)
class AestheticV25Choice(EvaluatorChoice):
    """Aesthetic Predictor v2.5.

    Attributes:
        siglip: name on the hub; ignored if there is a path.
        siglip_path: path to the folder of a checkpoint.
        head_path: path to the predictor's head.
        attention, precision: kernel and precision of the networks.
    """

    siglip: str
    siglip_path: str | None
    head_path: str | None
    attention: str
    precision: str

    title: ClassVar = "Aesthetic Predictor v2.5"
    meaning: ClassVar = "A score predicts how much people like a picture, mostly from 1 to 10."

    @override
    def files(self) -> dict[str, WeightFile | HubFolder]:
        from das_ag.models.sources import v2_5_file

        return {"siglip": self._siglip(), "head": v2_5_file(self.head_path)}

    def _siglip(self) -> HubFolder:
        from das_ag.models.sources import siglip_folder

        return siglip_folder(self.siglip, self.siglip_path)

    @property
    def dtype(self) -> torch.dtype:
        """The torch dtype of the precision."""
        from das_ag.models.precision import dtype_of

        return dtype_of(self.precision, "evaluator.aesthetic_v2_5.precision")

    @override
    def check(self, device: torch.device) -> None:
        from das_ag.models.attention import check_kernel

        check_kernel(self.attention, "evaluator.aesthetic_v2_5.attention", device, self.dtype)

    @override
    def digest(self) -> str:
        weights = self.weights()
        determining = [*weights.values(), self.attention, self.precision]
        return hashlib.sha256(json.dumps(determining).encode()).hexdigest()

    @override
    def weights(self) -> dict[str, str]:
        from das_ag.models.files import fetch_all

        files, siglip = self.files(), self._siglip()
        fetch_all(files.values())
        return {"siglip": siglip.digest(), "siglip_config": siglip.config_digest(), "head": files["head"].digest()}

    @override
    def version(self) -> str:
        return f"{metadata.version('aesthetic-predictor-v2-5')}, transformers {metadata.version('transformers')}"

    @override
    def load(self, device: torch.device) -> AestheticModel:
        from das_ag.models.aesthetic_v2_5 import AestheticV25
        from das_ag.models.sources import v2_5_file

        head = v2_5_file(self.head_path).path
        return AestheticV25(self._siglip().folder(), head, device=device, dtype=self.dtype, attention=self.attention)
