"""Time and memory of a report of many samples."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from das_ag.benchmark.memory import peak_rss_mb
from das_ag.report.gallery import write_gallery
from das_ag.report.plots import write_plots
from das_ag.report.report import read_scores, write_tables
from das_ag.store.samples import Sample
from das_ag.store.store import Store

SIDE_PX, STEPS = 96, 100


@dataclass(frozen=True)
class ReportTimes:
    """Seconds of each part of a report.

    Attributes:
        samples: number of samples in the store.
        read_s, table_s, plots_s, gallery_s: time to read the scores, and to write each part.
        total_s: sum of them.
        peak_rss_mb: peak memory of the process, in units of 10⁶ bytes.
    """

    samples: int
    read_s: float
    table_s: float
    plots_s: float
    gallery_s: float
    total_s: float
    peak_rss_mb: float


def fill_store(root: Path, samples: int) -> Store:
    """Returns a store of made-up samples: three methods, ten prompts, and as many seeds as needed."""
    store, rng = Store(root), np.random.default_rng(0)
    levels = [rng.normal(size=(3, 2**k, 2**k)).astype(np.float32) for k in range(8)]
    pyramid = {"canvas_px": 128, "levels": "powers_of_two", "max_level_px": 128, "combine": "mean",
               "initial": "scaled_noise", "interpolation": "bilinear", "gamut": "full"}  # fmt: skip
    for index in range(samples):
        method, prompt = ("das", "das_ag", "das_rag")[index % 3], index // 3 % 10
        sample = Sample(method, f"prompt{prompt}", (f"a picture of {prompt}",), (), index // 30, {"pyramid": pyramid})
        image = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        noise = rng.normal(0, 0.02, STEPS)
        trace = [
            {"step": float(step), "loss": -step / STEPS + noise[step], "aesthetic": 0.6, "positive": step / STEPS / 2,
             "negative": 0.0, "total_variation": 0.1, "l1": 0.7}
            for step in range(STEPS)
        ]  # fmt: skip
        result = {"guide_aesthetic_score": 6 + rng.normal(), "clip_positive": 0.5, "clip_negative": 0.0}
        store.write(sample, image, trace, result, {"device": "made up"}, levels=levels if index < 3 else ())
    for record in store.records()[0]:
        store.write_score(record, "made_up", 6 + float(rng.normal()), "0" * 64, title="Made-up judge")
    return store


def measure_report(root: Path, samples: int) -> ReportTimes:
    """Fills a store in an empty folder and times its report without scoring."""
    store = fill_store(root, samples)
    times = [time.perf_counter()]
    scored = read_scores(root)
    times.append(time.perf_counter())
    table = write_tables([scored], root)
    times.append(time.perf_counter())
    write_plots(store, scored.records, scored.scores, scored.title, root / "plots")
    times.append(time.perf_counter())
    write_gallery(root, scored.scores, scored.title, table)
    times.append(time.perf_counter())
    read, tables, plots, gallery = (round(float(part), 2) for part in np.diff(times))
    return ReportTimes(samples, read, tables, plots, gallery, round(times[-1] - times[0], 2), peak_rss_mb())
