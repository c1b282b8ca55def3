"""What the rest of the program may expect of a frozen network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor


class ImageTextModel(Protocol):
    """Images and texts in one space. Frozen, in evaluation mode, differentiable in its input."""

    image_size_px: int
    digest: str
    """SHA-256 of the weights, hexadecimal."""

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """CLIP-normalised pixels to L2-normalised features."""

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Texts to L2-normalised features."""

    def release_texts(self) -> None:
        """Gives the memory of the text tower back, once all texts are encoded."""


class FeatureRater(Protocol):
    """An aesthetic head on the features of an `ImageTextModel`: what guides."""

    digest: str
    dropout: tuple[tuple[int, float], ...]
    """Width and rate of each dropout layer that stays on while it guides."""

    def rate_features(self, features: Float[Tensor, "n d"], *dropout: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """L2-normalised features to a score of each image, on a scale around 1 to 10; differentiable.

        Args:
            dropout: what each of those layers multiplies with; none to evaluate.
        """


class AestheticModel(Protocol):
    """A predictor of finished images' aesthetics: what evaluates."""

    digest: str

    def rate_images(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, " n"]:
        """RGB images to a score of each, on a scale around 1 to 10, whatever the company an image is in."""
