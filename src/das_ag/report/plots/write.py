"""Writes all figures of a store."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure

from das_ag.errors import UserError, first_line
from das_ag.methods import method_of
from das_ag.report.labels import shortened
from das_ag.report.plots.images import images_figure, seeds_figure
from das_ag.report.plots.pyramid import pyramid_figure
from das_ag.report.plots.relations import fidelity_figure, fooling_figure
from das_ag.report.plots.response import response_figure
from das_ag.report.plots.scores import scores_figure
from das_ag.report.plots.style import save
from das_ag.report.plots.text import characters_of, missing_characters
from das_ag.report.plots.trajectories import trajectories_figure
from das_ag.report.traces import trace_table
from das_ag.store.atomic import check_inside
from das_ag.store.samples import Record
from das_ag.store.store import Store

log = logging.getLogger(__name__)


def write_plots(
    store: Store, records: Sequence[Record], scores: pd.DataFrame, evaluator_title: str, folder: Path | str
) -> list[str]:
    """Writes scores, fidelity, guide and trajectories as PNG and SVG, images and pyramid as PNG.

    The pyramid is that of the first DAS sample with stored levels, else of any sample with levels, else there is none.

    Args:
        scores: of these records, as `score_table` gives it.
        folder: created if missing.

    Returns:
        A sentence for each file that was left out because it is damaged, and for each figure that failed.

    Raises:
        StoreError: the folder is a link out of the store.
        OSError: the folder cannot be created.
    """
    folder = Path(folder)
    root = store.root if folder.is_relative_to(store.root) else folder
    check_inside(root, folder / "figure")
    folder.mkdir(parents=True, exist_ok=True)
    traces, told = trace_table(store, records)

    def read(image: str) -> UInt8[np.ndarray, "h w 3"]:
        try:
            return store.read_image(image)
        except UserError as error:
            told.append(str(error))
            return np.full((8, 8, 3), 255, dtype=np.uint8)

    figures: dict[str, Callable[[], Figure | None]] = {
        "scores": lambda: scores_figure(scores, evaluator_title),
        "response": lambda: response_figure(scores, evaluator_title),
        "fidelity": lambda: fidelity_figure(scores, evaluator_title),
        "guide": lambda: fooling_figure(scores, evaluator_title),
        "trajectories": lambda: trajectories_figure(traces),
        "images": lambda: images_figure(scores, read),
        "seeds": lambda: seeds_figure(scores, read),
        "pyramid": lambda: _first_pyramid(store, records, told),
    }
    failed = [_write(make, folder / name) for name, make in figures.items()]
    if missing := missing_characters(characters_of(scores, evaluator_title)):
        log.warning("%s: no font of this machine has %s; install one. The figures show boxes.", folder, missing)
    return list(dict.fromkeys([*told, *filter(None, failed)]))


def _write(make: Callable[[], Figure | None], path: Path) -> str:
    """Writes a figure in place of the old one; returns a sentence if it fails."""
    sentence = ""
    for suffix in (".png", ".svg"):
        with contextlib.suppress(OSError):  # for instance a folder of this name
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)  # a link too: `save` would follow it
    try:
        if figure := make():
            save(figure, path)
    except Exception as error:  # matplotlib's errors vary; the other figures, the table and the gallery matter more
        found = (error.strerror if isinstance(error, OSError) else None) or first_line(error)
        sentence = f"{path}: this figure is missing, because of an error ({found}); the other files are complete."
    return sentence


def _first_pyramid(store: Store, records: Sequence[Record], told: list[str]) -> Figure | None:
    """The pyramid of the first readable sample, DAS before others; adds unreadable files to `told`."""
    for record in sorted(records, key=lambda r: r.sample.method != "das"):
        sample = record.sample
        try:
            if not (levels := store.read_levels(record)) or "pyramid" not in sample.settings:
                continue
            prompt = shortened(" | ".join(sample.positive), 100)
            title = f"Pyramid of {method_of(sample.method).title}, “{prompt}”, seed {sample.seed}"
            return pyramid_figure(levels, sample.all_settings["pyramid"], store.read_image(record.image), title)
        except UserError as error:
            told.append(str(error))
    return None
