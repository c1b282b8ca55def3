"""The results table: one set of numbers, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from das_ag.methods import method_of
from das_ag.report.labels import divide
from das_ag.report.published import REMARK, RESULTS
from das_ag.report.statistics import (
    BOOTSTRAP_SEED,
    RESAMPLES,
    coverage,
    least_p,
    method_summary,
    paired_differences,
)

ABSENT = "–"

FEW = 10
"""With fewer prompts, or seeds of one prompt, the caption warns that the interval is too narrow."""


@dataclass(frozen=True)
class Table:
    """Formatted cells.

    Attributes:
        heads: the column titles.
        rows: the cells.
        words: number of text columns on the left; the others hold numbers.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int


def results(scores: pd.DataFrame, *, published: bool = False) -> pd.DataFrame:
    """The numbers of the table, a row for each method (and settings and experiment, if there are several).

    Args:
        scores: as `score_table` gives it; with a column `experiment` if there are several.
        published: adds the published mean and standard deviation.

    Returns:
        What `method_summary` and, against DAS, `paired_differences` give (`difference`, `difference_low`,
        `difference_high`, `p`, `pairs`, `paired_prompts`, `unpaired`); `method` holds the method's title.
    """
    several = "experiment" in scores
    parts = []
    for experiment, part in scores.groupby("experiment", sort=False) if several else [("", scores)]:
        names = {"low": "difference_low", "high": "difference_high", "n": "pairs", "prompts": "paired_prompts"}
        differences = paired_differences(part).rename(columns=names)
        joined = method_summary(part).merge(differences, on=["method", "settings"], how="left")
        parts.append(joined.assign(experiment=experiment) if several else joined)
    table = pd.concat(parts, ignore_index=True)
    if published:
        figures = [RESULTS.get(method, (float("nan"),) * 2) for method in table["method"]]
        table[["published_mean", "published_std"]] = pd.DataFrame(figures, index=table.index, dtype=float)
    table["method"] = table["method"].map(_title)
    first = [*(["experiment"] if several else []), "method", "settings"]
    return table[[*first, *(name for name in table.columns if name not in first)]]


def _title(name: str) -> str:
    return method_of(name).title


