"""The LAION aesthetic head on features of CLIP ViT-L/14."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from das_ag.errors import UserError
from das_ag.models.weights import check_file, load_state

LAION_SHA256 = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0"
"""Of `sac+logos+ava1-l14-linearMSE.pth` (christophschuhmann/improved-aesthetic-predictor)."""


class LaionHead:
    """A `FeatureRater`: Linear 768→1024→128→64→16→1 with dropout and no activation between.

    Without an activation it is one affine map in evaluation mode, so its score is unbounded on both sides.

    Args:
        path: the published file.
        guide_dropout: keep dropout on, as the published program does; it then draws from torch's default generator.

    Raises:
        UserError: the file is missing, altered, or holds another network.
    """

    def __init__(
        self,
        path: Path,
        *,
        sha256: str | None = LAION_SHA256,
        guide_dropout: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        remedy = "point AESTHETIC_PREDICTOR_PATH to sac+logos+ava1-l14-linearMSE.pth of improved-aesthetic-predictor"
        self.digest = check_file(path, what="LAION aesthetic head", remedy=remedy, sha256=sha256)
        with torch.device("meta"):  # no initial weights: they would draw from the global generator for nothing
            layers = nn.Sequential(
                nn.Linear(768, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2),
                nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
            )  # fmt: skip
        state = load_state(path, what="LAION aesthetic head")
        try:
            layers.load_state_dict({name.removeprefix("layers."): w for name, w in state.items()}, assign=True)
        except RuntimeError as error:
            got = tuple(getattr(state.get("layers.0.weight"), "shape", ())) or "no such weight"
            raise UserError(
                f"LAION aesthetic head: expected a first weight of (1024, 768) in {path}, got {got}; {remedy}."
            ) from error
        self._layers = layers.train(guide_dropout).requires_grad_(False).to(device)

    def rate_features(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """L2-normalised features of CLIP ViT-L/14 to scores, unbounded, mostly 1 to 10."""
        return self._layers(features).squeeze(1)
