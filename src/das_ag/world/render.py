"""Scenes to pixels: signed distances, anti-aliased coverage, then shading, blur and noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from das_ag.world.scenes import NO_FIGURE, SHAPES, Scenes

REFERENCE_PX = 64
"""Picture size for which `Scenes.blur` is given in pixels."""


@dataclass(frozen=True)
class Pictures:
    """Rendered scenes.

    Attributes:
        rgb: (B, 3, S, S) in 0…1.
        coverage: share of each pixel that each figure covers, (B, 2, S, S) in 0…1; zero for an absent figure.
    """

    rgb: Float[Tensor, "b 3 s s"]
    coverage: Float[Tensor, "b 2 s s"]


def render(scenes: Scenes, generator: Generator, *, size_px: int = REFERENCE_PX) -> Pictures:
    """Draws each scene; `generator` gives the noise."""
    coverage = torch.stack([_coverage(scenes, figure, size_px) for figure in range(2)], dim=1)
    rgb = scenes.ground_rgb[:, :, None, None].expand(-1, -1, size_px, size_px)
    for figure in range(2):
        paint = scenes.figure_rgb[:, figure, :, None, None]
        rgb = torch.lerp(rgb, paint.expand_as(rgb), coverage[:, figure, None])
    rgb = _shade(rgb, scenes.shading, scenes.shading_angle)
    rgb = _blur(rgb, scenes.blur * size_px / REFERENCE_PX)
    noise = torch.randn(rgb.shape, generator=generator) * scenes.noise[:, None, None, None]
    return Pictures(rgb=(rgb + noise).clamp(0, 1), coverage=coverage)


def _grid(size_px: int) -> tuple[Tensor, Tensor]:
    """x (1, 1, S) rightwards and y (1, S, 1) upwards of the pixel centres, in (-1, 1)."""
    axis = (torch.arange(size_px) + 0.5) / size_px * 2 - 1
    return axis[None, None, :], -axis[None, :, None]


def _coverage(scenes: Scenes, figure: int, size_px: int) -> Tensor:
    """(B, S, S) in 0…1, from the signed distance at the pixel's centre, one pixel wide at the edge."""
    x, y = _grid(size_px)
    dx = x - scenes.centre[:, figure, 0, None, None]
    dy = y - scenes.centre[:, figure, 1, None, None]
    cos = scenes.angle[:, figure].cos()[:, None, None]
    sin = scenes.angle[:, figure].sin()[:, None, None]
    radius = scenes.radius[:, figure, None, None]
    u, v = (cos * dx + sin * dy) / radius, (cos * dy - sin * dx) / radius
    coverage = torch.zeros(len(scenes), size_px, size_px)
    kinds = scenes.shape[:, figure]
    for kind, name in enumerate(SHAPES):
        rows = (kinds == kind).nonzero().squeeze(1)
        if rows.numel():
            distance = _DISTANCES[name](u[rows], v[rows]) * radius[rows]
            coverage[rows] = (0.5 - distance * size_px / 2).clamp(0, 1)
    coverage[kinds == NO_FIGURE] = 0
    return coverage


def _shade(rgb: Tensor, depth: Tensor, angle: Tensor) -> Tensor:
    """Multiplies by a linear ramp from 1 down to 1 - depth across the picture."""
    x, y = _grid(rgb.shape[-1])
    ramp = (x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None]) / (2 * math.sqrt(2)) + 0.5
    return rgb * (1 - depth[:, None, None] * ramp)[:, None]


def _blur(rgb: Tensor, std_px: Tensor) -> Tensor:
    """Gaussian blur of each picture by its own std, as two matrix products; edges by renormalising the kernel."""
    position = torch.arange(rgb.shape[-1], dtype=rgb.dtype)
    squared = (position[:, None] - position[None, :]).square()
    std = std_px.clamp(min=1e-3)[:, None, None]
    kernel = torch.softmax(-squared / (2 * std.square()), dim=-1)[:, None]  # (B, 1, S, S), rows sum to 1
    return kernel @ rgb @ kernel.transpose(-1, -2)


# Signed distances of shapes that fill about the unit disc: negative inside, in units of the radius, exact at the edge.


def _length(x: Tensor, y: Tensor) -> Tensor:
    return (x.square() + y.square()).sqrt()


def _circle(x: Tensor, y: Tensor) -> Tensor:
    return _length(x, y) - 0.88


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (_length(x, y) - 0.70).abs() - 0.21


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.76


def _diamond(x: Tensor, y: Tensor) -> Tensor:
    half_width = 0.66
    return (x.abs() / half_width + y.abs() - 1) * half_width / math.hypot(half_width, 1)


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    inradius = 0.52
    y = y + 0.2
    slanted = math.cos(math.pi / 6) * x.abs() + math.sin(math.pi / 6) * y
    return torch.maximum(-y, slanted) - inradius


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    half_width, reach = 0.29, 0.92
    return torch.minimum(
        torch.maximum(x - half_width, y - reach),
        torch.maximum(x - reach, y - half_width),
    )


def _star(x: Tensor, y: Tensor) -> Tensor:
    """Five points: fold the plane into one half of a point, then the distance to its edge."""
    outer, inner, fold = 1.05, 0.44, math.pi / 5
    angle = torch.atan2(x, y)
    angle = (torch.remainder(angle + fold, 2 * fold) - fold).abs()
    length = _length(x, y)
    along, across = length * angle.cos(), length * angle.sin()
    edge_x, edge_y = inner * math.cos(fold) - outer, inner * math.sin(fold)
    return ((along - outer) * edge_y - across * edge_x) / math.hypot(edge_x, edge_y)


def _heart(x: Tensor, y: Tensor) -> Tensor:
    """A square on its corner with a half disc on each upper side."""
    reach = 0.80
    x, y = x.abs(), y + 0.05
    square = (x + y.abs() - reach) / math.sqrt(2)
    disc = _length(x - reach / 2, y - reach / 2) - reach / math.sqrt(2)
    return torch.minimum(square, disc)


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(_length(x, y) - 0.95, 0.78 - _length(x - 0.45, y - 0.08))


def _arrow(x: Tensor, y: Tensor) -> Tensor:
    """Points to the right."""
    y = y.abs()
    shaft = torch.maximum(torch.maximum(-0.95 - x, x - 0.2), y - 0.20)
    tip, base, half = 0.98, 0.05, 0.70
    slope = math.hypot(tip - base, half)
    head = torch.maximum(base - x, ((x - tip) * half + y * (tip - base)) / slope)
    return torch.minimum(shaft, head)


_DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "circle": _circle,
    "ring": _ring,
    "square": _square,
    "diamond": _diamond,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "heart": _heart,
    "crescent": _crescent,
    "arrow": _arrow,
}
