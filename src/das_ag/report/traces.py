"""The traces of a store as one long table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from das_ag.errors import UserError
from das_ag.report.statistics import score_table
from das_ag.store.samples import Record
from das_ag.store.store import Store

TERMS = ("loss", "aesthetic", "positive", "negative", "total_variation", "l1")
"""Columns of every table of traces; others follow, sorted by name."""
COLUMNS = ("method", "prompt_id", "seed", "settings", "key", "step", *TERMS)


def trace_table(store: Store, records: Sequence[Record]) -> tuple[pd.DataFrame, list[str]]:
    """One row for each step of each sample.

    Returns:
        A table with `COLUMNS` and a column for each further term of any trace. `settings` is as in `score_table`,
        `aesthetic` is the guide's score divided by 10, `positive` and `negative` are cosines; a term that was not
        recorded is NaN. And a sentence for each damaged trace, which is left out.
    """
    scores = score_table(records, "")  # its order gives each group the same style in all plots
    of_key = {record.sample.key: record for record in records}
    parts, damaged = [], []
    for key, settings in zip(scores["key"], scores["settings"], strict=True):
        record = of_key[key]
        try:
            trace = store.read_trace(record)
        except UserError as error:
            damaged.append(str(error))
            continue
        s = record.sample
        parts.append(trace.assign(method=s.method, prompt_id=s.prompt_id, seed=s.seed, settings=settings, key=key))
    if not parts:
        return pd.DataFrame(columns=[*COLUMNS], dtype=float), damaged
    table = pd.concat(parts, ignore_index=True)
    return table.reindex(columns=[*COLUMNS, *(name for name in table if name not in COLUMNS)]), damaged
