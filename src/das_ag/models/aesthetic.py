"""LAION's aesthetic heads on features of CLIP."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from das_ag.errors import UserError
from das_ag.models.weights import check_file, load_state

INPUTS = 768
WIDTHS = (1024, 128, 64, 16, 1)
DROPOUT = ((1024, 0.2), (128, 0.2), (64, 0.1))
"""Width and rate of the dropout layers; each follows the linear layer of that width."""


class LaionHead:
    """A `FeatureRater` on features of CLIP: Linear 768→1024→128→64→16→1 with dropout, or a single Linear D→1.

    Neither has activations. So each is an affine map in evaluation mode, and its score has no lower or upper bound.

    Args:
        path: a published file, or another file with the same layout.
        inputs: D, the number of the CLIP's features.
        dropout: dropout layers that stay on while it guides: all of `DROPOUT`, as in the published program, or none.

    Raises:
        UserError: the file is missing, cannot be read, or holds another network.

    Source: improved-aesthetic-predictor, `sac+logos+ava1-l14-linearMSE.pth`; LAION's aesthetic-predictor,
    `sa_0_4_vit_*_linear.pth`.
    """

    def __init__(
        self,
        path: Path,
        *,
        inputs: int = INPUTS,
        device: torch.device | str = "cpu",
        dropout: tuple[tuple[int, float], ...] = (),
    ) -> None:
        what, remedy = "LAION aesthetic head", "point models.head to the head for this CLIP"
        self.digest = check_file(path, what=what, remedy=remedy)
        state = load_state(path, what=what)
        matrices = [w for name, w in state.items() if name.rpartition(".")[2] == "weight"]
        biases = [b for name, b in state.items() if name.rpartition(".")[2] == "bias"]
        got = [tuple(matrix.shape) for matrix in matrices]
        known = [[(1, inputs)], list(zip(WIDTHS, (inputs, *WIDTHS), strict=False))]
        if got not in known or [tuple(b.shape) for b in biases] != [(outputs,) for outputs, _ in got]:
            raise UserError(
                f"{what}: expected a map from {inputs} features to 1 number, directly or through "
                f"{', '.join(map(str, WIDTHS[:-1]))}, got layers of {got or 'none'} in {path}; {remedy}."
            )
        self.dropout = dropout if len(got) > 1 else ()
        self._layers = [(w.float().to(device), b.float().to(device)) for w, b in zip(matrices, biases, strict=True)]

    def rate_features(self, features: Float[Tensor, "n d"], *dropout: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """Maps L2-normalised features to scores, unbounded, mostly 1 to 10.

        Args:
            dropout: a mask for each dropout layer; none for evaluation.
        """
        for (weight, bias), mask in zip_longest(self._layers, dropout):
            features = F.linear(features, weight, bias)
            if mask is not None:
                features = features * mask
        return features.squeeze(1)


def save_random_head(path: Path, seed: int = 0, *, inputs: int = INPUTS) -> None:
    """Writes random weights in the layout of the published head, for D features and without the real weights."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for place, (rows, columns) in zip((0, 2, 4, 6, 7), zip(WIDTHS, (inputs, *WIDTHS), strict=False), strict=True):
        state[f"layers.{place}.weight"] = torch.randn(rows, columns, generator=generator) / columns**0.5
        state[f"layers.{place}.bias"] = torch.zeros(rows)
    torch.save(state, path)


def draw_initial_weights() -> None:
    """Draws the same numbers from the default generator as the creation of the head's layers."""
    for outputs, inputs in zip(WIDTHS, (INPUTS, *WIDTHS), strict=False):
        nn.Linear(inputs, outputs)
