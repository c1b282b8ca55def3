"""Nine ways to spoil a photo, each with a severity from 0 (nothing) to 1 (strong).

The sizes below are for pictures of about 240 px.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from PIL import Image
from scipy.ndimage import gaussian_filter

Picture = Float[np.ndarray, "h w 3"]
Distortion = Callable[[Picture, float, Generator], Picture]
"""Maps RGB in 0…1, severity in 0…1 and a random generator to RGB in 0…1 of the same shape and dtype."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in brightness (ITU-R BT.601, as JPEG uses)."""

NOISE_STD, COLOUR_NOISE_STD = 0.35, 0.9
BLUR_STD_PX = 5.0
PIXEL_BLOCK_PX = 12
JPEG_BEST, JPEG_WORST = 95, 3
STRIPE_AMPLITUDE, STRIPE_PERIOD_PX = 0.35, (3.0, 16.0)
SHARPENING, SHARPENING_STD_PX = 12.0, 1.0
CAST = 0.8
SATURATION = 12.0
"""The sizes at severity 1, chosen by eye: they ruin the picture, since its rating is 2 of 10."""


def add_noise(rgb: Picture, severity: float, generator: Generator) -> Picture:
    """Gaussian noise of brightness: the same in all three channels."""
    noise = generator.standard_normal((*rgb.shape[:2], 1))
    return _finish(rgb + severity * NOISE_STD * noise, rgb)


def blur(rgb: Picture, severity: float, _generator: Generator) -> Picture:
    """Gaussian blur."""
    return _finish(_smooth(rgb, severity * BLUR_STD_PX), rgb)


def pixelate(rgb: Picture, severity: float, _generator: Generator) -> Picture:
    """Square blocks of one colour."""
    height, width = rgb.shape[:2]
    block_px = 1 + severity * (PIXEL_BLOCK_PX - 1)
    small = (max(1, round(width / block_px)), max(1, round(height / block_px)))
    picture = _to_pillow(rgb).resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.NEAREST)
    return _finish(np.asarray(picture) / 255, rgb)


def compress(rgb: Picture, severity: float, _generator: Generator) -> Picture:
    """JPEG; quantisation steps grow with severity: below quality 50 they are proportional to 1/quality."""
    quality = round(min(JPEG_BEST, JPEG_WORST / max(severity, 1e-6)))
    file = io.BytesIO()
    _to_pillow(rgb).save(file, "JPEG", quality=quality)
    return _finish(np.asarray(Image.open(file)) / 255, rgb)


def add_stripes(rgb: Picture, severity: float, generator: Generator) -> Picture:
    """A sine wave across the picture: random direction, period and phase."""
    angle, phase = generator.uniform(0, [np.pi, 2 * np.pi])
    period_px = np.exp(generator.uniform(*np.log(STRIPE_PERIOD_PX)))
    y, x = np.indices(rgb.shape[:2])
    wave = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period_px + phase)
    return _finish(rgb + severity * STRIPE_AMPLITUDE * wave[:, :, None], rgb)


def oversharpen(rgb: Picture, severity: float, _generator: Generator) -> Picture:
    """Unsharp masking with halos: adds several times the difference to a blurred copy."""
    return _finish(rgb + severity * SHARPENING * (rgb - _smooth(rgb, SHARPENING_STD_PX)), rgb)


def add_colour_noise(rgb: Picture, severity: float, generator: Generator) -> Picture:
    """Gaussian noise of colour; brightness does not change."""
    noise = generator.standard_normal(rgb.shape)
    return _finish(rgb + severity * COLOUR_NOISE_STD * (noise - (noise @ LUMA)[:, :, None]), rgb)


def cast_colour(rgb: Picture, severity: float, generator: Generator) -> Picture:
    """Adds one colour of a random hue everywhere; brightness does not change."""
    colour = generator.standard_normal(3)
    colour -= colour @ LUMA
    return _finish(rgb + severity * CAST * colour / np.linalg.norm(colour), rgb)


def oversaturate(rgb: Picture, severity: float, _generator: Generator) -> Picture:
    """Moves each pixel away from the grey of its brightness."""
    grey = (rgb @ LUMA)[:, :, None]
    return _finish(grey + (1 + severity * SATURATION) * (rgb - grey), rgb)


KINDS: dict[str, Distortion] = {
    "noise": add_noise,
    "blur": blur,
    "pixelation": pixelate,
    "JPEG": compress,
    "stripes": add_stripes,
    "over-sharpening": oversharpen,
    "colour noise": add_colour_noise,
    "colour cast": cast_colour,
    "over-saturation": oversaturate,
}
"""Brightness and contrast are left out on purpose: the features do not show them (note/quality_heads.md)."""


def _finish(changed: np.ndarray, rgb: Picture) -> Picture:
    return changed.clip(0, 1).astype(rgb.dtype)


def _smooth(rgb: Picture, std_px: float) -> Picture:
    return gaussian_filter(rgb, (std_px, std_px, 0))


def _to_pillow(rgb: Picture) -> Image.Image:
    return Image.fromarray((rgb * 255).round().astype(np.uint8))
