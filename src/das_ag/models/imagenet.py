"""Classifiers of photographs as guide and as judge: texts are the things that they were trained to name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.errors import UserError
from das_ag.models import words
from das_ag.models.classifier import Classifier, check_name, weights_file
from das_ag.models.quality import QualityHead, packaged_head
from das_ag.models.weights import sha256_of

FIRST_GUESSES = 5
"""A picture of several things shows them where each is among so many first guesses."""


class ImagenetGuide:
    """An `ImageTextModel` and, where the network has a quality head, a `FeatureRater`.

    A text is the direction that separates the things it names from the average class: the mean over its things of
    their rows of the last layer, less the mean row.

    Args:
        name, checkpoint: see `Classifier`.
        image_size_px: side of the pictures that it looks at; None for the network's own.
        head: file of a quality head, see `head_file`.
    """

    dropout: tuple[tuple[int, float], ...] = ()

    def __init__(
        self,
        name: str,
        checkpoint: str | None = None,
        *,
        image_size_px: int | None = None,
        head: Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self._classifier = Classifier(name, checkpoint, device=device, dtype=dtype)
        check_classes(self._classifier)
        self.digest = self._classifier.digest
        self.image_size_px = image_size_px or self._classifier.image_size_px
        self._head = QualityHead(head, self.digest, device) if head else None
        rows = self._classifier.classes
        self._directions = F.normalize(rows - rows.mean(dim=0), dim=1)
        self._mean, self._std = (torch.tensor(v, device=device)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """CLIP-normalised pixels to L2-normalised features."""
        return F.normalize(self._classifier.features(torch.addcmul(self._mean, pixels, self._std)), dim=1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Texts to L2-normalised directions; a text without a known thing has none, and is zero."""
        return torch.stack([self._direction(words.read_text(text).things) for text in texts])

    def _direction(self, things: Sequence[words.Thing]) -> Float[Tensor, " d"]:
        if not things:
            return torch.zeros_like(self._directions[0])
        each = [F.normalize(self._directions[list(thing.classes)].mean(dim=0), dim=0) for thing in things]
        return F.normalize(torch.stack(each).mean(dim=0), dim=0)

    def rate_features(self, features: Float[Tensor, "n d"], *_: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """L2-normalised features to photographic quality, about 7 for a clean photo; 0 where there is no head."""
        return self._head.rate_features(features) if self._head else features.new_zeros(len(features))

    def release_texts(self) -> None:
        """There is no text tower."""


@dataclass(frozen=True)
class Recognition:
    """What a classifier says to a picture of known things.

    Attributes:
        rank: of the thing among its guesses, from 1; of several things, that of the last one found.
        recognised: whether the thing is its first guess; whether several are all among its first five.
    """

    rank: int
    recognised: bool


class ImagenetJudge:
    """An `AestheticModel` that also says whether it recognises what a picture should show.

    Args:
        name, checkpoint: see `Classifier`.
        head: as of `ImagenetGuide`.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | None = None,
        *,
        head: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._classifier = Classifier(name, checkpoint, device=device, group="evaluator.imagenet")
        check_classes(self._classifier)
        self.digest, self._device = self._classifier.digest, torch.device(device)
        self._head = QualityHead(head, self.digest, device) if head else None

    @torch.no_grad()
    def rate_images(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, " n"]:
        """RGB images to photographic quality, NaN without a head; one at a time, so that no image changes another's."""
        return np.array([self._rate(image) for image in images], dtype=np.float32)

    def _rate(self, image: UInt8[np.ndarray, "_ _ 3"]) -> float:
        if self._head is None:
            return float("nan")
        return self._head.rate_features(F.normalize(self._features(image), dim=1)).item()

    @torch.no_grad()
    def recognise(self, image: UInt8[np.ndarray, "_ _ 3"], texts: Sequence[str]) -> Recognition | None:
        """Whether an image shows what the texts name; None where they name nothing that it knows."""
        things = dict.fromkeys(thing for text in texts for thing in words.read_text(text).things)
        if not things:
            return None
        order = self._classifier.logits(self._features(image))[0].argsort(descending=True).tolist()
        rank = max(1 + min(order.index(place) for place in thing.classes) for thing in things)
        return Recognition(rank, rank <= (1 if len(things) == 1 else FIRST_GUESSES))

    def _features(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "1 d"]:
        return self._classifier.features(prepare(image, self._classifier.image_size_px).to(self._device))


def prepare(image: UInt8[np.ndarray, "h w 3"], size_px: int) -> Float[Tensor, "1 3 size size"]:
    """The middle square of an RGB image, resized by Pillow's antialiased bicubic filter, in 0…1."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    small = square.resize((size_px, size_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small, dtype=np.float32) / 255).permute(2, 0, 1)[None]


def check_classes(classifier: Classifier) -> None:
    """Sees that the network names the 1,000 classes of ImageNet, which our words stand for.

    Raises:
        UserError: it has others.
    """
    expected, got = len(words.class_names()), len(classifier.classes)
    if got != expected:
        raise UserError(
            f"{classifier.name}: expected a classifier of ImageNet's {expected} classes, got {got}; choose one trained "
            "on them, for instance resnet50.a1_in1k."
        )


def head_file(name: str, checkpoint: str | None, head: str | None) -> Path | None:
    """The file of a quality head: the given one, or that of the package, which fits the packaged weights alone."""
    if head:
        return Path(head).expanduser()
    return None if checkpoint else packaged_head(name)


def digests(name: str, checkpoint: str | None, head: str | None, group: str) -> dict[str, str]:
    """SHA-256 of a network's weights and, where it has one, of its quality head.

    Raises:
        UserError: there is no such network or file, or the head is another network's.
    """
    check_name(name, group=group)
    found = {"classifier": sha256_of(weights_file(name, checkpoint, group=group))}
    if path := head_file(name, checkpoint, head):
        found["head"] = QualityHead(path, found["classifier"]).digest
    return found
