"""The LAION aesthetic head on features of CLIP ViT-L/14."""

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
    """A `FeatureRater`: Linear 768→1024→128→64→16→1 with dropout and without activations.

    Without activations it is a single affine map in evaluation mode, so its score has no lower or upper bound.

    Args:
        path: the published file, or another file with the same layout.
        dropout: dropout layers that stay on while it guides: all of `DROPOUT`, as in the published program, or none.

    Raises:
        UserError: the file is missing, cannot be read, or holds another network.

    Source: improved-aesthetic-predictor, `sac+logos+ava1-l14-linearMSE.pth`.
    """

    def __init__(
        self, path: Path, *, device: torch.device | str = "cpu", dropout: tuple[tuple[int, float], ...] = ()
    ) -> None:
        what, remedy = "LAION aesthetic head", "point AESTHETIC_PREDICTOR_PATH to sac+logos+ava1-l14-linearMSE.pth"
        self.digest = check_file(path, what=what, remedy=remedy)
        state = load_state(path, what=what)
        matrices = [w for name, w in state.items() if name.endswith(".weight")]
        expected = list(zip(WIDTHS, (INPUTS, *WIDTHS), strict=False))
        got = [tuple(matrix.shape) for matrix in matrices]
        biases = [b for name, b in state.items() if name.endswith(".bias")]
        if got != expected or [tuple(b.shape) for b in biases] != [(width,) for width in WIDTHS]:
            raise UserError(
                f"{what}: expected layers of {expected} in {path}, got {got or 'none'}. The file is for other "
                f"features or another network; {remedy}."
            )
        self.dropout = dropout
        self._layers = [(w.float().to(device), b.float().to(device)) for w, b in zip(matrices, biases, strict=True)]

    def rate_features(self, features: Float[Tensor, "n d"], *dropout: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """Maps L2-normalised features of CLIP ViT-L/14 to scores, unbounded, mostly 1 to 10.

        Args:
            dropout: a mask for each dropout layer; none for evaluation.
        """
        for (weight, bias), mask in zip_longest(self._layers, dropout):
            features = F.linear(features, weight, bias)
            if mask is not None:
                features = features * mask
        return features.squeeze(1)


def save_random_head(path: Path, seed: int = 0) -> None:
    """Writes random weights in the published layout, for benchmarks without the real weights."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for place, (outputs, inputs) in zip((0, 2, 4, 6, 7), zip(WIDTHS, (INPUTS, *WIDTHS), strict=False), strict=True):
        state[f"layers.{place}.weight"] = torch.randn(outputs, inputs, generator=generator) / inputs**0.5
        state[f"layers.{place}.bias"] = torch.zeros(outputs)
    torch.save(state, path)


def draw_initial_weights() -> None:
    """Draws the same numbers from the default generator as the creation of the head's layers."""
    for outputs, inputs in zip(WIDTHS, (INPUTS, *WIDTHS), strict=False):
        nn.Linear(inputs, outputs)
