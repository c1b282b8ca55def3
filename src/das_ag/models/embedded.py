"""The embedded models: small networks shipped with the package, so that everything runs anywhere in seconds.

A file holds one model: image tower, text tower and aesthetic head as float16, and in its header how to build them. The
guide and the judge are two files that share nothing. note/embedded_models.md is their model card.
"""

from __future__ import annotations

import copy
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.models.towers import (
    IMAGE_SIZE_PX,
    PAD,
    AestheticHead,
    PoolingTower,
    ResidualTower,
    TextTower,
    fold_normalisation,
)
from das_ag.models.weights import check_file, sha256_of

MAX_WORDS = 24
FILLERS = frozenset(["a", "an", "against", "and", "background", "drawing", "image", "of", "on", "picture", "shape"])
"""Known words that alone describe nothing."""
DATA = Path(__file__).parent / "data"
CHECKSUMS = "checksums.json"
_TOWERS: dict[str, type[ResidualTower] | type[PoolingTower]] = {
    "residual": ResidualTower,
    "pooling": PoolingTower,
}

Role = Literal["guide", "judge"]


class WordTokenizer:
    """Splits a text into the words of a closed vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._token = {word: index + 1 for index, word in enumerate(self.vocabulary)}

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n words"]:
        """Tokens of the known words of each text, padded to the longest."""
        rows = [[self._token[word] for word in self.known_words(text)[:MAX_WORDS]] for text in texts]
        tokens = torch.full((len(rows), max(map(len, rows), default=1)), PAD)
        for row, ids in enumerate(rows):
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens

    def known_words(self, text: str) -> tuple[str, ...]:
        """Words of the text that are in the vocabulary."""
        return tuple(word for word in _words(text) if word in self._token)

    def content_words(self, text: str) -> tuple[str, ...]:
        """Known words that describe something."""
        return tuple(word for word in self.known_words(text) if word not in FILLERS)

    def lost_words(self, text: str) -> tuple[str, ...]:
        """Words, numbers and symbols that are unknown, and known words beyond the first `MAX_WORDS`."""
        words = _words(text)
        return tuple(word for word in words if word not in self._token) + self.known_words(text)[MAX_WORDS:]


def _words(text: str) -> list[str]:
    """Words, numbers and symbols of a text, in lower case; punctuation, which says nothing here, is left out."""
    parts = re.findall(r"[^\W\d_]+|\d+|[^\w\s]", text.lower())
    return [part for part in parts if part[0].isalnum() or unicodedata.category(part[0]) in _SYMBOLS]


_SYMBOLS = ("Sc", "Sm", "So")
"""Unicode's categories of signs of currency, of mathematics, and of others such as emoji."""


@dataclass(frozen=True)
class Architecture:
    """How to build a model's towers; stands in the header of its file.

    Attributes:
        image_tower: a key of `_TOWERS`.
        options: that tower's arguments.
        dim: of the common feature space.
        vocabulary: words of the text tower.
    """

    image_tower: str
    options: dict[str, Any]
    dim: int
    vocabulary: tuple[str, ...]


