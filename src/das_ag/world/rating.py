"""The aesthetic rating of a picture: an explicit formula, on a scale from 1 to 10.

rating = 1 + 9 · (0.40 · contrast + 0.10 · harmony + 0.25 · composition + 0.25 · cleanness), each term in 0…1:

- contrast: CIELAB distance between the mean colour of a figure and that of the ground, over 100, at most 1;
- harmony: (1 + cos 2Δh) / 2 for the CIELAB hue difference Δh between figure and ground: hues that are alike or
  complementary please, hues at a right angle do not; weighted by the smaller chroma (grey goes with everything);
- composition: exp(-|c|² / 0.18) · exp(-((a - 0.28) / 0.18)²) for the common centre of mass c of the figures (frame from
  -1 to 1) and the share a of the picture that they cover;
- cleanness: 1 - min(1, rms / 0.20), where rms is the root mean square difference in RGB between the picture and the
  ideal one in which each figure and the ground have their mean colours and sharp edges: noise, blur and shading count.

Several figures: the mean over figures.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from das_ag.world.render import Pictures

WEIGHTS = {"contrast": 0.40, "harmony": 0.10, "composition": 0.25, "cleanness": 0.25}
_TINY = 1e-6


def rate(pictures: Pictures) -> Float[Tensor, " b"]:
    """The rating of each picture, in 1…10."""
    terms = rating_terms(pictures)
    return 1 + 9 * sum((WEIGHTS[name] * terms[name] for name in WEIGHTS), torch.zeros(()))


def rating_terms(pictures: Pictures) -> dict[str, Float[Tensor, " b"]]:
    """Each term of the rating, in 0…1."""
    rgb, figures = pictures.rgb, pictures.coverage
    uncovered = (1 - figures.sum(dim=1, keepdim=True)).clamp(0, 1)
    regions = torch.cat([uncovered, figures], dim=1)  # (B, 3, S, S): ground, first figure, second figure
    area = regions.mean(dim=(2, 3))
    mean_rgb = torch.einsum("brhw,bchw->brc", regions, rgb) / (area[..., None] * rgb[0, 0].numel() + _TINY)
    present = (area[:, 1:] > _TINY).float()

    def over_figures(values: Tensor) -> Tensor:
        return (values * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)

    lab = _cielab(mean_rgb)
    ground, figure = lab[:, :1], lab[:, 1:]
    contrast = ((figure - ground).square().sum(-1) + _TINY).sqrt() / 100
    ideal = torch.einsum("brhw,brc->bchw", regions, mean_rgb)
    rms = (rgb - ideal).square().mean(dim=(1, 2, 3)).sqrt()
    return {
        "contrast": over_figures(contrast.clamp(max=1)),
        "harmony": over_figures(_harmony(ground, figure)),
        "composition": _composition(figures),
        "cleanness": 1 - (rms / 0.20).clamp(max=1),
    }


def _harmony(ground: Tensor, figure: Tensor) -> Tensor:
    """(B, figures) in 0…1, from CIELAB colours (B, 1 or figures, 3)."""
    hue = torch.atan2(figure[..., 2], figure[..., 1]) - torch.atan2(ground[..., 2], ground[..., 1])
    chroma = torch.minimum(figure[..., 1:].norm(dim=-1), ground[..., 1:].norm(dim=-1))
    clash = (1 - torch.cos(2 * hue)) / 2 * (chroma / 40).clamp(max=1)
    return 1 - clash


def _composition(figures: Tensor) -> Tensor:
    weight = figures.sum(dim=1)
    area = weight.mean(dim=(1, 2))
    axis = torch.linspace(-1, 1, weight.shape[-1])
    total = weight.sum(dim=(1, 2)) + _TINY
    x = (weight * axis[None, None, :]).sum(dim=(1, 2)) / total
    y = (weight * axis[None, :, None]).sum(dim=(1, 2)) / total
    return torch.exp(-(x.square() + y.square()) / 0.18) * torch.exp(-((area - 0.28) / 0.18).square())


def _cielab(rgb: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """sRGB in 0…1 to CIELAB under D65 (IEC 61966-2-1; CIE 15)."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp(min=0) + 0.055) / 1.055) ** 2.4)
    to_xyz = torch.tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / torch.tensor([0.9505, 1.0, 1.089])
    f = torch.where(xyz > (6 / 29) ** 3, xyz.clamp(min=_TINY) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return torch.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], dim=-1)
