"""The embedded models: small networks shipped with the package, so that everything runs anywhere in seconds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from das_ag.models.towers import (
    IMAGE_SIZE_PX,
    PAD,
    AestheticHead,
    ConvolutionTower,
    TextTower,
    TransformerTower,
    fold_normalisation,
)

MAX_WORDS = 24
_TOWERS = {"convolution": ConvolutionTower, "transformer": TransformerTower}


class WordTokenizer:
    """Splits a prompt into the words of a closed vocabulary."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._token = {word: index + 1 for index, word in enumerate(self.vocabulary)}

    def __call__(self, texts: Sequence[str]) -> Int[Tensor, "n words"]:
        """Tokens of the known words of each text, padded to the longest."""
        rows = [[self._token[w] for w in _words(text) if w in self._token][:MAX_WORDS] for text in texts]
        tokens = torch.full((len(rows), max(map(len, rows), default=1)), PAD)
        for row, ids in enumerate(rows):
            tokens[row, : len(ids)] = torch.tensor(ids)
        return tokens


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


@dataclass
class Towers:
    """The trainable parts of one embedded model, all on features of the same dimension."""

    image: nn.Module
    text: TextTower
    head: AestheticHead
    tokenizer: WordTokenizer

    def modules(self) -> dict[str, nn.Module]:
        return {"image": self.image, "text": self.text, "head": self.head}


def build_towers(architecture: str, options: dict, dim: int, vocabulary: Sequence[str]) -> Towers:
    """Untrained towers: `architecture` is a key of `_TOWERS`, `options` its arguments."""
    return Towers(
        image=_TOWERS[architecture](dim, **options),
        text=TextTower(dim, len(vocabulary), MAX_WORDS, width=128, depth=2),
        head=AestheticHead(dim),
        tokenizer=WordTokenizer(vocabulary),
    )
