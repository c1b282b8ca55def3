"""A guide and a judge for tests: small convolutional networks with fixed random weights, without any file."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.models.registry import EvaluatorChoice, GuideChoice

SHAPES = ("circle", "ring", "square", "diamond", "triangle", "cross", "star", "heart", "crescent", "arrow")
COLOURS = (
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "white", "gray", "black",
)  # fmt: skip
RELATIONS = ("left", "right", "above", "below")
FILLERS = ("a", "an", "and", "background", "of", "on", "picture")
"""Known words that alone describe nothing."""
VOCABULARY = (*SHAPES, *COLOURS, *RELATIONS, *FILLERS)

IMAGE_SIZE_PX = 32
DIM = 32
CHANNELS = (48, 16, 24)
"""After blocks of 4×4 pixels have become channels, and after each convolution."""
GUIDE_SEED, JUDGE_SEED = 1, 2


def digest_of(seed: int) -> str:
    """SHA-256 of all that determines the weights."""
    return hashlib.sha256(repr((seed, IMAGE_SIZE_PX, CHANNELS, DIM, VOCABULARY)).encode()).hexdigest()


class TinyNetwork:
    """Two convolutions and a linear layer; word vectors; a linear aesthetic head."""

    image_size_px = IMAGE_SIZE_PX
    dropout: tuple[tuple[int, float], ...] = ()

    def __init__(self, seed: int, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.digest, self._dtype = digest_of(seed), dtype
        generator = Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            numbers = torch.randn(shape, generator=generator)
            return (numbers * math.sqrt(2 / math.prod(shape[1:]))).to(device)

        blocks, first, second = CHANNELS
        grid = IMAGE_SIZE_PX // 8
        image_tower = (draw(first, blocks, 3, 3), draw(second, first, 3, 3), draw(DIM, second * grid * grid))
        self._first, self._second, self._last = (weight.to(dtype) for weight in image_tower)
        self._head = F.normalize(draw(1, DIM))[0]
        self._words = dict(zip(VOCABULARY, draw(len(VOCABULARY), DIM), strict=True))
        self._nothing = torch.zeros(DIM, device=device)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """CLIP-normalised pixels (N, 3, 32, 32) to L2-normalised features (N, 32)."""
        x = F.pixel_unshuffle(pixels.to(self._dtype), 4)
        x = F.silu(F.conv2d(x, self._first, padding=1))
        x = F.silu(F.conv2d(x, self._second, stride=2, padding=1))
        return F.normalize(F.linear(x.flatten(1), self._last).float(), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Texts to the L2-normalised sums of the vectors of their known words."""
        sums = [sum((self._words[word] for word in known_words(text)), self._nothing) for text in texts]
        return F.normalize(torch.stack(sums), dim=-1)

    def rate_features(self, features: Tensor, *_: Tensor) -> Tensor:
        """L2-normalised features (N, 32) to scores (N,) from 1.5 to 9.5."""
        return 5.5 + 4 * features @ self._head

    def release_texts(self) -> None:
        """The word vectors are too small to matter."""


class TinyJudge:
    """Rates finished images by features of its own."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._network, self._device = TinyNetwork(JUDGE_SEED, device), device
        self.digest = self._network.digest

    @torch.no_grad()
    def rate_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """RGB images to scores, each image by itself."""
        return np.array([self._rate(image) for image in images], dtype=np.float32)

    def _rate(self, image: np.ndarray) -> float:
        small = Image.fromarray(image).resize((IMAGE_SIZE_PX, IMAGE_SIZE_PX), Image.Resampling.BICUBIC)
        pixels = (np.asarray(small) / 255 - CLIP_MEAN) / CLIP_STD
        batch = torch.tensor(pixels, dtype=torch.float32, device=self._device).permute(2, 0, 1)[None]
        return float(self._network.rate_features(self._network.encode_images(batch)))


def picture(seed):
    """A disc on a ground, in colours that the seed gives."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:48j, -1:1:56j]
    disc = (x**2 + y**2 < 0.4)[..., None]
    return np.where(disc, rng.integers(0, 256, 3), rng.integers(0, 256, 3)).astype(np.uint8)


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+", text.lower())


def known_words(text: str) -> list[str]:
    return [word for word in words_of(text) if word in VOCABULARY]


def lost_words(text: str) -> tuple[str, ...]:
    return tuple(word for word in words_of(text) if word not in VOCABULARY)


@dataclass(frozen=True)
class TinyGuideChoice(GuideChoice):
    """A `GuideChoice` of the tiny network."""

    advice: ClassVar = "use words like “a red circle on a blue background”"

    def digests(self) -> dict[str, str]:
        return {"guide": digest_of(GUIDE_SEED)}

    def without_content(self, texts: Sequence[str]) -> list[str]:
        return [text for text in texts if set(known_words(text)) <= set(FILLERS)]

    def lost_words(self, text: str) -> tuple[str, ...]:
        return lost_words(text)

    def nearest_words(self, word: str) -> tuple[str, ...]:
        return ("star",) if word == "stat" else ()

    def load(self, device: torch.device, dtype: torch.dtype) -> tuple[TinyNetwork, TinyNetwork]:
        network = TinyNetwork(GUIDE_SEED, device, dtype)
        return network, network


@dataclass(frozen=True)
class TinyJudgeChoice(EvaluatorChoice):
    """An `EvaluatorChoice` of the tiny judge."""

    title: ClassVar = "Tiny judge"

    def digest(self) -> str:
        return digest_of(JUDGE_SEED)

    def weights(self) -> dict[str, str]:
        return {"judge": self.digest()}

    def version(self) -> str:
        return "1"

    def load(self, device: torch.device) -> TinyJudge:
        return TinyJudge(device)
