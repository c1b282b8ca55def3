"""Architectures of the embedded models: two image towers, a text tower, an aesthetic head."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

IMAGE_SIZE_PX = 64
PAD = 0
"""Token of the empty place behind a caption's last word."""


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution with batch normalisation, which `fold_normalisation` merges into it after training."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1), nn.BatchNorm2d(c_out))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.second(F.silu(self.first(x))))


class ResidualTower(nn.Module):
    """The guide's eyes: a residual network that ends in a 4×4 grid, so that it keeps where things are.

    The first layer works on 2×2 blocks of pixels: convolutions of three channels are slow on every processor.
    """

    def __init__(self, dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        stem, *stages = channels
        self.stem = _conv(12, stem)
        blocks: list[nn.Module] = []
        for before, after in zip([stem, *stages], stages, strict=False):
            blocks += [_conv(before, after, stride=2), nn.SiLU(), _Residual(after)]
        self.blocks = nn.Sequential(*blocks)
        grid = IMAGE_SIZE_PX // 2 ** (1 + len(stages))
        self.head = nn.Linear(grid * grid * channels[-1], dim)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Pixels to features, not normalised."""
        x = F.pixel_unshuffle(pixels, 2).contiguous(memory_format=torch.channels_last)
        x = self.blocks(F.silu(self.stem(x)))
        return self.head(x.flatten(1))


class PoolingTower(nn.Module):
    """The judge's eyes: plain convolutions on 4×4 blocks of pixels, ReLU and maximum pooling, down to a 4×4 grid."""

    def __init__(self, dim: int, channels: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 48
        for after in channels:
            layers += [_conv(before, after), nn.ReLU(), _conv(after, after), nn.ReLU(), nn.MaxPool2d(2)]
            before = after
        self.layers = nn.Sequential(*layers)
        grid = IMAGE_SIZE_PX // 2 ** (2 + len(channels))
        self.head = nn.Linear(grid * grid * before, dim)

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
        """Pixels to features, not normalised."""
        x = F.pixel_unshuffle(pixels, 4).contiguous(memory_format=torch.channels_last)
        return self.head(self.layers(x).flatten(1))


class TextTower(nn.Module):
    """Word embeddings, a small transformer, the mean over words."""

    def __init__(self, dim: int, words: int, max_words: int, width: int, depth: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words + 1, width)
        self.position = nn.Parameter(torch.randn(1, max_words, width) * 0.02)
        self.blocks = nn.ModuleList([_Attention(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, dim)

    def forward(self, tokens: Int[Tensor, "b n"]) -> Float[Tensor, "b d"]:
        """Tokens, `PAD` behind the last, to features, not normalised."""
        there = tokens != PAD
        x = self.words(tokens) + self.position[:, : tokens.shape[1]]
        for block in self.blocks:
            x = block(x, there[:, None, None, :])
        x = self.norm(x) * there[..., None]
        return self.head(x.sum(dim=1) / there.sum(dim=1, keepdim=True))


class _Attention(nn.Module):
    """Pre-norm transformer block with four heads."""

    heads = 4

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Float[Tensor, "b n w"], mask: Tensor | None = None) -> Float[Tensor, "b n w"]:
        b, n, w = x.shape
        q, k, v = self.qkv(self.norm_1(x)).view(b, n, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(attended.transpose(1, 2).reshape(b, n, w))
        return x + self.mlp(self.norm_2(x))


class AestheticHead(nn.Sequential):
    """L2-normalised features (B, D) to one rating each, (B, 1); starts at the middle of the ratings that occur."""

    middle = 6.5

    def __init__(self, dim: int, width: int = 64) -> None:
        last = nn.Linear(width, 1)
        nn.init.constant_(last.bias, self.middle)
        super().__init__(nn.Linear(dim, width), nn.SiLU(), last)


def fold_normalisation(tower: nn.Module) -> nn.Module:
    """A copy in which each convolution has taken up the normalisation behind it; the same function in evaluation."""
    folded = copy.deepcopy(tower).eval()
    for module in folded.modules():
        for name, child in module.named_children():
            match list(child.children()):
                case [nn.Conv2d() as convolution, nn.BatchNorm2d() as normalisation]:
                    setattr(module, name, fuse_conv_bn_eval(convolution, normalisation))
    return folded
