"""Images in rows and columns with texts between them, pixel for pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from das_ag.report.plots.text import drawn_as_written, wrapped

GAP_PX, LINE_PX = 8, 16
"""Distance between two images, and height of a line of text."""
_LEAST_PX = 96
"""Least width of a cell, so that a label has space."""
_LETTER_PX = 7
"""Mean width of a letter."""
_DPI, _POINTS = 100, 9


@drawn_as_written
def page_of(texts: pd.DataFrame, size_px: tuple[int, int], **style: Any) -> Image.Image:
    """A white picture with texts.

    Args:
        texts: columns x and y, the left upper corner of each `text`, in pixels from that of the picture.
        size_px: width, height.
        style: options of `matplotlib.figure.Figure.text`, which may place the texts otherwise.
    """
    width, height = size_px
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
    for row in texts.itertuples():
        figure.text(row.x / width, 1 - row.y / height, row.text, size=_POINTS, va="top", **style)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def grid_picture(images: Sequence[Image.Image], labels: Sequence[str], columns: int) -> Image.Image:
    """Draws images in rows of so many columns, each with its label below it; no image is resized."""
    width, height = max(_LEAST_PX, *(image.width for image in images)), max(image.height for image in images)
    lines = [
        [part for line in label.split("\n") for part in wrapped(line, width // _LETTER_PX, break_words=True)]
        for label in labels
    ]
    across, down = width + GAP_PX, height + LINE_PX * max(map(len, lines)) + GAP_PX
    corners = [(GAP_PX + place % columns * across, GAP_PX + place // columns * down) for place in range(len(images))]
    texts = [
        (left + width / 2, top + height + 3, "\n".join(text)) for (left, top), text in zip(corners, lines, strict=True)
    ]
    size_px = GAP_PX + columns * across, GAP_PX + math.ceil(len(images) / columns) * down
    page = page_of(pd.DataFrame(texts, columns=["x", "y", "text"]), size_px, ha="center", linespacing=1.3)
    for image, (left, top) in zip(images, corners, strict=True):
        page.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2))
    return page
