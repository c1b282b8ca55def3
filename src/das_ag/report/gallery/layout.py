"""Where the page shows each sample: a section for each setting, a column for each method, weight and experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from das_ag.methods import methods_of
from das_ag.report.labels import divide_reward, in_words, natural
from das_ag.report.statistics import pair_keys

MOST_COLUMNS = 6
"""Columns beside each other on a wide screen, as in choices.js."""


@dataclass(frozen=True)
class Layout:
    """The sections and columns of the page, so that no two settings share a place.

    The aesthetic weight makes columns instead of sections, since one image of DAS is the partner of all weights. So do
    experiments, if they have images of the same prompt, seed and settings, and there is space for all columns.

    Attributes:
        sections: (experiment, settings shared with DAS) of each section, with its index.
        places: (method, aesthetic weight, experiment) of each column, with its index.
        beside: whether experiments are columns; the experiment of each section is empty then, else that of each column.
    """

    sections: Mapping[tuple[str, str], int]
    places: Mapping[tuple[str, str, str], int]
    beside: bool

    @classmethod
    def of(cls, scores: pd.DataFrame) -> Layout:
        """The layout of all rows: sections by experiment and settings; columns by method, weight and experiment."""
        rows = scores.to_dict("records")
        experiments = list(dict.fromkeys([*map(_experiment, rows), ""]))
        methods = [method.name for method in methods_of(scores["method"])]
        beside = _has_pairs(scores) and len({_column(row, beside=True) for row in rows}) <= MOST_COLUMNS
        sections = sorted(
            {_section(row, beside=beside) for row in rows},
            key=lambda part: (experiments.index(part[0]), natural(part[1])),
        )
        places = sorted(
            {_column(row, beside=beside) for row in rows},
            key=lambda part: (methods.index(part[0]), natural(part[1]), experiments.index(part[2])),
        )
        return cls(
            {part: index for index, part in enumerate(sections)},
            {part: index for index, part in enumerate(places)},
            beside,
        )

    @property
    def titles(self) -> list[str]:
        """The title of each section; empty if there is only one."""
        return [": ".join(filter(None, (experiment, in_words(shared)))) for experiment, shared in self.sections]

    @property
    def columns(self) -> list[dict[str, str]]:
        """Method of each column, and its experiment and aesthetic weight in words, as far as columns differ in them."""
        return [
            {"method": method, "title": ", ".join(filter(None, (experiment, in_words(reward))))}
            for method, reward, experiment in self.places
        ]

    def place(self, row: Mapping[Any, Any]) -> dict[str, int]:
        """Indices of the section and the column of a row of the table."""
        return {
            "section": self.sections[_section(row, beside=self.beside)],
            "column": self.places[_column(row, beside=self.beside)],
        }


def _has_pairs(scores: pd.DataFrame) -> bool:
    """Whether several experiments have images of the same prompt, seed and settings."""
    if "experiment" not in scores:
        return False
    keys = pair_keys(scores).assign(experiment=scores["experiment"]).drop_duplicates()
    return bool(keys.drop(columns="experiment").duplicated().any())


def _experiment(row: Mapping[Any, Any]) -> str:
    return row.get("experiment", "")


def _section(row: Mapping[Any, Any], *, beside: bool) -> tuple[str, str]:
    return "" if beside else _experiment(row), divide_reward(row.get("settings") or "")[0]


def _column(row: Mapping[Any, Any], *, beside: bool) -> tuple[str, str, str]:
    return row["method"], divide_reward(row.get("settings") or "")[1], _experiment(row) if beside else ""
