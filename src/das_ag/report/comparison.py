"""Compares experiments: the settings that differ, and paired differences from the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from das_ag.methods import method_of
from das_ag.report.labels import divide, labels_of, natural, pairs_of
from das_ag.report.statistics import paired_differences, without_texts
from das_ag.report.table import ABSENT, PAIRED, Table, about_intervals, set_difference
from das_ag.store.samples import Sample


def differing_settings(experiments: Mapping[str, Sequence[Sample]]) -> Table:
    """The settings that differ between experiments, with their values: a column for each experiment.

    Args:
        experiments: the samples of each experiment.
    """
    labels = iter(labels_of([sample for samples in experiments.values() for sample in samples]))
    found: dict[str, dict[str, set[str]]] = {}  # values by name and experiment
    for experiment, samples in experiments.items():
        for _ in samples:
            for name, value in pairs_of(divide(next(labels))[0]):
                found.setdefault(name, {name: set() for name in experiments})[experiment].add(value)
    rows = [
        [name, *(", ".join(sorted(values, key=natural)) or ABSENT for values in of_experiment.values())]
        for name, of_experiment in sorted(found.items())
        if len({frozenset(values) for values in of_experiment.values()}) > 1
    ]
    return Table(["setting", *experiments], rows, 1 + len(experiments))


def differences(scores: pd.DataFrame) -> pd.DataFrame:
    """Compares each method with the same method of the first experiment, where prompt and seed agree.

    Settings that vary within both experiments must agree too. If the first experiment has only one value, it is the
    partner of all.

    Args:
        scores: as `score_table` gives it, with a column `experiment`.

    Returns:
        `experiment` and the columns of `paired_differences`, where `method` holds the method's title.
    """
    scores = without_texts(scores)
    first = scores["experiment"].iloc[0]
    is_first = scores["experiment"] == first
    parts = []
    for (experiment, method, label), part in scores[~is_first].groupby(
        ["experiment", "method", "settings"], sort=False
    ):
        partners = scores[is_first & (scores["method"] == method)]
        if partners["settings"].nunique() > 1:
            partners = partners[partners["settings"] == label]
        pair = pd.concat([partners.assign(method=first), part.assign(method=experiment)]).assign(settings=label)
        found = paired_differences(pair, baseline=first).assign(method=method_of(method).title)
        found.insert(0, "experiment", experiment)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def set_differences(table: pd.DataFrame, first: str) -> Table:
    """Formats the output of `differences`.

    Args:
        first: name of the first experiment.
    """
    words = ["experiment", "method", *(["settings"] if table["settings"].any() else [])]
    counts = ["pairs", "paired_prompts", "unpaired"]
    rows = [
        [*(str(row[name]) for name in [*words, *counts]), *set_difference(row)]
        for row in table.rename(columns=PAIRED).to_dict("records")
    ]
    return Table([*words, "pairs", "prompts", "unpaired", f"− {first} ↑", "95 %", "p"], rows, len(words))


def about_differences(table: pd.DataFrame, first: str) -> list[str]:
    """The sentences below the table of `set_differences`."""
    if table.empty:
        return [f"No method has images of the same prompt and seed in {first} and another experiment."]
    compared = table.rename(columns=PAIRED).to_dict("records")
    text = f"− {first}: mean difference from {first}; same method, prompt, negative prompt and seed."
    lone = ["One pair has no interval and no p."] if (table["n"] == 1).any() else []
    return [text, *about_intervals([], compared), *lone]
