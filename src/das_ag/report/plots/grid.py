"""Images in rows and columns, each with its label, pixel for pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from das_ag.report.plots.text import drawn_as_written, wrapped

_GAP_PX, _LEAST_PX = 8, 96
"""Between two images; least width of a cell, so that a label has space."""
_POINTS, _LINE_PX = 9, 16
"""Size of the text, and the height of a line at 100 dots per inch."""


@drawn_as_written
def grid_picture(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], labels: pd.DataFrame, columns: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws images in rows of so many columns; no image is resized.

    Args:
        labels: the column `label` has the text below each image.
    """
    height, width = (max(_LEAST_PX * axis, *(image.shape[axis] for image in images)) for axis in (0, 1))
    lines = [
        [part for line in text.split("\n") for part in wrapped(line, width // 7, break_words=True)]
        for text in labels["label"]
    ]
    step = height + _LINE_PX * max(map(len, lines)) + _GAP_PX, width + _GAP_PX
    rows = math.ceil(len(images) / columns)
    size_px = np.array([columns * step[1] + _GAP_PX, rows * step[0] + _GAP_PX])
    figure = Figure(figsize=tuple(size_px / 100), dpi=100, facecolor="white")
    for place, (image, text) in enumerate(zip(images, lines, strict=True)):
        row, column = divmod(place, columns)
        left, below = _GAP_PX + column * step[1], size_px[1] - _GAP_PX - row * step[0] - height
        x, y = left + (width - image.shape[1]) // 2, below + (height - image.shape[0]) // 2
        figure.figimage(image, x, y, origin="upper")
        middle, top = np.array([left + width / 2, below - 3]) / size_px
        figure.text(middle, top, "\n".join(text), size=_POINTS, ha="center", va="top", linespacing=1.3)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
