"""Writes all figures of a store."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.figure import Figure

from das_ag.errors import UserError, first_line
from das_ag.methods import method_of
from das_ag.report.labels import shortened, with_experiment
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
    """Writes all figures as PNG and SVG.

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
    traces, told = trace_table(store, records)
    figures = _figures(store, scores, traces, evaluator_title, told)
    figures["pyramid"] = lambda: _first_pyramid(store, records, told)
    _write_all(figures, folder, store.root if folder.is_relative_to(store.root) else folder, told)
    _warn_of_missing_fonts(scores, evaluator_title, folder)
    return list(dict.fromkeys(told))


def write_comparison_plots(
    stores: Mapping[str, tuple[Store, Sequence[Record]]], scores: pd.DataFrame, evaluator_title: str, folder: Path | str
) -> list[str]:
    """Writes the figures of `write_plots`, except for the pyramid, with the experiments side by side.

    Args:
        stores: store and records of each experiment.
        scores: of these records, as `score_table` gives it, with a column `experiment`.
        folder: created if missing.

    Returns:
        As `write_plots`.

    Raises:
        StoreError: the folder is a link.
        OSError: the folder cannot be created.
    """
    folder = Path(folder)
    tables, told = [], []
    for name, (store, records) in stores.items():
        table, damaged = trace_table(store, records)
        tables.append(table.assign(settings=[with_experiment(label, name) for label in table["settings"]]))
        told += damaged
    rows = list(zip(scores["experiment"], scores["settings"], scores["image"], strict=True))
    labelled = scores.assign(
        settings=[with_experiment(label, name) for name, label, _ in rows],
        image=[str(stores[name][0].root / image) for name, _, image in rows],
    )
    here = Store(Path())  # it reads the images of all stores, since their paths begin with the folder of the store
    figures = _figures(here, labelled, pd.concat(tables, ignore_index=True), evaluator_title, told)
    _write_all(figures, folder, folder.parent, told)
    _warn_of_missing_fonts(labelled, evaluator_title, folder)
    return list(dict.fromkeys(told))


def _figures(
    store: Store, scores: pd.DataFrame, traces: pd.DataFrame, evaluator_title: str, told: list[str]
) -> dict[str, Callable[[], Figure | None]]:
    """What draws each figure, by name; the drawing adds unreadable images to `told`."""

    def read(image: str) -> UInt8[np.ndarray, "h w 3"]:
        try:
            return store.read_image(image)
        except UserError as error:
            told.append(str(error))
            return np.full((8, 8, 3), 255, dtype=np.uint8)

    return {
        "scores": lambda: scores_figure(scores, evaluator_title),
        "response": lambda: response_figure(scores, evaluator_title),
        "fidelity": lambda: fidelity_figure(scores, evaluator_title),
        "guide": lambda: fooling_figure(scores, evaluator_title),
        "trajectories": lambda: trajectories_figure(traces),
        "images": lambda: images_figure(scores, read),
        "seeds": lambda: seeds_figure(scores, read),
    }


def _write_all(figures: Mapping[str, Callable[[], Figure | None]], folder: Path, root: Path, told: list[str]) -> None:
    """Writes the figures below `root`; adds those that fail to `told`."""
    check_inside(root, folder / "figure")
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in figures.items():
        if sentence := _write(make, folder / name):
            told.append(sentence)


def _warn_of_missing_fonts(scores: pd.DataFrame, evaluator_title: str, folder: Path) -> None:
    if missing := missing_characters(characters_of(scores, evaluator_title)):
        log.warning("%s: no font of this machine has %s; install one. The figures show boxes.", folder, missing)


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
