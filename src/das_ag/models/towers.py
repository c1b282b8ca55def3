"""A CLIP of any package as an `ImageTextModel`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Sized

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD
from das_ag.models.attention import SelfAttention, torch_kernel


class TwoTowers:
    """An `ImageTextModel` of a network for images and one for tokens.

    Args:
        visual: maps pixels of `image_size_px` to features; of type `dtype`.
        text: maps tokens to features, in float32.
        tokenize: maps texts to tokens, truncated to the network's context length.
        digest: SHA-256 of the weights.
        mean, std: normalisation of the network's input colours, RGB in 0…1.
        attention: kernel of the image tower, one of `attention.KERNELS`.
    """

    def __init__(
        self,
        visual: Callable[[Tensor], Tensor],
        text: Callable[[Tensor], Tensor],
        tokenize: Callable[[Sequence[str]], Tensor],
        *,
        image_size_px: int,
        dim: int,
        digest: str,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
    ) -> None:
        self._visual, self._text, self._tokenize = visual, text, tokenize
        self.image_size_px, self.dim, self.digest = image_size_px, dim, digest
        self._device, self._dtype, self._attention = torch.device(device), dtype, attention
        self._recolour = None if (*mean, *std) == (*CLIP_MEAN, *CLIP_STD) else _recolouring(mean, std, self._device)

    def encode_images(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Maps CLIP-normalised pixels to L2-normalised features."""
        if self._recolour is not None:
            offset, scale = self._recolour
            pixels = torch.addcmul(offset, pixels, scale)
        with torch_kernel(self._attention):
            return F.normalize(self._visual(pixels.to(self._dtype)).float(), dim=-1)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """Maps texts, truncated to the model's context length, to L2-normalised features."""
        tokens: Int[Tensor, "n tokens"] = self._tokenize(texts)
        return F.normalize(self._text(tokens.to(self._device)), dim=-1)

    def release_texts(self) -> None:
        """Releases the text tower's memory; `encode_texts` no longer works."""
        self._text = None  # type: ignore[assignment]


def _recolouring(mean: Sequence[float], std: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Offset and scale, (3, 1, 1) each, from CLIP's normalisation to another."""
    m, s, clip_m, clip_s = (torch.tensor(v, dtype=torch.float64) for v in (mean, std, CLIP_MEAN, CLIP_STD))
    offset, scale = ((clip_m - m) / s)[:, None, None], (clip_s / s)[:, None, None]
    return offset.float().to(device), scale.float().to(device)


def use_kernel(visual: nn.Module, kernel: str) -> None:
    """Replaces the attention of every block of a vision transformer in the layout of OpenAI; a ResNet has none."""
    for module in list(getattr(visual, "transformer", nn.Module()).modules()):
        attention = getattr(module, "attn", None)
        if isinstance(attention, nn.MultiheadAttention):
            module.attn = SelfAttention(attention, kernel)


def convert(visual: nn.Module, dtype: torch.dtype) -> None:
    """Converts weights to `dtype`, except for normalisation layers, which CLIP computes in float32."""
    for module in visual.modules():
        if not isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)


def words_beyond(text: str, tokens: int, encode: Callable[[str], Sized]) -> tuple[str, ...]:
    """Words of a text beyond its first `tokens` tokens; a word that does not fit whole is one of them."""
    words = re.findall(r"\S+", text)
    for kept in range(len(words), -1, -1):
        if len(encode(" ".join(words[:kept]))) <= tokens:
            return tuple(words[kept:])
    return tuple(words)
