"""Shows what each level of the pyramid contributes to an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from das_ag.colour import CLIP_MEAN, CLIP_STD, COLOUR_BASIS
from das_ag.errors import UserError
from das_ag.report.plots.resize import widen
from das_ag.report.plots.style import caption, plain_powers, tidy
from das_ag.report.plots.text import drawn_as_written

MOST_LEVELS = 10
"""Most levels shown; enough for all powers of two up to 512 px."""

ROUNDING = 2
"""Of 255; the largest change from rounding the levels to float16."""

_PIXELS, _CANVAS = ("#000000", "o"), ("#009E73", "s")
"""Colours and markers, different from those of the methods."""


@dataclass(frozen=True)
class Contributions:
    """The contributions of a pyramid's levels.

    Attributes:
        sizes_px: sides of all levels, coarse to fine.
        shown: indices of the levels in `alone` and `sums`.
        alone: each shown level resized to the canvas, without its weight in the sum.
        sums: RGB in 0…1 of the image from all levels up to each shown one.
        pixel_energy, canvas_energy: mean square of each level's pixels, and of its contribution to the canvas.
    """

    sizes_px: tuple[int, ...]
    shown: tuple[int, ...]
    alone: tuple[Float[np.ndarray, "3 side side"], ...]
    sums: tuple[Float[np.ndarray, "side side 3"], ...]
    pixel_energy: Float[np.ndarray, " levels"]
    canvas_energy: Float[np.ndarray, " levels"]


@drawn_as_written
def pyramid_figure(
    levels: Sequence[Float[np.ndarray, "3 _ _"]],
    settings: Mapping[str, Any],
    image: UInt8[np.ndarray, "side side 3"],
    title: str,
) -> Figure:
    """The levels of a sample, the image as levels are added from coarse to fine, and the levels' energy.

    Args:
        levels: coarse to fine, as `Store.read_levels` gives them.
        settings: canvas_px, combine, interpolation and gamut of the pyramid.
        image: as stored, without the border of the canvas.
        title: the name of the sample.

    Raises:
        UserError: there are no levels, the image is larger than the canvas, or a setting is unknown.
    """
    parts = contributions(levels, settings, image.shape[0])
    columns = max(len(parts.shown), 5)
    figure = Figure(figsize=(1.0 + 1.2 * columns, 6.6), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    (upper,), (lower,) = figure.subfigures(2, 1, squeeze=False)
    _draw_pictures(upper, parts)
    _draw_energy(lower.subplots(), parts)
    apart = int(np.abs(np.round(parts.sums[-1] * 255) - image).max())
    agreement = f"the last equals the stored image, except for rounding (largest difference {apart} of 255)"
    if apart > ROUNDING:
        agreement = f"the last differs from the stored image by up to {apart} of 255"
    left_out = len(parts.sizes_px) - len(parts.shown)
    caption(
        figure,
        "Upper row: each level on the canvas, multiplied by the factor above it; grey is 0.",
        f"Lower row: the image from all levels up to this size; {agreement}.",
        f"Levels without a picture: {left_out} of {len(parts.sizes_px)}." if left_out else "",
        "n = 1 image.",
    )
    return figure


def contributions(
    levels: Sequence[Float[np.ndarray, "3 _ _"]], settings: Mapping[str, Any], side_px: int
) -> Contributions:
    """Computes the contributions; arguments and errors as for `pyramid_figure`, `side_px` is that of the image."""
    canvas_px, border = int(settings["canvas_px"]), (int(settings["canvas_px"]) - side_px) // 2
    if not levels or border < 0:
        found = f"the image, {side_px} px, is larger than the canvas, {canvas_px} px" if levels else "found no levels"
        raise UserError(f"pyramid: {found}; delete the sample's folder and run again.")
    weight = 1 / len(levels) if settings["combine"] == "mean" else 1.0
    shown = chosen_levels(len(levels))
    total = np.zeros((3, canvas_px, canvas_px), dtype=np.float32)
    window = (slice(None), slice(border, border + side_px), slice(border, border + side_px))
    alone, sums, energies = [], [], []
    for place, level in enumerate(levels):
        wide = widen(level, canvas_px, settings["interpolation"])
        total += weight * wide
        energies.append((np.mean(np.square(level, dtype=np.float64)), np.mean(np.square(weight * wide))))
        if place in shown:
            alone.append(wide[window])
            sums.append(as_rgb(total[window], settings))
    pixel, canvas = np.array(energies, dtype=np.float64).T
    sizes = tuple(int(level.shape[-1]) for level in levels)
    return Contributions(sizes, shown, tuple(alone), tuple(sums), pixel, canvas)


def chosen_levels(n: int) -> tuple[int, ...]:
    """Indices of the levels to show: all, or some with equal size ratios, always with the last."""
    if n <= MOST_LEVELS:
        return tuple(range(n))
    return tuple(int(place) - 1 for place in np.unique(np.geomspace(1, n, MOST_LEVELS - 1).round()))


def as_rgb(total: Float[np.ndarray, "3 h w"], settings: Mapping[str, Any]) -> Float[np.ndarray, "h w 3"]:
    """Converts combined levels, before tanh, to RGB in 0…1.

    Args:
        settings: `gamut` of the pyramid, and `gamut_gain` if it is `decorrelated`.

    Raises:
        UserError: the gamut is unknown.
    """
    last, gamut = np.moveaxis(total, 0, -1), settings["gamut"]
    if gamut == "full":
        return (np.tanh(last) + 1) / 2
    if gamut == "clip_normalised":
        return np.clip(np.tanh(last) * np.array(CLIP_STD, last.dtype) + np.array(CLIP_MEAN, last.dtype), 0, 1)
    if gamut == "decorrelated":
        basis = np.array(COLOUR_BASIS, last.dtype)
        basis *= settings["gamut_gain"] / 2 / np.linalg.norm(basis, axis=0).max()
        return (np.tanh(last @ basis.T) + 1) / 2
    raise UserError(
        f"pyramid.gamut: expected full, clip_normalised or decorrelated, got {gamut!r}; use the version of das-ag that "
        "made the sample."
    )


def slope(sizes_px: Sequence[int], energy: Float[np.ndarray, " levels"]) -> tuple[float, float] | None:
    """Exponent and factor of a power law fitted on log-log axes; None for fewer than two levels.

    Levels whose energy is zero or not finite do not count.
    """
    sizes = np.array(sizes_px, dtype=np.float64)
    kept = np.isfinite(energy) & (energy > 0)
    if kept.sum() < 2:
        return None
    exponent, offset = np.polyfit(np.log(sizes[kept]), np.log(energy[kept]), 1)
    return float(exponent), float(np.exp(offset))


def _draw_pictures(figure: SubFigure, parts: Contributions) -> None:
    """Draws two rows: the levels alone, and their sums."""
    grid = figure.subplots(2, len(parts.shown), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(linewidth=0.5, color="#BBBBBB")
    for place, level, total, (above, below) in zip(parts.shown, parts.alone, parts.sums, grid.T, strict=True):
        stretched, factor = stretch(level)
        above.imshow(stretched, interpolation="nearest")
        above.set_title(f"{parts.sizes_px[place]} px\n×{factor:g}", fontsize=9)
        below.imshow(np.clip(total, 0, 1), interpolation="lanczos")
    grid[0, 0].set_ylabel("level alone", fontsize=9)
    grid[1, 0].set_ylabel("sum of levels", fontsize=9)


def stretch(level: Float[np.ndarray, "3 h w"]) -> tuple[Float[np.ndarray, "h w 3"], float]:
    """RGB in 0…1, scaled so that only extreme values are clipped, and the scale factor, with two digits."""
    reach = float(np.quantile(np.abs(level), 0.995))
    factor = float(f"{1 / reach:.2g}") if reach > 1e-12 else 1.0
    return np.clip((np.moveaxis(level, 0, -1) * factor + 1) / 2, 0, 1), factor


def _draw_energy(axes: Axes, parts: Contributions) -> None:
    """Energy against size, with the fitted power laws."""
    sizes = parts.sizes_px
    series = (
        ("level at its own size", parts.pixel_energy, _PIXELS),
        ("contribution to the canvas", parts.canvas_energy, _CANVAS),
    )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_powers(axes)
    for name, energy, (colour, marker) in series:
        law = slope(sizes, energy)
        label = f"{name}: ∝ size^{law[0]:.2f}" if law else name
        axes.plot(sizes, np.where(energy > 0, energy, np.nan), marker, color=colour, label=label, zorder=3,
                  markersize=6 if len(sizes) <= 20 else 3, markeredgewidth=0)  # fmt: skip
        if law:
            axes.plot(sizes, law[1] * np.array(sizes, float) ** law[0], color=colour, linewidth=1, zorder=2)
    ticks = [2**k for k in range(max(sizes).bit_length()) if 2**k <= max(sizes)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("side of the level, px")
    axes.set_ylabel("energy: mean square\n(canvas before tanh)")
    tidy(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, frameon=False)
