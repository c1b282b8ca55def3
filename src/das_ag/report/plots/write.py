"""Writes all figures of a store."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure

from das_ag.errors import UserError
from das_ag.methods import method_of
from das_ag.report.plots.images import images_figure
from das_ag.report.plots.pyramid import pyramid_figure
from das_ag.report.plots.relations import fidelity_figure, fooling_figure
from das_ag.report.plots.scores import scores_figure
from das_ag.report.plots.style import save
from das_ag.report.plots.trajectories import trajectories_figure
from das_ag.report.traces import trace_table
from das_ag.store.atomic import own_file
from das_ag.store.samples import Record
from das_ag.store.store import Store

FIGURES = ("scores", "fidelity", "guide", "trajectories", "images", "pyramid")
"""Names of the files, without suffix."""


def write_plots(
    store: Store, records: Sequence[Record], scores: pd.DataFrame, evaluator_title: str, folder: Path
) -> list[str]:
    """Writes scores, fidelity, guide and trajectories as PNG and SVG, images and pyramid as PNG.

    The pyramid is that of the first DAS sample with stored levels, else of any sample with levels, else there is none.

    Args:
        scores: of these records, as `score_table` gives it.
        folder: created if missing.

    Returns:
        A sentence for each file that was left out because it is damaged.

    Raises:
        StoreError: the folder is a link out of the store.
        OSError: the folder cannot be written to.
    """
    root = store.root if folder.is_relative_to(store.root) else folder
    for name in FIGURES:
        for suffix in (".png", ".svg"):
            own_file(root, folder / f"{name}{suffix}")
    folder.mkdir(parents=True, exist_ok=True)
    traces, told = trace_table(store, records)
    save(scores_figure(scores, evaluator_title), folder / "scores")
    save(fidelity_figure(scores, evaluator_title), folder / "fidelity")
    save(fooling_figure(scores, evaluator_title), folder / "guide")
    save(trajectories_figure(traces), folder / "trajectories")

    def read(image: str) -> UInt8[np.ndarray, "h w 3"]:
        try:
            return store.read_image(image)
        except UserError as error:
            told.append(str(error))
            return np.full((8, 8, 3), 255, dtype=np.uint8)

    save(images_figure(scores, read), folder / "images")
    if pyramid := _first_pyramid(store, records, told):
        save(pyramid, folder / "pyramid")
    else:
        for suffix in (".png", ".svg"):
            (folder / f"pyramid{suffix}").unlink(missing_ok=True)  # of a sample that no longer exists
    return list(dict.fromkeys(told))


def _first_pyramid(store: Store, records: Sequence[Record], told: list[str]) -> Figure | None:
    """The pyramid of the first readable sample, DAS before others; adds unreadable files to `told`."""
    for record in sorted(records, key=lambda r: r.sample.method != "das"):
        sample = record.sample
        try:
            if not (levels := store.read_levels(record)) or "pyramid" not in sample.settings:
                continue
            prompt = textwrap.shorten(" | ".join(sample.positive), 100, placeholder=" …")
            title = f"Pyramid of {method_of(sample.method).title}, “{prompt}”, seed {sample.seed}"
            return pyramid_figure(levels, sample.all_settings["pyramid"], store.read_image(record.image), title)
        except UserError as error:
            told.append(str(error))
    return None
