"""The results table as text."""

from __future__ import annotations

import pandas as pd

from das_ag.report.published import REMARK, RESULTS
from das_ag.report.statistics import METHODS


def markdown_table(summary: pd.DataFrame, evaluator_title: str, *, published: bool = False) -> str:
    """The table with its caption, GitHub Markdown; `published` adds the published figures."""
    varied = bool((summary["settings"] != "").any())
    numbers = ["mean ↑", "std", "n", *(["published mean ↑", "published std"] if published else [])]
    heads = ["method", *(["settings"] if varied else []), *numbers]
    rows = [
        [
            METHODS.get(row.method, str(row.method)),
            *([str(row.settings)] if varied else []),
            f"{row.mean:.3f}",
            f"{row.std:.3f}" if row.n > 1 else "–",
            str(row.n),
            *(_published_cells(str(row.method)) if published else []),
        ]
        for row in summary.itertuples(index=False)
    ]
    widths = [max(3, *map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * (w - 1) + ":" if head in numbers else "-" * w for head, w in zip(heads, widths, strict=True)]
    lines = [
        "| " + " | ".join(
            cell.rjust(w) if head in numbers else cell.ljust(w)
            for cell, head, w in zip(cells, heads, widths, strict=True)
        ) + " |"
        for cells in (heads, rule, *rows)
    ]  # fmt: skip
    caption = (
        f"Aesthetic score by {evaluator_title}, which guided none of the images; scale 1–10, ↑ better. "
        "std divides by n - 1."
    )
    return "\n".join([*lines, "", caption, *(["", REMARK] if published else []), ""])


def _published_cells(method: str) -> list[str]:
    return [f"{number:.3f}" for number in RESULTS.get(method, ())] or ["–", "–"]
