"""Scores of a store as tables of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from das_ag.experiment.store import Record

METHODS = {"das": "DAS", "das_ag": "DAS-AG", "das_rag": "DAS-rAG"}
"""Names of the methods as tables and plots write them, in their order."""

BOOTSTRAP_SEED = 0

COLUMNS = (
    "method", "prompt_id", "prompt", "seed", "aesthetic_score", "guide_aesthetic_score", "clip_positive",
    "clip_negative", "image", "image_sha256", "key", "settings",
)  # fmt: skip
"""Columns of scores.csv. `settings` says what differs where a store holds several settings, and is empty else."""


def score_table(records: Sequence[Record], evaluator: str) -> pd.DataFrame:
    """One row for each sample, in the order method, prompt, seed, settings; scores on the 1–10 scale.

    A sample that the evaluator has not scored has no `aesthetic_score` (NaN).
    """
    labels = _differing_settings([record.sample.settings for record in records])
    rows = [
        {
            "method": r.sample.method,
            "prompt_id": r.sample.prompt_id,
            "prompt": " | ".join(r.sample.positive),
            "seed": r.sample.seed,
            "aesthetic_score": r.scores[evaluator]["score"] if evaluator in r.scores else float("nan"),
            **r.result,
            "image": r.image.as_posix(),
            "image_sha256": r.image_sha256,
            "key": r.sample.key,
            "settings": label,
        }
        for r, label in zip(records, labels, strict=True)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {method: place for place, method in enumerate(METHODS)}
    place = table["method"].map(lambda method: order.get(method, len(order)))
    by = ["place", "method", "settings", "prompt_id", "seed", "key"]
    return table.assign(place=place).sort_values(by, kind="stable").drop(columns="place").reset_index(drop=True)


def method_summary(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (divided by n - 1) and n of the aesthetic score, for each method and settings.

    Samples without a score do not count; a single sample has no standard deviation (NaN).
    """
    scored = scores.dropna(subset="aesthetic_score")
    groups = scored.groupby(["method", "settings"], sort=False)["aesthetic_score"]
    return groups.agg(mean="mean", std="std", n="count").reset_index()


def paired_differences(scores: pd.DataFrame, baseline: str = "das") -> pd.DataFrame:
    """Each method against the baseline, over the same prompt, seed, settings and random numbers.

    Returns:
        One row for each other method that has pairs: `method`, `difference` (mean of the pairs' differences), `low` and
        `high` (its 95 % percentile bootstrap interval, 9,999 resamples, fixed seed; NaN for one pair), `n` (pairs).
    """
    from scipy.stats import bootstrap  # takes seconds to import, and the report of a run does not need it

    pairs = scores.dropna(subset="aesthetic_score").pivot_table(
        index=["prompt_id", "seed", "settings"], columns="method", values="aesthetic_score"
    )
    rows = []
    for method in [name for name in METHODS if name in pairs and name != baseline and baseline in pairs]:
        differences = (pairs[method] - pairs[baseline]).dropna().to_numpy()
        if not len(differences):
            continue
        low = high = float("nan")
        if len(differences) > 1:
            interval = bootstrap((differences,), np.mean, method="percentile", rng=BOOTSTRAP_SEED).confidence_interval
            low, high = float(interval.low), float(interval.high)
        rows.append((method, differences.mean(), low, high, len(differences)))
    return pd.DataFrame(rows, columns=["method", "difference", "low", "high", "n"])


def _differing_settings(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each sample, those settings in which the samples differ, for instance "ascent.steps=100"."""
    flat = [_flatten(value) for value in settings]
    # The sign is what makes the method, which has a column of its own.
    names = sorted({*itertools.chain.from_iterable(flat)} - {"objective.aesthetic_sign"})
    differing = [name for name in names if len({repr(f.get(name)) for f in flat}) > 1]
    return [", ".join(f"{name}={_short(f.get(name))}" for name in differing) for f in flat]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping):
            flat |= _flatten(item, f"{prefix}{name}.")
        else:
            flat[prefix + name] = item
    return flat


def _short(value: Any) -> str:
    """A setting for a label; of a checksum its beginning."""
    text = str(value)
    return text[:8] if len(text) == 64 else text