class Towers(nn.Module):
    """Image tower, text tower and aesthetic head on features of the same dimension."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.tokenizer = WordTokenizer(architecture.vocabulary)
        self.image: nn.Module = _TOWERS[architecture.image_tower](architecture.dim, **architecture.options)
        self.text = TextTower(architecture.dim, len(architecture.vocabulary), MAX_WORDS, width=128, depth=2)
        self.head = AestheticHead(architecture.dim)

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """CLIP-normalised pixels to L2-normalised features."""
        return F.normalize(self.image(pixels), dim=-1)

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Texts to L2-normalised features."""
        return F.normalize(self.text(self.tokenizer(texts).to(self.text.position.device)), dim=-1)

    def rate_features(self, features: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """L2-normalised features to ratings, on a scale around 1 to 10."""
        return self.head(features).squeeze(1)


def save(towers: Towers, role: Role, folder: Path = DATA) -> Path:
    """Writes a model's file, its normalisation folded away, and its checksum beside it."""
    from safetensors.torch import save_file

    path = folder / f"{role}.safetensors"
    a = towers.architecture
    header = {"image_tower": a.image_tower, "options": a.options, "dim": a.dim, "vocabulary": a.vocabulary}
    towers = copy.deepcopy(towers)
    towers.image = fold_normalisation(towers.image)
    state = {name: w.half().contiguous() for name, w in towers.state_dict().items()}
    save_file(state, path, metadata={"architecture": json.dumps(header)})
    checksums_path = folder / CHECKSUMS
    checksums = json.loads(checksums_path.read_text()) if checksums_path.is_file() else {}
    checksums[path.name] = sha256_of(path)
    checksums_path.write_text(json.dumps(checksums, indent=2, sort_keys=True) + "\n")
    return path


def digest(role: Role, folder: Path = DATA) -> str:
    """SHA-256 of a model's file.

    Raises:
        UserError: the file is missing, truncated or altered.
    """
    path, checksums = folder / f"{role}.safetensors", folder / CHECKSUMS
    remedy = "reinstall the package, or retrain with scripts/train_embedded.py"
    check_file(checksums, what=f"embedded {role}", remedy=remedy)
    expected = json.loads(checksums.read_text()).get(path.name, "none is listed")
    return check_file(path, what=f"embedded {role}", remedy=remedy, sha256=expected)


def _read_architecture(role: Role, folder: Path) -> Architecture:
    from safetensors import safe_open

    with safe_open(folder / f"{role}.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["architecture"])
    return Architecture(header["image_tower"], header["options"], header["dim"], tuple(header["vocabulary"]))


def load_tokenizer(role: Role, folder: Path = DATA) -> WordTokenizer:
    """The words that a model knows, from its file's header alone."""
    return WordTokenizer(_read_architecture(role, folder).vocabulary)


def load_towers(role: Role, folder: Path = DATA, device: torch.device | str = "cpu") -> Towers:
    """A model ready to use: float32, frozen, in evaluation mode.

    Raises:
        UserError: the file is missing, truncated or altered.
    """
    from safetensors.torch import load_file

    digest(role, folder)
    # Not on the device "meta", on which initial weights import torch's compiler, seconds for nothing.
    with torch.random.fork_rng(devices=[]):
        towers = Towers(_read_architecture(role, folder))
    towers.image = fold_normalisation(towers.image)
    state = {name: w.float() for name, w in load_file(folder / f"{role}.safetensors").items()}
    towers.load_state_dict(state, assign=True)
    return towers.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)


class EmbeddedGuide:
    """The guide: an `ImageTextModel` and a `FeatureRater` in one file."""

    image_size_px = IMAGE_SIZE_PX
    dropout: tuple[tuple[int, float], ...] = ()

    def __init__(
        self, folder: Path = DATA, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.digest = digest("guide", folder)
        towers = load_towers("guide", folder, device)
        self._image, self._dtype = towers.image.to(dtype), dtype
        self.encode_texts = torch.no_grad()(towers.encode_texts)
        self._rate = towers.rate_features
        self.lost_words = towers.tokenizer.lost_words

    def rate_features(self, features: Float[Tensor, "n d"], *_: Float[Tensor, "n _"]) -> Float[Tensor, " n"]:
        """L2-normalised features to ratings, on a scale around 1 to 10; this head has no dropout."""
        return self._rate(features)

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """CLIP-normalised pixels to L2-normalised features, float32 whatever the image tower's type."""
        return F.normalize(self._image(pixels.to(self._dtype)).float(), dim=-1)

    def release_texts(self) -> None:
        """The text tower is too small to matter."""


class EmbeddedJudge:
    """The evaluator: an `AestheticModel` on features of its own."""

    def __init__(self, folder: Path = DATA, device: torch.device | str = "cpu") -> None:
        self.digest = digest("judge", folder)
        self._towers = load_towers("judge", folder, device)
        self._device = torch.device(device)

    @torch.no_grad()
    def features(self, image: UInt8[np.ndarray, "_ _ 3"]) -> Float[Tensor, "1 d"]:
        """One RGB image, brought to 64×64 by Pillow's antialiased bicubic filter, to its features."""
        small = Image.fromarray(image).resize((IMAGE_SIZE_PX, IMAGE_SIZE_PX), Image.Resampling.BICUBIC)
        rgb = torch.from_numpy(np.array(small, dtype=np.float32) / 255).permute(2, 0, 1)[None].to(self._device)
        mean, std = (rgb.new_tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        return self._towers.encode_images((rgb - mean) / std)

    @torch.no_grad()
    def rate_images(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Float[np.ndarray, " n"]:
        """RGB images to ratings; one image at a time, so that company cannot change a score."""
        scores = [self._towers.rate_features(self.features(image)).item() for image in images]
        return np.array(scores, dtype=np.float32)

    @torch.no_grad()
    def name_image(self, image: UInt8[np.ndarray, "_ _ 3"], captions: Sequence[str]) -> int:
        """Index of the caption that fits the image best."""
        return int((self.features(image) @ self._towers.encode_texts(captions).T).argmax())
