"""The whole method for one image, top to bottom, in plain torch: read this first.

Gradient descent changes the pixels until frozen networks recognise in them what a text says. There is no generative
model. `ascent.py` and the other modules do the same for several images at a time, and add options of later versions;
tests compare the two. Source: DAS (arXiv:2502.07753) and DAS-AG v1, with its order of random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from das_ag.colour import CLIP_MEAN, CLIP_STD, COLOUR_BASIS
from das_ag.synthesis.objective import Guide, ObjectiveSettings
from das_ag.synthesis.optimiser import AscentSettings
from das_ag.synthesis.pyramid import PyramidSettings
from das_ag.synthesis.views import ViewSettings

Settings = tuple[PyramidSettings, ViewSettings, ObjectiveSettings, AscentSettings]


def synthesise(
    guide: Guide, positive: Float[Tensor, " d"], negative: Float[Tensor, " d"], settings: Settings, generator: Generator
) -> Iterator[tuple[float, Float[Tensor, "1 3 size size"]]]:
    """Makes an image; yields each step's loss and the canvas before the step, RGB in 0…1.

    Args:
        positive, negative: mean of the prompts' L2-normalised features; zeros for no prompt.
        generator: draws all random numbers; the computation runs on its device.
    """
    pyramid, views, objective, ascent = settings
    noise = [torch.randn(1, 3, s, s, generator=generator, device=generator.device) for s in pyramid.sizes_px]
    levels = [(x / x.shape[-1] * pyramid.initial_scale).requires_grad_() for x in noise]
    optimiser = torch.optim.Adam(levels, betas=ascent.betas)
    for step in range(ascent.steps):
        canvas = canvas_of(levels, pyramid)
        pixels = normalised(rgb_of(canvas, pyramid.gamut))
        seen = look(pixels, views, (step, ascent.steps), guide.image_size_px, generator)

        features = guide.encode_images(seen)  # L2-normalised, so products are cosines
        similarity = (features @ positive).mean() - (features @ negative).mean()
        masks = [dropout_mask(len(seen), width, rate, generator) for width, rate in guide.dropout]
        aesthetic = guide.rate_features(features, *masks).mean() / 10 if guide.rate_features else torch.zeros(())
        rows = (seen[..., 1:, :] - seen[..., :-1, :]).abs().mean()
        columns = (seen[..., :, 1:] - seen[..., :, :-1]).abs().mean()

        loss = (  # DAS-AG rewards a high aesthetic score (sign 1), DAS-rAG penalises it (-1), DAS ignores it (0)
            -objective.aesthetic_sign * objective.aesthetic(step, ascent.steps) * aesthetic
            - objective.clip * similarity
            + objective.others["total_variation"] * (rows + columns)
            + objective.others["l1"] * seen.abs().mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.param_groups[0]["lr"] = ascent.learning_rate * annealed(step / ascent.steps)
        optimiser.step()
        yield loss.item(), rgb_of(canvas.detach(), pyramid.gamut)


def canvas_of(levels: list[Tensor], pyramid: PyramidSettings) -> Float[Tensor, "1 3 size size"]:
    """Upsamples all levels to the largest and combines them: values in [-1, 1]."""
    upsampled = torch.stack([resized(level, levels[-1].shape[-1]) for level in levels])
    total = upsampled.mean(dim=0) if pyramid.combine == "mean" else upsampled.sum(dim=0)
    if pyramid.gamut == "decorrelated":  # brightness and two contrasts become red, green and blue
        basis = total.new_tensor(COLOUR_BASIS)
        basis = basis / basis.norm(dim=0).max() * pyramid.gamut_gain / 2
        total = torch.einsum("rc,nchw->nrhw", basis, total)
    return torch.tanh(resized(total, pyramid.canvas_px))


def resized(pictures: Float[Tensor, "n 3 _ _"], size_px: int) -> Float[Tensor, "n 3 size size"]:
    """Resizes by bilinear interpolation; no change if the size is the same."""
    return F.interpolate(pictures, (size_px, size_px), mode="bilinear", align_corners=False)


def look(
    pixels: Float[Tensor, "1 3 size size"], views: ViewSettings, step: tuple[int, int], image_px: int, g: Generator
) -> Float[Tensor, "views 3 image image"]:
    """Random views of the canvas at the guide's resolution; colours are CLIP-normalised."""
    b, m, size = views.count, views.max_shift_px, pixels.shape[-1]
    shifts = [torch.randint(-m, m + 1, (1,), generator=g, device=g.device).item() for _ in range(2 * b)]
    offset, gain = (torch.rand(b, 3, 1, 1, generator=g, device=g.device) * 2 - 1 for _ in range(2))
    noise = torch.randn(b, 3, size, size, generator=g, device=g.device)

    places = zip(shifts[::2], shifts[1::2], strict=True)
    moved = torch.cat([pixels.roll((int(dy), int(dx)), dims=(2, 3)) for dx, dy in places])
    c = views.colour_shift(*step)
    noisy = moved * torch.exp(c * gain) + c * offset + views.noise(*step) * noise
    inner = noisy[..., m : size - m, m : size - m]  # the border holds pixels from the opposite side
    return resized(inner, image_px)


def normalised(rgb: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 h w"]:
    """Converts RGB in 0…1 to CLIP-normalised colours, the guide's input."""
    mean, std = (rgb.new_tensor(v)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))
    return (rgb - mean) / std


def rgb_of(canvas: Float[Tensor, "1 3 h w"], gamut: str) -> Float[Tensor, "1 3 h w"]:
    """Converts the canvas to RGB in 0…1. The published canvas, `clip_normalised`, excludes dark and bright colours."""
    if gamut == "clip_normalised":
        return canvas * canvas.new_tensor(CLIP_STD)[:, None, None] + canvas.new_tensor(CLIP_MEAN)[:, None, None]
    return (canvas + 1) / 2


def dropout_mask(views: int, width: int, rate: float, generator: Generator) -> Float[Tensor, "views width"]:
    """The factors of a dropout layer: the published program never switches the head's dropout off."""
    kept = torch.empty(views, width, device=generator.device).bernoulli_(1 - rate, generator=generator)
    return kept / (1 - rate)


def annealed(progress: float) -> float:
    """Share of the learning rate: a half cosine from 1 down to 1 %."""
    return 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
