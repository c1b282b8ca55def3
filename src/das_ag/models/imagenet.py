"""ImageNet classifiers as guide and as judge: a text stands for the classes that it names."""

from __future__ import annotations

from collections.abc import Sequence
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
from das_ag.models.contracts import Recognition
from das_ag.models.quality import QualityHead, packaged_head
from das_ag.models.weights import sha256_of

FIRST_GUESSES = 5
"""A picture of several things is recognised if each is among this many first guesses."""


class ImagenetGuide:
    """An `ImageTextModel` and, where the network has a quality head, a `FeatureRater`.

    A text becomes the direction that separates its things from the average class: the mean, over the things, of their
    rows of the last layer minus the mean row.

    Args:
        name, checkpoint: arguments of `Classifier`.
        image_size_px: side of the input pictures; None for the network's own.
        head: file of a quality head, from `head_file`; None for no head.
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
        """Maps CLIP-normalised pixels to L2-normalised features."""
        return F.normalize(self._classifier.features(torch.addcmul(self._mean, pixels, self._std)), dim=1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Maps texts to L2-normalised directions; a text without a known thing gives zeros."""
        return torch.stack([self._direction(words.read_text(text).things) for text in texts])

    def _direction(self, things: Sequence[words.Thing]) -> Float[Tensor, " d"]:
        if not things:
            return torch.zeros_like(self._directions[0])
        each = [F.normalize(self._directions[list(thing.classes)].mean(dim=0), dim=0) for thing in things]
        return F.normalize(torch.stack(each).mean(dim=0), dim=0)

    def rate_features(self, features: Float[Tensor, "n d"], *_: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """Maps L2-normalised features to photographic quality, about 7 for a clean photo; 0 without a head."""
        return self._head.rate_features(features) if self._head else features.new_zeros(len(features))

    def release_texts(self) -> None:
        """Does nothing, since there is no text tower."""


class ImagenetJudge:
    """An `AestheticModel` that also tests whether a picture shows the things of its text.

    Args:
        name, checkpoint: arguments of `Classifier`.
        head: file of a quality head, from `head_file`; None for no head.
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
        """Maps RGB images to photographic quality, NaN without a head; one at a time, so that none affects another."""
        return np.array([self._rate(image) for image in images], dtype=np.float32)

    def _rate(self, image: UInt8[np.ndarray, "_ _ 3"]) -> float:
        if self._head is None:
            return float("nan")
        return self._head.rate_features(F.normalize(self._features(image), dim=1)).item()

    @torch.no_grad()
    def recognise(self, image: UInt8[np.ndarray, "_ _ 3"], texts: Sequence[str]) -> Recognition | None:
        """Tests whether an image shows the things that the texts name; None if the texts name no known thing."""
        things = dict.fromkeys(thing for text in texts for thing in words.read_text(text).things)
        if not things:
            return None
        order = self._classifier.logits(self._features(image))[0].argsort(descending=True).tolist()
        rank = max(1 + min(order.index(place) for place in thing.classes) for thing in things)
        return Recognition(rank, rank <= (1 if len(things) == 1 else FIRST_GUESSES))

    def _features(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "1 d"]:
        return self._classifier.features(prepare(image, self._classifier.image_size_px).to(self._device))


def prepare(image: UInt8[np.ndarray, "h w 3"], size_px: int) -> Float[Tensor, "1 3 size size"]:
    """Crops the middle square of an RGB image, and resizes it by Pillow's antialiased bicubic filter, in 0…1."""
    height, width, _ = image.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    small = square.resize((size_px, size_px), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small, dtype=np.float32) / 255).permute(2, 0, 1)[None]


def check_classes(classifier: Classifier) -> None:
    """Checks that the network has the 1,000 classes of ImageNet, to which `words` maps texts.

    Raises:
        UserError: the network has another number of classes.
    """
    expected, got = len(words.class_names()), len(classifier.classes)
    if got != expected:
        raise UserError(
            f"{classifier.name}: expected the {expected} classes of ImageNet, got {got}; choose another network, for "
            "instance resnet50.a1_in1k."
        )


def head_file(name: str, checkpoint: str | None, head: str | None) -> Path | None:
    """The file of a quality head: the given one, or the package's, which fits only the packaged weights."""
    if head:
        return Path(head).expanduser()
    return None if checkpoint else packaged_head(name)


def digests(name: str, checkpoint: str | None, head: str | None, group: str) -> dict[str, str]:
    """SHA-256 of a network's weights and, if it has one, of its quality head.

    Raises:
        UserError: the network or a file does not exist, or the head belongs to another network.
    """
    check_name(name, group=group)
    found = {"classifier": sha256_of(weights_file(name, checkpoint, group=group))}
    if path := head_file(name, checkpoint, head):
        found["head"] = QualityHead(path, found["classifier"]).digest
    return found
