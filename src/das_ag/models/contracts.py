"""Protocols of the frozen networks, for the rest of the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor


class ImageTextModel(Protocol):
    """Encodes images and texts in one feature space. Frozen, in evaluation mode, differentiable in the pixels."""

    image_size_px: int
    digest: str
    """SHA-256 of the weights, hexadecimal."""

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Maps CLIP-normalised pixels to L2-normalised features."""

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Maps texts to L2-normalised features."""

    def release_texts(self) -> None:
        """Releases the memory of the text tower after all texts are encoded."""


class FeatureRater(Protocol):
    """An aesthetic head on the features of an `ImageTextModel`, for guidance."""

    digest: str
    dropout: tuple[tuple[int, float], ...]
    """Width and rate of each dropout layer that stays on while it guides."""

    def rate_features(self, features: Float[Tensor, "n d"], *dropout: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """Maps L2-normalised features to a score for each image, on a scale around 1 to 10; differentiable.

        Args:
            dropout: a mask for each dropout layer; none for evaluation.
        """


class AestheticModel(Protocol):
    """A predictor of aesthetics, for the evaluation of finished images."""

    digest: str

    def rate_images(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, " n"]:
        """Maps RGB images to a score for each, on a scale around 1 to 10, independent of the batch's composition."""


class TextRater(Protocol):
    """An evaluator whose score of a finished image depends on the image's texts."""

    digest: str

    def rate_with_texts(self, image: UInt8[np.ndarray, "_ _ 3"], texts: Sequence[str]) -> float:
        """Scores an RGB image by its positive texts, of which there is at least one."""


@dataclass(frozen=True)
class Recognition:
    """A classifier's result for a picture of known things.

    Attributes:
        rank: rank of the thing among the guesses, from 1; for several things, the largest of their ranks.
        recognised: whether the thing is the first guess; for several things, whether all are among the first five.
    """

    rank: int
    recognised: bool


@runtime_checkable
class Recogniser(Protocol):
    """An evaluator that also says whether an image shows what its texts name."""

    def recognise(self, image: UInt8[np.ndarray, "_ _ 3"], texts: Sequence[str]) -> Recognition | None:
        """Recognises the things of the texts; None if they name nothing that it knows."""
