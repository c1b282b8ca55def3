"""Where the page shows each sample: a section for each setting, a column for each method and aesthetic weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from das_ag.methods import methods_of
from das_ag.report.labels import divide_reward, in_words, natural


@dataclass(frozen=True)
class Layout:
    """The sections and columns of the page, so that no two settings share a place.

    The aesthetic weight makes columns instead of sections, since one image of DAS is the partner of all weights.

    Attributes:
        sections: (experiment, settings shared with DAS) of each section, with its index.
        places: (method, aesthetic weight) of each column, with its index.
    """

    sections: Mapping[tuple[str, str], int]
    places: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, scores: pd.DataFrame) -> Layout:
        """The layout of all rows of the table, in the order experiment, settings; method, weight."""
        rows = scores.to_dict("records")
        experiments = list(dict.fromkeys(row.get("experiment", "") for row in rows))
        methods = [method.name for method in methods_of(scores["method"])]
        sections = sorted(set(map(_section, rows)), key=lambda part: (experiments.index(part[0]), natural(part[1])))
        places = sorted(set(map(_column, rows)), key=lambda part: (methods.index(part[0]), natural(part[1])))
        return cls(
            {part: index for index, part in enumerate(sections)}, {part: index for index, part in enumerate(places)}
        )

    @property
    def titles(self) -> list[str]:
        """The title of each section; empty if there is only one."""
        return [": ".join(filter(None, (experiment, in_words(shared)))) for experiment, shared in self.sections]

    @property
    def columns(self) -> list[dict[str, str]]:
        """Method and aesthetic weight in words of each column; without the weight if the method has only one."""
        return [{"method": method, "weight": in_words(reward)} for method, reward in self.places]

    def place(self, row: Mapping[Any, Any]) -> dict[str, int]:
        """Indices of the section and the column of a row of the table."""
        return {"section": self.sections[_section(row)], "column": self.places[_column(row)]}


def _section(row: Mapping[Any, Any]) -> tuple[str, str]:
    return row.get("experiment", ""), divide_reward(row.get("settings") or "")[0]


def _column(row: Mapping[Any, Any]) -> tuple[str, str]:
    return row["method"], divide_reward(row.get("settings") or "")[1]
