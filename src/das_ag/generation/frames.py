"""The small pictures of an ascent that its film shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from das_ag.generation.batch import Run, Watch
from das_ag.store.reading import FRAME_PX, MOST_FRAMES
from das_ag.store.samples import Sample
from das_ag.synthesis.ascent import Iterate

Frame = UInt8[np.ndarray, "side side 3"]


class Frames:
    """A `Watch` that keeps the pictures of one batch.

    Args:
        then: a further watch, called after each step.
    """

    def __init__(self, then: Watch | None = None) -> None:
        self._then, self._rows, self._first = then, list[list[Frame]](), -1

    def __call__(self, samples: Sequence[Sample], run: Run, iterate: Iterate) -> None:
        """Keeps the images after this step if a film shows them."""
        if not self._rows:
            self._rows, self._first = [[] for _ in samples], iterate.step
        if is_frame(iterate.step, run.settings.ascent.steps):
            for row, image in zip(self._rows, run.images(), strict=True):
                row.append(shrunk(image))
        if self._then:
            self._then(samples, run, iterate)

    def of(self, row: int) -> list[Frame]:
        """The pictures of a row, in order; none if the batch continued from a checkpoint, which holds no pictures."""
        return self._rows[row] if self._first == 0 else []


def is_frame(step: int, steps: int) -> bool:
    """Whether a film shows the image after this step: at most `MOST_FRAMES` steps, with the first and the last."""
    return step in np.linspace(0, steps - 1, min(steps, MOST_FRAMES)).round()


def shrunk(image: UInt8[np.ndarray, "h w 3"]) -> Frame:
    """The image, scaled down to at most `FRAME_PX`."""
    small = Image.fromarray(image)
    small.thumbnail((FRAME_PX, FRAME_PX), Image.Resampling.LANCZOS)
    return np.array(small)
