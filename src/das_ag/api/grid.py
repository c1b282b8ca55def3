"""Shows several results in one picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image

from das_ag.api.result import Result
from das_ag.errors import UserError
from das_ag.methods import method_of
from das_ag.report.labels import in_words, labels_of
from das_ag.report.plots.grid import grid_picture
from das_ag.store.samples import Sample


def grid(results: Result | Sequence[Result], columns: int | None = None) -> Image.Image:
    """One picture of a result or of several, each at its own size; a label says how each differs from the others.

    Args:
        columns: at least 1; by default at most 4.

    Raises:
        UserError: there are no results or no columns, or something else than a result.

    Example:
        >>> import das_ag
        >>> fast = {"steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}}
        >>> results = das_ag.generate("a volcano", seeds=[1, 2], store=None, progress=False, **fast)
        >>> das_ag.grid(results).mode
        'RGB'
    """
    results = list(results) if isinstance(results, Iterable) else [results]
    if wrong := [result for result in results if not isinstance(result, Result)]:
        raise UserError(f"grid: expected results of das_ag.generate, got {wrong[0]!r}.")
    if not results:
        raise UserError("grid: expected results of das_ag.generate, got none; give at least one.")
    if columns is not None and columns < 1:
        raise UserError(f"grid: expected at least one column, got {columns}; leave columns out for at most 4.")
    return grid_picture([result.image for result in results], _labels(results), columns or min(len(results), 4))


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
