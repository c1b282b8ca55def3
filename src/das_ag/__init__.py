"""Direct Ascent Synthesis with aesthetic guidance: images from a text by gradient ascent on frozen networks.

`import das_ag` takes milliseconds: each name is imported when it is first used.

Example:
    Make an image and look at it; without `rough`, it takes minutes and is worth a look.

    >>> import das_ag
    >>> rough = {"steps": 2, "canvas_px": 48, "views": {"count": 1, "max_shift_px": 4}, "progress": False}
    >>> result = das_ag.generate("a volcano", method="das_ag", seed=42, **rough)
    >>> result.image.save("volcano.png")
    >>> list(result.scores), list(result.trace)[:2]
    (['imagenet'], ['step', 'loss'])

    The figures of an experiment are of matplotlib.

    >>> scored = das_ag.read_scores("outputs/own")
    >>> das_ag.scores_figure(scored.scores, scored.title).savefig("scores.pdf")
    >>> das_ag.images_figure(scored.scores, scored.store.read_image).savefig("images.pdf")
    >>> traces, damaged = das_ag.trace_table(scored.store, scored.records)
    >>> das_ag.trajectories_figure(traces).savefig("trajectories.pdf")
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from das_ag.api.generate import generate
    from das_ag.api.grid import grid
    from das_ag.api.result import Result, Step
    from das_ag.api.score import score
    from das_ag.errors import UserError
    from das_ag.report import read_scores, trace_table
    from das_ag.report.plots import (
        fidelity_figure,
        fooling_figure,
        images_figure,
        pyramid_figure,
        response_figure,
        scores_figure,
        seeds_figure,
        trajectories_figure,
    )

    __version__: str

__all__ = [
    "Result",
    "Step",
    "UserError",
    "__version__",
    "fidelity_figure",
    "fooling_figure",
    "generate",
    "grid",
    "images_figure",
    "pyramid_figure",
    "read_scores",
    "response_figure",
    "score",
    "scores_figure",
    "seeds_figure",
    "trace_table",
    "trajectories_figure",
]

_MODULES = {
    "Result": "das_ag.api.result",
    "Step": "das_ag.api.result",
    "generate": "das_ag.api.generate",
    "grid": "das_ag.api.grid",
    "score": "das_ag.api.score",
    "UserError": "das_ag.errors",
    "read_scores": "das_ag.report",
    "trace_table": "das_ag.report",
}
"""Where the names are; the figures are in `das_ag.report.plots`."""

if not TYPE_CHECKING:  # a type checker would take any name

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return metadata.version("das-ag")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(_MODULES.get(name, "das_ag.report.plots")), name)
        globals()[name] = found  # so that it is looked up once
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
