"""The results table as text."""

from __future__ import annotations

import pandas as pd

from das_ag.report.statistics import METHODS


def markdown_table(summary: pd.DataFrame, evaluator_title: str) -> str:
    """The table with its caption, GitHub Markdown."""
    varied = bool((summary["settings"] != "").any())
    heads = ["method", *(["settings"] if varied else []), "mean ↑", "std", "n"]
    rows = [
        [
            METHODS.get(row.method, str(row.method)),
            *([str(row.settings)] if varied else []),
            f"{row.mean:.3f}",
            f"{row.std:.3f}" if row.n > 1 else "–",
            str(row.n),
        ]
        for row in summary.itertuples(index=False)
    ]
    widths = [max(3, *map(len, column)) for column in zip(heads, *rows, strict=True)]
    numbers = {"mean ↑", "std", "n"}
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
    return "\n".join([*lines, "", caption, ""])
