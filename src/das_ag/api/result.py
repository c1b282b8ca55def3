"""What `generate` gives: the finished image with its scores, and each step on the way."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, PngImagePlugin

from das_ag.store.samples import Sample
from das_ag.store.store import Store


@dataclass(frozen=True, eq=False)
class Result:
    """A finished image. A notebook shows it as a picture.

    Attributes:
        image: RGB; `image.save("volcano.png")` keeps the recipe, so `das-ag regenerate volcano.png` works.
        scores: score by each evaluator, by its name; NaN if the evaluator gives none.
        trace: loss and its terms, a row for each step.
        prompt, seed, method: what was asked for.
        negative: texts that the image should not show.
        key: hash of everything that determines the image.
        path: of the PNG in the store; None without a store.
        settings: everything else that determines the image.

    Example:
        >>> import das_ag
        >>> fast = {"steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}}
        >>> result = das_ag.generate("a volcano", store=None, progress=False, **fast)
        >>> result.image.size, list(result.scores), len(result.trace), result.path
        ((40, 40), ['imagenet'], 2, None)
    """

    image: Image.Image = field(repr=False)
    scores: Mapping[str, float]
    trace: pd.DataFrame = field(repr=False)
    prompt: str
    negative: tuple[str, ...]
    seed: int
    method: str
    key: str
    path: Path | None
    settings: Mapping[str, Any] = field(repr=False)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True)
class Step:
    """What a callback gets after each step of each image.

    Attributes:
        step: 0 … steps - 1.
        losses: `loss` and its terms, measured before the step.

    Example:
        >>> import das_ag
        >>> fast = {"steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}}
        >>> tell = lambda step: print(step.step, step.steps, step.seed, step.image.size)
        >>> result = das_ag.generate("a volcano", store=None, progress=False, callback=tell, **fast)
        0 2 42 (40, 40)
        1 2 42 (40, 40)
    """

    step: int
    steps: int
    prompt: str
    seed: int
    losses: Mapping[str, float]
    _draw: Callable[[], Image.Image] = field(repr=False)

    @functools.cached_property
    def image(self) -> Image.Image:
        """The image after this step; it is drawn only if it is asked for during the callback."""
        return self._draw()


def read_result(store: Store, sample: Sample, evaluators: Sequence[str], *, is_kept: bool) -> Result:
    """A finished sample, read from the store."""
    record = store.record_of(sample)
    path = store.root / record.image
    store.read_image(record.image)  # only to check the file
    image = PngImagePlugin.PngImageFile(io.BytesIO(path.read_bytes()))
    recipe = PngImagePlugin.PngInfo()
    for keyword, text in image.text.items():
        recipe.add_itxt(keyword, text)
    image.encoderinfo = {"pnginfo": recipe}  # Pillow keeps no text of a PNG by itself
    found = {name: record.scores[name]["score"] for name in evaluators if name in record.scores}
    scores = {name: math.nan if value is None else value for name, value in found.items()}
    return Result(
        image, scores, store.read_trace(record), sample.positive[0], sample.negative, sample.seed, sample.method,
        sample.key, path if is_kept else None, sample.all_settings,
    )  # fmt: skip
