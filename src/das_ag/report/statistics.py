"""Scores of a store as tables of numbers."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from das_ag.errors import UserError
from das_ag.methods import methods_of
from das_ag.report.labels import divide_reward, labels_of, natural, settings_order
from das_ag.store.samples import Record, without_weight

BOOTSTRAP_SEED = 0
RESAMPLES = 9_999
"""Number for each bootstrap and permutation test; the fixed seed makes the table repeatable."""

SCALE = (1.0, 10.0)
"""Ends of an evaluator's scale, unless its scores have another."""

COLUMNS = (
    "method", "prompt_id", "prompt", "negative", "seed", "aesthetic_score", "guide_aesthetic_score", "clip_positive",
    "clip_negative", "image", "image_sha256", "key", "settings",
)  # fmt: skip
"""Columns of scores.csv. `settings` says what differs if a store holds several settings, or several texts of one
prompt id; otherwise it is empty."""

_PAIRED_BY = ("prompt_id", "prompt", "negative", "seed")


def pair_keys(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns in which the two images of a pair agree; they determine the random numbers.

    One DAS image is the partner of all images that differ only in the aesthetic weight.
    """
    return scores[[*_PAIRED_BY]].assign(settings=[divide_reward(label)[0] for label in scores["settings"]])


def evaluators_of(records: Sequence[Record]) -> dict[str, str]:
    """Titles by name of the evaluators that scored any sample; the evaluator of most samples comes first."""
    counted = Counter(name for record in records for name in record.scores)
    titles = {name: scores.get("title", name) for record in records for name, scores in record.scores.items()}
    return {name: str(titles[name]) for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))}


def remark_of(records: Sequence[Record], evaluator: str) -> str:
    """The evaluator's remark about its scores; empty if there is none."""
    found = (record.scores[evaluator].get("remark") for record in records if evaluator in record.scores)
    return next(filter(None, found), "")


def guides_of(records: Sequence[Record]) -> list[str]:
    """Titles of the guides; earlier versions recorded none."""
    return sorted({record.provenance["guide"] for record in records if "guide" in record.provenance})


def scale_of(scores: pd.DataFrame) -> str:
    """The evaluator's scale in a table of scores, for instance "1–10"."""
    return "{:g}–{:g}".format(*scores.attrs.get("scale", SCALE))


def is_guided_by(records: Sequence[Record], evaluator: str) -> bool:
    """Whether the same weights guided and scored any sample."""
    return any(
        set(record.scores[evaluator].get("weights", {}).values())
        & set(record.sample.settings.get("weights", {}).values())
        for record in records
        if evaluator in record.scores
    )


def score_table(records: Sequence[Record], evaluator: str) -> pd.DataFrame:
    """One row for each sample, in the order method, settings, prompt, seed; `attrs["scale"]` has the evaluator's scale.

    A sample that the evaluator has not scored has no `aesthetic_score` (NaN). The scores of other evaluators are in the
    columns `score_<name>`. If the evaluator also recognises what the texts name, `recognised` is 1 or 0, or NaN for
    texts that it does not know.
    """
    records = _once(records)
    others = [name for name in evaluators_of(records) if name != evaluator]
    labels = labels_of([record.sample for record in records])
    rows = [
        {
            "method": r.sample.method,
            "prompt_id": r.sample.prompt_id,
            "prompt": " | ".join(r.sample.positive),
            "negative": " | ".join(r.sample.negative),
            "seed": r.sample.seed,
            "aesthetic_score": _score(r, evaluator),
            **r.result,
            "image": r.image.as_posix(),
            "image_sha256": r.image_sha256,
            "key": r.sample.key,
            "settings": label,
            "recognised": float(r.scores.get(evaluator, {}).get("recognised", float("nan"))),
            **{f"score_{name}": _score(r, name) for name in others},
        }
        for r, label in zip(records, labels, strict=True)
    ]
    recognises = ["recognised"] if any("recognised" in r.scores.get(evaluator, {}) for r in records) else []
    table = pd.DataFrame(rows, columns=[*COLUMNS, *recognises, *(f"score_{name}" for name in others)])
    order = {method.name: place for place, method in enumerate(methods_of(table["method"]))}
    keys = {"settings": settings_order, "prompt_id": natural}
    ranks = {f"{name}_place": _ranks(table[name], key) for name, key in keys.items()}
    by = ["place", *ranks, "seed", "key"]
    placed = table.assign(place=table["method"].map(order), **ranks).sort_values(by, kind="stable")
    table = placed.drop(columns=["place", *ranks]).reset_index(drop=True)
    scales = [r.scores[evaluator]["scale"] for r in records if "scale" in r.scores.get(evaluator, {})]
    table.attrs["scale"] = tuple(scales[0]) if scales else SCALE
    return table


def _score(record: Record, evaluator: str) -> float:
    """The score; NaN if the evaluator has not scored the sample, or does not rate."""
    score = record.scores.get(evaluator, {}).get("score")
    return float("nan") if score is None else float(score)


def _ranks(texts: pd.Series, key: Callable[[str], Any]) -> pd.Series:
    ranks = {text: rank for rank, text in enumerate(sorted(set(texts), key=key))}
    return texts.map(ranks)


def _once(records: Sequence[Record]) -> list[Record]:
    """Leaves out DAS samples that differ from another only in the aesthetic weight, which DAS ignores.

    Older versions treated it as a setting of DAS and made the same image for each weight.
    """
    found: dict[str, Record] = {}
    for record in records:
        sample = record.sample
        key = dataclasses.replace(sample, settings=without_weight(sample.settings)).key
        if key not in found or sample.key == key:
            found[key] = record
    return list(found.values())


def method_summary(scores: pd.DataFrame, *, by: Sequence[str] = ("method", "settings")) -> pd.DataFrame:
    """The aesthetic score of each method and settings.

    Args:
        by: columns that define a group.

    Returns:
        `mean`, `low` and `high` (95 % bootstrap interval of the mean, over prompts as `_interval_of_mean` says), `std`
        (divided by n - 1), `n`, `prompts` (number of prompts among the n), `similarity` (mean cosine of image and
        positive prompt), and `recognised` of `recognisable` images. Samples without a score do not count; a single
        sample has neither standard deviation nor interval (NaN).
    """
    if "recognised" not in scores:
        scores = scores.assign(recognised=float("nan"))
    rows = []
    for values, group in scores.dropna(subset=["aesthetic_score", "recognised"], how="all").groupby([*by], sort=False):
        score, ids, recognised = group["aesthetic_score"], group["prompt_id"], group["recognised"]
        low, high = _interval_of_mean(score.to_numpy(), ids)
        counts = len(group), ids.nunique(), group["clip_positive"].mean(), recognised.sum(), recognised.count()
        rows.append((*values, score.mean(), low, high, score.std(), *counts))
    columns = ["mean", "low", "high", "std", "n", "prompts", "similarity", "recognised", "recognisable"]
    return pd.DataFrame(rows, columns=[*by, *columns])


def paired_differences(
    scores: pd.DataFrame, baseline: str = "das", *, within: Sequence[str] = ("settings",)
) -> pd.DataFrame:
    """Compares each method with the baseline in pairs of the same prompts, seed, settings and random numbers.

    Args:
        within: columns that define a group. An empty list takes all settings together; then one image of the baseline
            may be in several pairs.

    Returns:
        One row for each group and method with pairs: `method`, the group's columns, `difference` (mean over pairs),
        `low` and `high` (its 95 % bootstrap interval), `p` (two-sided paired permutation test of the mean difference),
        `n` (pairs), `prompts` (number of prompts among them), `unpaired` (scored samples of the method without a
        partner). Interval and p are over prompts, see `_interval_of_mean` and `_permutation_p`. One pair has neither
        (NaN).

    Raises:
        UserError: a method has several samples that could be the partner.
    """
    compared = _compared(scores.dropna(subset="aesthetic_score"), baseline)
    rows = []
    for values, group in compared.groupby(["method", *within], sort=False):
        differences = group["difference"].dropna().to_numpy()
        if len(differences):
            ids = group.loc[group["difference"].notna(), "prompt_id"]
            low, high = _interval_of_mean(differences, ids)
            numbers = (differences.mean(), low, high, _permutation_p(differences, ids))
            rows.append((*values, *numbers, len(differences), ids.nunique(), len(group) - len(differences)))
    columns = ["method", *within, "difference", "low", "high", "p", "n", "prompts", "unpaired"]
    return pd.DataFrame(rows, columns=columns)


def _compared(scored: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The samples of all other methods, each with its `difference` to its partner (NaN without a partner)."""
    twice = scored.duplicated(["method", *_PAIRED_BY, "settings"])
    if twice.any():
        row = scored[twice].iloc[0]
        raise UserError(
            f"scores: expected one sample for each method, prompt, seed and settings, got several for "
            f"{row['method']}, {row['prompt_id']}, seed {row['seed']}; compare each experiment separately."
        )
    partners = scored[scored["method"] == baseline].set_index([*_PAIRED_BY, "settings"])["aesthetic_score"]
    others = scored[scored["method"] != baseline]
    same, shared = (
        pd.Series(partners.reindex(pd.MultiIndex.from_frame(keys)).to_numpy(), index=others.index)
        for keys in (others[[*_PAIRED_BY, "settings"]], pair_keys(others))
    )
    return others.assign(difference=others["aesthetic_score"] - same.fillna(shared))


def _interval_of_mean(values: Float[np.ndarray, " n"], prompt_ids: pd.Series) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; NaN for one value.

    The bootstrap draws whole prompts, with all their seeds: images of one prompt are similar, and say little about
    other prompts (cluster bootstrap; Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).
    If there is only one prompt, it draws the seeds, and the interval is about this prompt.
    """
    if len(values) < 2 or np.isnan(values).any():
        return float("nan"), float("nan")
    return _bootstrap(tuple(values.tolist()), tuple(prompt_ids))


@functools.lru_cache(maxsize=4096)
def _bootstrap(values: tuple[float, ...], prompt_ids: tuple[str, ...]) -> tuple[float, float]:
    """The interval of `_interval_of_mean`; kept, since the table and several figures show the same one."""
    from scipy.stats import bootstrap  # takes a second to import

    units = _units(np.array(values), pd.Series(prompt_ids))
    found = bootstrap(
        units, _mean_of_units, paired=True, vectorized=True, method="percentile",
        n_resamples=RESAMPLES, rng=BOOTSTRAP_SEED,
    )  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _permutation_p(differences: Float[np.ndarray, " n"], prompt_ids: pd.Series) -> float:
    """Two-sided p of the mean difference under exchange of the two methods; NaN for one pair.

    The test exchanges all pairs of a prompt together, for the reason in `_interval_of_mean`. If there is only one
    prompt, it exchanges each pair separately. It is exact if there are at most `RESAMPLES` exchanges.
    """
    from scipy.stats import permutation_test

    if len(differences) < 2:
        return float("nan")
    sums, _ = _units(differences, prompt_ids)  # the mean is their sum divided by a constant
    found = permutation_test(
        (sums,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, rng=BOOTSTRAP_SEED, vectorized=True
    )
    return float(found.pvalue)


def coverage(units: int) -> float:
    """Coverage of a 95 % percentile bootstrap interval of the mean, for that many units with normal values.

    The interval reaches 1.96 standard errors from the mean, with the variance divided by n, not by n - 1, so it is
    narrower than Student's t interval. For two units it spans both values, which enclose the mean half of the time.
    """
    from scipy.stats import norm, t

    if units == 2:
        return 0.5
    return float(2 * t.cdf(norm.ppf(0.975) * ((units - 1) / units) ** 0.5, units - 1) - 1)


def least_p(units: int) -> float:
    """The smallest possible p of a two-sided permutation test of that many units: one exchange and its opposite."""
    return max(2.0 ** (1 - units), 2 / (RESAMPLES + 1))


def _units(values: Float[np.ndarray, " n"], prompt_ids: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Sum (units,) and number (units,) of the values of each prompt; for one prompt, each value is a unit."""
    if prompt_ids.nunique() == 1:
        return values, np.ones(len(values))
    of_prompt = pd.Series(values).groupby(prompt_ids.to_numpy())
    return of_prompt.sum().to_numpy(), of_prompt.size().to_numpy()


def _mean_of_units(sums: np.ndarray, counts: np.ndarray, axis: int) -> np.ndarray:
    """Mean of all values from both results of `_units`, along `axis`, where scipy puts the drawn units."""
    return sums.sum(axis=axis) / counts.sum(axis=axis)
