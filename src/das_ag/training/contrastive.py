"""Losses and disturbances of contrastive training on pictures whose true and false captions are known."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional as F


def image_to_text_loss(similarity: Float[Tensor, "b n"], truth: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    """Cross entropy of each picture's own caption, which is column i for picture i, against all false ones.

    Captions of other pictures that happen to be true of this one are left out instead of being counted as false.
    """
    index = torch.arange(similarity.shape[0], device=similarity.device)
    other_truth = truth.clone()
    other_truth[index, index] = False
    return F.cross_entropy(similarity.masked_fill(other_truth, float("-inf")), index)


def text_to_image_loss(
    similarity: Float[Tensor, "b n"], truth: Bool[Tensor, "b n"], nothing: Float[Tensor, "m n"]
) -> Float[Tensor, ""]:
    """The other way: each picture's own caption against the pictures, and against `nothing`, of which all is false."""
    b = similarity.shape[0]
    index = torch.arange(b, device=similarity.device)
    other_truth = truth[:, :b].clone()
    other_truth[index, index] = False
    pictures = similarity[:, :b].masked_fill(other_truth, float("-inf"))
    return F.cross_entropy(torch.cat([pictures, nothing[:, :b]]).T, index)


def meaningless_pictures(pictures: Float[Tensor, "m 3 s s"], generator: Generator) -> Float[Tensor, "m 3 s s"]:
    """Pictures of nothing: half are clouds of colour at all scales, half the given ones cut in blocks and shuffled."""
    m, _, size, _ = pictures.shape
    half = m // 2
    clouds = torch.zeros(half, 3, size, size)
    for exponent in range(size.bit_length()):
        level = torch.randn(half, 3, 2**exponent, 2**exponent, generator=generator)
        gain = torch.rand(half, 1, 1, 1, generator=generator) * 1.5
        clouds += gain * F.interpolate(level, size=size, mode="bilinear") / (1 + exponent / 2)
    blocks = 4 if torch.rand((), generator=generator) < 0.5 else 8
    side = size // blocks
    grid = pictures[half:].unfold(2, side, side).unfold(3, side, side).flatten(2, 3)  # (m, 3, blocks², side, side)
    order = torch.rand(m - half, blocks * blocks, generator=generator).argsort(dim=1)
    grid = grid.gather(2, order[:, None, :, None, None].expand_as(grid)).unflatten(2, (blocks, blocks))
    shuffled = grid.permute(0, 1, 2, 4, 3, 5).reshape(m - half, 3, size, size)
    return torch.cat([torch.sigmoid(clouds), shuffled])


def ascend_in_ball(
    delta: Float[Tensor, "b 3 s s"], gradient: Float[Tensor, "b 3 s s"], radius: float, step: float
) -> Float[Tensor, "b 3 s s"]:
    """One normalised gradient step up, then back into the L2 ball of `radius` (RGB units, per picture)."""

    def norm(x: Tensor) -> Tensor:
        return x.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]

    moved = delta + step * gradient / norm(gradient)
    return moved * (radius / norm(moved)).clamp(max=1)


def random_in_ball(shape: tuple[int, ...], radius: float, generator: Generator) -> Float[Tensor, "b 3 s s"]:
    """A random direction for each picture, with a length uniform in 0…radius."""
    direction = torch.randn(shape, generator=generator)
    length = radius * torch.rand(shape[0], 1, 1, 1, generator=generator)
    return direction * (length / direction.flatten(1).norm(dim=1)[:, None, None, None])
