"""Scores of a store as tables of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from das_ag.errors import UserError
from das_ag.experiment.samples import Record
from das_ag.report.labels import labels_of

METHODS = {"das": "DAS", "das_ag": "DAS-AG", "das_rag": "DAS-rAG"}
"""Names of the methods as tables and plots write them, in their order."""

BOOTSTRAP_SEED = 0
RESAMPLES = 9_999
"""Of each bootstrap and each permutation test; the seed is fixed, so that the same scores give the same table."""

COLUMNS = (
    "method", "prompt_id", "prompt", "negative", "seed", "aesthetic_score", "guide_aesthetic_score", "clip_positive",
    "clip_negative", "image", "image_sha256", "key", "settings",
)  # fmt: skip
"""Columns of scores.csv. `settings` says what differs where a store holds several settings, or several texts of one
prompt id, and is empty else."""

PAIRED_BY = ("prompt_id", "prompt", "negative", "seed", "settings")
"""What images of two methods have in common where they are compared as a pair; their random numbers follow from it."""


def evaluators_of(records: Sequence[Record]) -> dict[str, str]:
    """Title by name of the evaluators that scored any sample, those of most samples first."""
    counted = Counter(name for record in records for name in record.scores)
    titles = {name: scores.get("title", name) for record in records for name, scores in record.scores.items()}
    return {name: str(titles[name]) for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))}


def is_guided_by(records: Sequence[Record], evaluator: str) -> bool:
    """Whether a sample was guided by weights that also scored it."""
    return any(
        set(record.scores[evaluator].get("weights", {}).values())
        & set(record.sample.settings.get("weights", {}).values())
        for record in records
        if evaluator in record.scores
    )


def score_table(records: Sequence[Record], evaluator: str) -> pd.DataFrame:
    """One row for each sample, in the order method, prompt, seed, settings; scores on the 1–10 scale.

    A sample that the evaluator has not scored has no `aesthetic_score` (NaN). Another evaluator's scores stand in a
    column `score_<name>`.
    """
    others = [name for name in evaluators_of(records) if name != evaluator]
    labels = labels_of([record.sample for record in records])
    rows = [
        {
            "method": r.sample.method,
            "prompt_id": r.sample.prompt_id,
            "prompt": " | ".join(r.sample.positive),
            "negative": " | ".join(r.sample.negative),
            "seed": r.sample.seed,
            "aesthetic_score": r.scores[evaluator]["score"] if evaluator in r.scores else float("nan"),
            **r.result,
            "image": r.image.as_posix(),
            "image_sha256": r.image_sha256,
            "key": r.sample.key,
            "settings": label,
            **{f"score_{name}": r.scores[name]["score"] if name in r.scores else float("nan") for name in others},
        }
        for r, label in zip(records, labels, strict=True)
    ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *(f"score_{name}" for name in others)])
    order = {method: place for place, method in enumerate(METHODS)}
    place = table["method"].map(lambda method: order.get(method, len(order)))
    by = ["place", "method", "settings", "prompt_id", "seed", "key"]
    return table.assign(place=place).sort_values(by, kind="stable").drop(columns="place").reset_index(drop=True)


def method_summary(scores: pd.DataFrame, *, by: Sequence[str] = ("method", "settings")) -> pd.DataFrame:
    """The aesthetic score of each method and settings.

    Args:
        by: columns whose values make a group.

    Returns:
        `mean`, `low` and `high` (95 % percentile bootstrap interval of the mean), `std` (divided by n - 1), `n`, and
        `similarity` (mean cosine of image and positive prompt). Samples without a score do not count; a single sample
        has neither standard deviation nor interval (NaN).
    """
    rows = []
    for values, group in scores.dropna(subset="aesthetic_score").groupby(list(by), sort=False):
        score = group["aesthetic_score"]
        low, high = _interval_of_mean(score.to_numpy())
        rows.append((*values, score.mean(), low, high, score.std(), len(group), group["clip_positive"].mean()))
    return pd.DataFrame(rows, columns=[*by, "mean", "low", "high", "std", "n", "similarity"])


def paired_differences(
    scores: pd.DataFrame, baseline: str = "das", *, within: Sequence[str] = ("settings",)
) -> pd.DataFrame:
    """Each method against the baseline, over the same prompts, seed, settings and random numbers.

    Args:
        within: columns whose values make a group of its own; an empty list takes all settings together.

    Returns:
        One row for each group and other method that has pairs: `method`, the group's columns, `difference` (mean of the
        pairs' differences), `low` and `high` (its 95 % percentile bootstrap interval), `p` (two-sided paired
        permutation test of the mean difference), `n` (pairs), `unpaired` (scored samples of that method without a
        partner). One pair has neither interval nor p (NaN).

    Raises:
        UserError: several samples of a method could be the partner.
    """
    pairs = _pairs(scores.dropna(subset="aesthetic_score"))
    groups = [((), pairs)] if not within else pairs.groupby(list(within), sort=False)
    rows = []
    for values, group in groups:
        for method in [name for name in METHODS if name in group and name != baseline and baseline in group]:
            differences = (group[method] - group[baseline]).dropna().to_numpy()
            if len(differences):
                low, high = _interval_of_mean(differences)
                unpaired = int(group[method].notna().sum()) - len(differences)
                p = _permutation_p(differences)
                rows.append((method, *values, differences.mean(), low, high, p, len(differences), unpaired))
    return pd.DataFrame(rows, columns=["method", *within, "difference", "low", "high", "p", "n", "unpaired"])


def _pairs(scored: pd.DataFrame) -> pd.DataFrame:
    """A row for each combination of `PAIRED_BY`, with the score of each method in a column of its name."""
    found = scored.set_index([*PAIRED_BY, "method"])["aesthetic_score"]
    if found.index.has_duplicates:
        row = dict(zip(found.index.names, found.index[found.index.duplicated()][0], strict=True))
        raise UserError(
            f"scores: expected one sample for each method, prompt, seed and settings, got several by {row['method']} "
            f"for {row['prompt_id']} with seed {row['seed']}; compare each experiment by itself."
        )
    return found.unstack("method").reset_index()


def _interval_of_mean(values: np.ndarray) -> tuple[float, float]:
    """95 % percentile bootstrap interval; NaN for one value."""
    from scipy.stats import bootstrap  # takes a second to import

    if len(values) < 2:
        return float("nan"), float("nan")
    found = bootstrap((values,), np.mean, method="percentile", n_resamples=RESAMPLES, rng=BOOTSTRAP_SEED)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _permutation_p(differences: np.ndarray) -> float:
    """Two-sided p of the mean difference under exchange of the partners of each pair; NaN for one pair.

    Exact where all exchanges number at most `RESAMPLES`.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2:
        return float("nan")
    found = permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=BOOTSTRAP_SEED, vectorized=True
    )
    return float(found.pvalue)