def prompt_results(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and n of each prompt and method, prompts in their order.

    A prompt id with several texts counts as several prompts, named in `texts`; then `settings` holds only settings.
    """
    divided = pd.DataFrame(map(divide, scores["settings"]), index=scores.index, columns=["settings", "texts"])
    summary = method_summary(scores.assign(**divided), by=["prompt_id", "texts", "method", "settings"])
    return summary.assign(method=summary["method"].map(_title))


def set_results(table: pd.DataFrame) -> Table:
    """Formats the output of `results`."""
    words = [name for name in ("experiment", "method", "settings") if name in table and bool((table[name] != "").any())]
    words = words if "method" in words else ["method", *words]
    heads = [*words, "n", "prompts", "mean ↑", "95 %", "std", "similarity ↑"]
    has_pairs, has_published = bool(table["difference"].notna().any()), "published_mean" in table
    recognises = bool(table["recognisable"].any())
    heads += ["recognised ↑"] if recognises else []
    heads += ["− DAS ↑", "95 %", "p"] if has_pairs else []
    heads += ["published mean ↑", "published std"] if has_published else []
    rows = []
    for row in table.to_dict("records"):
        cells = [str(row[name]) for name in words]
        cells += [str(row["n"]), str(row["prompts"]), _number(row["mean"]), _interval(row["low"], row["high"])]
        cells += [_number(row["std"]), _number(row["similarity"])]
        cells += [f"{row['recognised']:.0f} of {row['recognisable']}"] if recognises else []
        if has_pairs:
            interval = _interval(row["difference_low"], row["difference_high"], sign=True)
            cells += [_number(row["difference"], sign=True), interval, _p(row["p"])]
        if has_published:
            cells += [_number(row["published_mean"]), _number(row["published_std"])]
        rows.append(cells)
    return Table(heads, rows, len(words))


def set_prompts(table: pd.DataFrame) -> Table:
    """Formats the output of `prompt_results`: a row for each prompt, a column for each method (and settings)."""
    rows = list(table.itertuples())
    has_several = table.groupby("prompt_id")["texts"].nunique() > 1
    cells = pd.DataFrame(
        {
            "prompt": [
                f"{row.prompt_id}, {row.texts}" if has_several[row.prompt_id] else row.prompt_id for row in rows
            ],
            "column": [f"{row.method} {row.settings}".strip() for row in rows],
            "cell": [_with_spread(row) for row in rows],
        }
    )
    columns, prompts = list(dict.fromkeys(cells["column"])), list(dict.fromkeys(cells["prompt"]))
    found = {(row.prompt, row.column): row.cell for row in cells.itertuples()}
    lines = [[prompt, *(found.get((prompt, column), ABSENT) for column in columns)] for prompt in prompts]
    return Table(["prompt", *(f"{column} ↑" for column in columns)], lines, 1)


def warning(evaluator_title: str) -> str:
    """The warning above the table if the evaluator also guided."""
    return (
        f"GRADED BY ITS GUIDE: {evaluator_title} also guided images of this table, so its scores say nothing about the "
        "methods."
    )


def caption(
    table: pd.DataFrame, evaluator_title: str, *, guided: bool, scale: str = "1–10", remark: str = ""
) -> list[str]:
    """The sentences below the table of `results`.

    Args:
        guided: whether the evaluator also guided.
        scale: ends of the evaluator's scale.
        remark: the evaluator's remark about its scores.
    """
    which = "" if guided else ", which guided none of the images"
    sentences = [f"Score by {evaluator_title}{which}; scale {scale}, ↑ better. std divides by n - 1."]
    sentences += [remark] if remark else []
    rows = table.to_dict("records")
    compared = [row for row in rows if not math.isnan(row["difference"])]
    if compared:
        sentences.append(
            f"− DAS: mean difference from DAS; same prompt, negative prompt and seed ({_pairs(compared)})."
        )
    sentences += _about_intervals(rows, compared)
    if (table["n"] == 1).any():
        sentences.append("One sample has no standard deviation and no interval; one pair has no p.")
    return [*sentences, REMARK] if "published_mean" in table else sentences


def _about_intervals(rows: Sequence[dict[str, Any]], compared: Sequence[dict[str, Any]]) -> list[str]:
    """How intervals and p were computed, over how many prompts, and how reliable they are."""
    means = [(int(row["prompts"]), int(row["n"])) for row in rows if row["n"] > 1]
    tests = [(int(row["paired_prompts"]), int(row["pairs"])) for row in compared if row["pairs"] > 1]
    if not means:
        return []
    several = [prompts for prompts, _ in [*means, *tests] if prompts > 1]
    drawn = f" over {_span(several)} prompts, each drawn with all its seeds" if several else ""
    exchanged = ", which exchanges the methods of whole prompts" if several else ""
    text = f"95 % intervals: percentile bootstrap of the mean{drawn} ({RESAMPLES:,} resamples, seed {BOOTSTRAP_SEED})."
    text += f" p: two-sided paired permutation test{exchanged}." if tests else ""
    if len(several) < len(means) + len(tests):
        text += " In a row with one prompt, they use its seeds and are valid for this prompt only."
    fewest, noun = min(_drawn(*counts) for counts in [*means, *tests])
    if fewest < FEW:
        text += f" With fewer than {FEW} {noun}, an interval is too narrow: with {fewest}, it contains the mean about "
        text += f"{coverage(fewest):.0%} of the time".replace("%", " %")
        fewest, _ = min((_drawn(*counts) for counts in tests), default=(FEW, ""))
        text += f", and p is never below {_p(least_p(fewest))}." if fewest < FEW else "."
    return [text]


def _drawn(prompts: int, n: int) -> tuple[int, str]:
    """Number and kind of the units: prompts, or the seeds of a single prompt."""
    return (prompts, "prompts") if prompts > 1 else (n, "seeds")


def _span(counts: Sequence[int]) -> str:
    return f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(min(counts))


def _pairs(compared: Sequence[dict[str, Any]]) -> str:
    counts = []
    for row in compared:
        pairs, prompts, unpaired = (int(row[name]) for name in ("pairs", "paired_prompts", "unpaired"))
        counts.append(f"{_counted(pairs, 'pair')} of {_counted(prompts, 'prompt')}")
        counts[-1] += f" and {unpaired} unpaired" if unpaired else ""
    if len(counts) > 1 and len(set(counts)) == 1:
        return f"{counts[0]} in each row"
    names = [" ".join(filter(None, [row.get("experiment"), row["method"], row["settings"]])) for row in compared]
    return "; ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def markdown(table: Table) -> str:
    """GitHub Markdown with aligned columns, readable as plain text."""
    heads, *rows = [[cell.replace("|", "\\|") for cell in cells] for cells in (table.heads, *table.rows)]
    widths = [max(3, *map(len, column)) for column in zip(heads, *rows, strict=True)]
    rule = ["-" * w if place < table.words else "-" * (w - 1) + ":" for place, w in enumerate(widths)]
    lines = []
    for cells in (heads, rule, *rows):
        padded = [
            cell.ljust(w) if place < table.words else cell.rjust(w)
            for place, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
    return "\n".join(lines)


def latex(table: Table, sentences: Sequence[str]) -> str:
    """A LaTeX table environment that uses the package booktabs."""
    columns = "l" * table.words + "r" * (len(table.heads) - table.words)
    lines = [" & ".join(map(_escape, cells)) + r" \\" for cells in (table.heads, *table.rows)]
    body = "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"])
    return (
        "% \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
        f"\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"
        f"\\caption{{{_escape(' '.join(sentences))}}}\n\\end{{table}}\n"
    )


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "−": "$-$", "–": "--", "…": r"\ldots{}",
    "<": "$<$", ">": "$>$", "“": "``", "”": "''", "±": r"$\pm$",
}  # fmt: skip


def _escape(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _number(value: float, *, sign: bool = False) -> str:
    if math.isnan(value):
        return ABSENT
    return f"{value:+.3f}".replace("-", "−") if sign else f"{value:.3f}"


def _interval(low: float, high: float, *, sign: bool = False) -> str:
    return ABSENT if math.isnan(low) else f"{_number(low, sign=sign)} … {_number(high, sign=sign)}"


def _p(p: float) -> str:
    if math.isnan(p):
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _with_spread(row: object) -> str:
    mean, std, n = (getattr(row, name) for name in ("mean", "std", "n"))
    return f"{mean:.3f} ± {std:.3f} (n = {n})" if n > 1 else f"{mean:.3f} (n = 1)"
