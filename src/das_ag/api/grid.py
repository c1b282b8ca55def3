"""Shows several results in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image

from das_ag.api.result import Result
from das_ag.errors import UserError
from das_ag.methods import method_of
from das_ag.report.labels import in_words, labels_of
from das_ag.report.plots.grid import grid_picture
from das_ag.store.samples import Sample


def grid(results: Sequence[Result], columns: int | None = None) -> Image.Image:
    """One picture of several results, each at its own size; a label says how each differs from the others.

    Args:
        columns: at least 1; by default at most 4.

    Raises:
        UserError: there are no results or no columns.

    Example:
        >>> import das_ag
        >>> fast = {"steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}}
        >>> results = das_ag.generate("a volcano", seeds=[1, 2], store=None, progress=False, **fast)
        >>> das_ag.grid(results).mode
        'RGB'
    """
    if not results or (columns is not None and columns < 1):
        raise UserError(
            f"grid: expected results and columns, got {len(results)} and {columns}; give at least 1 of both."
        )
    labels = pd.DataFrame({"label": _labels(results)})
    return Image.fromarray(grid_picture([np.array(r.image) for r in results], labels, columns or min(len(results), 4)))


def _labels(results: Sequence[Result]) -> list[str]:
    """For each result, in what it differs from the others, and its scores; one below the other."""
    samples = [Sample(r.method, r.prompt, (r.prompt,), r.negative, r.seed, r.settings) for r in results]
    columns = [
        [r.prompt for r in results],
        [method_of(r.method).title for r in results],
        [f"seed {r.seed}" for r in results],
        [in_words(label) for label in labels_of(samples)],
    ]
    differing = [column for column in columns if len({*column}) > 1]
    scores = ["\n".join(f"{name} {value:.2f}" for name, value in r.scores.items()) for r in results]
    return ["\n".join(filter(None, lines)) for lines in zip(*differing, scores, strict=True)]
