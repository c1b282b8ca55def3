"""Writes the report of a store: scores.csv, table.md, table.csv, plots/."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from das_ag.errors import UserError
from das_ag.experiment.store import Store
from das_ag.report.plots import images_figure, scores_figure
from das_ag.report.statistics import METHODS, method_summary, score_table
from das_ag.report.table import markdown_table


def write_report(root: Path, evaluator: str, evaluator_title: str, *, published: bool = False) -> tuple[str, list[str]]:
    """Writes the report into the store's folder.

    Args:
        evaluator: whose scores stand in the table.
        evaluator_title: how the table calls it.
        published: whether the published figures stand beside those of the store.

    Returns:
        The table as Markdown, and a sentence for each sample that was left out.

    Raises:
        UserError: there is no scored sample, or the folder cannot be written to.
    """
    store = Store(root)
    records, left_out = store.records()
    scores = score_table(records, evaluator)
    summary = method_summary(scores)
    if summary.empty:
        raise UserError(f"{root}: expected scored samples, got none; run python run.py name={root.name} first.")
    table = markdown_table(summary, evaluator_title, published=published)

    def read(image: str) -> UInt8[np.ndarray, "h w 3"]:
        try:
            return store.read_image(image)
        except UserError as error:
            left_out.append(str(error))
            return np.full((8, 8, 3), 255, dtype=np.uint8)

    try:
        scores.to_csv(root / "scores.csv", index=False)
        summary.assign(method=summary["method"].map(lambda m: METHODS.get(m, m))).to_csv(
            root / "table.csv", index=False
        )
        (root / "table.md").write_text(table, encoding="utf-8")
        (root / "plots").mkdir(exist_ok=True)
        scores_figure(scores, evaluator_title).savefig(root / "plots" / "scores.png", dpi=150)
        images_figure(scores, read).savefig(root / "plots" / "images.png", dpi=150)
    except OSError as error:
        raise UserError(
            f"{root}: expected to write the report, got “{error.strerror}”; finished samples are kept."
        ) from error
    return table, left_out
