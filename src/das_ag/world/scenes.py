"""What is in a picture: one or two figures on a ground, and the nuisances laid over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

SHAPES = ("circle", "ring", "square", "diamond", "triangle", "cross", "star", "heart", "crescent", "arrow")

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.10, 0.12),
    "orange": (1.00, 0.52, 0.05),
    "yellow": (0.98, 0.90, 0.12),
    "green": (0.10, 0.62, 0.20),
    "cyan": (0.15, 0.82, 0.88),
    "blue": (0.10, 0.22, 0.84),
    "purple": (0.52, 0.14, 0.70),
    "pink": (1.00, 0.55, 0.75),
    "brown": (0.45, 0.26, 0.10),
    "white": (0.96, 0.96, 0.96),
    "gray": (0.50, 0.50, 0.50),
    "black": (0.05, 0.05, 0.05),
}
"""RGB in 0…1 of each named colour, before jitter."""

GROUNDS = tuple(COLOURS)
"""Names of backgrounds: every colour can lie behind a figure of another colour."""

QUALITIES = ("clean", "noisy", "blurred", "shaded")
"""Words for the nuisances of a picture, in the order of the columns of `Scenes.qualities`."""

RELATIONS = ("left of", "above")
"""Canonical relations: the first figure lies left of, or above, the second."""

NO_FIGURE = -1
JITTER = 0.07
"""Half width of the uniform jitter of each RGB channel around its named colour."""

SMALL_BELOW, LARGE_ABOVE = 0.45, 0.65
"""Radii that a caption may call small or large; the picture reaches from -1 to 1."""

NOISY_ABOVE, BLURRED_ABOVE, SHADED_ABOVE = 0.08, 1.2, 0.25
"""Noise std in RGB, blur std in pixels of a 64 px picture, and shading depth from which a caption may say so."""


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes. A scene of one figure has `NO_FIGURE` in the second column of `shape` and `colour`.

    Attributes:
        shape: index into `SHAPES`, (B, 2).
        colour: index into `COLOURS`, (B, 2).
        ground: index into `GROUNDS`, (B,).
        relation: index into `RELATIONS` or -1 for a single figure, (B,).
        centre: (x, y) of each figure in [-1, 1], y upwards, (B, 2, 2).
        radius: of each figure, (B, 2).
        angle: radians, (B, 2).
        figure_rgb: (B, 2, 3) in 0…1.
        ground_rgb: (B, 3) in 0…1.
        noise: std in RGB, (B,).
        blur: std in pixels of a 64 px picture, (B,).
        shading: depth of a linear change of brightness, (B,).
        shading_angle: its direction in radians, (B,).
    """

    shape: Int[Tensor, "b 2"]
    colour: Int[Tensor, "b 2"]
    ground: Int[Tensor, " b"]
    relation: Int[Tensor, " b"]
    centre: Float[Tensor, "b 2 2"]
    radius: Float[Tensor, "b 2"]
    angle: Float[Tensor, "b 2"]
    figure_rgb: Float[Tensor, "b 2 3"]
    ground_rgb: Float[Tensor, "b 3"]
    noise: Float[Tensor, " b"]
    blur: Float[Tensor, " b"]
    shading: Float[Tensor, " b"]
    shading_angle: Float[Tensor, " b"]

    def __len__(self) -> int:
        return self.shape.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Scenes:
        return Scenes(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def count(self) -> Int[Tensor, " b"]:
        """Number of figures, 1 or 2."""
        return 1 + (self.shape[:, 1] != NO_FIGURE).long()

    @property
    def size(self) -> Int[Tensor, "b 2"]:
        """0 small, 1 large, -1 neither, of each figure."""
        return torch.where(
            self.radius < SMALL_BELOW, 0, torch.where(self.radius > LARGE_ABOVE, 1, torch.full_like(self.shape, -1))
        )

    @property
    def qualities(self) -> Bool[Tensor, "b 4"]:
        """Which of `QUALITIES` a caption may name."""
        nuisances = torch.stack(
            [self.noise > NOISY_ABOVE, self.blur > BLURRED_ABOVE, self.shading > SHADED_ABOVE], dim=1
        )
        untouched = (self.noise == 0) & (self.blur == 0) & (self.shading == 0)
        return torch.cat([untouched[:, None], nuisances], dim=1)


def sample_scenes(n: int, generator: Generator, *, pair_fraction: float = 0.3, nuisance: float = 0.35) -> Scenes:
    """Draws `n` scenes.

    Args:
        pair_fraction: share of scenes with two figures in a spatial relation.
        nuisance: probability of each of noise, blur and shading; 0 gives clean scenes.
    """

    def uniform(*size: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*size, generator=generator)

    def choice(k: int, *size: int) -> Tensor:
        return torch.randint(k, size, generator=generator)

    palette = torch.tensor(list(COLOURS.values()))
    paired = uniform(n) < pair_fraction
    ground = choice(len(GROUNDS), n)
    # A figure never has the ground's colour: an offset of 1 … k-1 from it, modulo k.
    colour = (ground[:, None] + 1 + choice(len(COLOURS) - 1, n, 2)) % len(COLOURS)
    relation = torch.where(paired, choice(len(RELATIONS), n), -1)
    shape = choice(len(SHAPES), n, 2)
    centre, radius = _place(paired, relation, uniform)
    shape[~paired, 1] = NO_FIGURE

    def strength(low: float, high: float) -> Tensor:
        return torch.where(uniform(n) < nuisance, uniform(n, low=low, high=high), torch.zeros(n))

    figure_rgb = (palette[colour] + uniform(n, 2, 3, low=-JITTER, high=JITTER)).clamp(0, 1)
    ground_rgb = (palette[ground] + uniform(n, 3, low=-JITTER, high=JITTER)).clamp(0, 1)
    colour[~paired, 1] = NO_FIGURE
    return Scenes(
        shape=shape,
        colour=colour,
        ground=ground,
        relation=relation,
        centre=centre,
        radius=radius,
        angle=uniform(n, 2, low=-0.2, high=0.2),
        figure_rgb=figure_rgb,
        ground_rgb=ground_rgb,
        noise=strength(0.03, 0.20),
        blur=strength(0.5, 2.5),
        shading=strength(0.1, 0.6),
        shading_angle=uniform(n, high=2 * torch.pi),
    )


def _place(paired: Tensor, relation: Tensor, uniform: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    """Centres (n, 2, 2) and radii (n, 2): singles anywhere inside the frame, pairs on the two sides of their axis."""
    n = paired.shape[0]
    single_radius = uniform(n, 1, low=0.34, high=0.85).expand(n, 2)
    room = (1.0 - single_radius[:, :1]).clamp(max=0.4)
    single_centre = (uniform(n, 2, low=-1.0, high=1.0) * room)[:, None, :].expand(n, 2, 2)

    pair_radius = uniform(n, 2, low=0.28, high=0.44)
    along = uniform(n, 2, low=0.44, high=0.54) * torch.tensor([-1.0, 1.0])
    across = uniform(n, 2, low=-0.25, high=0.25)
    left_of = torch.stack([along, across], dim=-1)
    above = torch.stack([across, -along], dim=-1)
    pair_centre = torch.where((relation == 0)[:, None, None], left_of, above)
    return (
        torch.where(paired[:, None, None], pair_centre, single_centre),
        torch.where(paired[:, None], pair_radius, single_radius).contiguous(),
    )
