"""The results table: one set of numbers, as Markdown, CSV and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from das_ag.errors import counted
from das_ag.methods import method_of
from das_ag.report.labels import divide, prompt_names
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

PAIRED = {"low": "difference_low", "high": "difference_high", "n": "pairs", "prompts": "paired_prompts"}
"""Names of the columns of `paired_differences` in the table of `results`, which has columns of these names."""


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
        differences = paired_differences(part).rename(columns=PAIRED)
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
    """Mean, standard deviation and n of each prompt and method, and its `best` score with the `best_seed`.

    The prompts keep their order; `prompt` is their name as `prompt_names` gives it. A prompt id with several texts
    counts as several prompts, named in `texts`; then `settings` holds only settings.
    """
    by = ["prompt_id", "texts", "method", "settings"]
    divided = pd.DataFrame(map(divide, scores["settings"]), index=scores.index, columns=["settings", "texts"])
    scores = scores.assign(**divided)
    ranked = scores.dropna(subset="aesthetic_score").sort_values("aesthetic_score", ascending=False, kind="stable")
    best = ranked.drop_duplicates(by)[[*by, "aesthetic_score", "seed"]].astype({"seed": object})
    best = best.rename(columns={"aesthetic_score": "best", "seed": "best_seed"})
    summary = method_summary(scores, by=by).merge(best, on=by, how="left")
    names = prompt_names(zip(scores["prompt_id"], scores["prompt"], strict=True))
    return summary.assign(method=summary["method"].map(_title), prompt=summary["prompt_id"].map(names))


def set_results(table: pd.DataFrame) -> Table:
    """Formats the output of `results`."""
    words = [name for name in ("experiment", "method") if name in table]
    words += ["settings"] if table["settings"].any() else []
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
        cells += set_difference(row) if has_pairs else []
        if has_published:
            cells += [_number(row["published_mean"]), _number(row["published_std"])]
        rows.append(cells)
    return Table(heads, rows, len(words))


def set_difference(row: Mapping[Any, Any]) -> list[str]:
    """The cells for a paired difference, its interval and p."""
    interval = _interval(row["difference_low"], row["difference_high"], sign=True)
    return [_number(row["difference"], sign=True), interval, _p(row["p"])]


def set_prompts(table: pd.DataFrame) -> Table:
    """Formats the output of `prompt_results`: a row for each prompt, a column for each method (and settings)."""
    return _set_by_prompt(table, _with_spread, " ↑")


def set_best(table: pd.DataFrame) -> Table:
    """Formats the best seeds in the output of `prompt_results`, in the rows and columns of `set_prompts`."""
    return _set_by_prompt(table, _best, "")


def _set_by_prompt(table: pd.DataFrame, cell: Callable[[Any], str], direction: str) -> Table:
    table = table.assign(column=[f"{name} {label}".strip() for name, label in table[["method", "settings"]].to_numpy()])
    has_several = table.groupby("prompt_id")["texts"].nunique() > 1
    found: dict[str, dict[str, str]] = {}
    for row in table.itertuples():
        prompt = f"{row.prompt}, {row.texts}" if has_several[row.prompt_id] else row.prompt
        found.setdefault(prompt, {})[row.column] = cell(row)
    columns = list(table["column"].unique())
    lines = [[prompt, *(cells.get(column, ABSENT) for column in columns)] for prompt, cells in found.items()]
    return Table(["prompt", *(f"{column}{direction}" for column in columns)], lines, 1)


def warning(evaluator_title: str) -> str:
    """The warning above the table if the evaluator also guided."""
    return (
        f"GRADED BY ITS GUIDE: {evaluator_title} also guided images of this table, so its scores say nothing about the "
        "methods."
    )


def caption(
    table: pd.DataFrame,
    evaluator_title: str,
    *,
    guided: bool,
    scale: str = "1–10",
    guides: Sequence[str] = (),
    remark: str = "",
) -> list[str]:
    """The sentences below the table of `results`.

    Args:
        guided: whether the evaluator also guided.
        scale: ends of the evaluator's scale.
        guides: titles of the guides.
        remark: the evaluator's remark about its scores.
    """
    which = "" if guided else ", which guided none of the images"
    sentences = [f"Score by {evaluator_title}{which}; scale {scale}, ↑ better. std divides by n - 1."]
    sentences += [f"Guide: {'; '.join(guides)}."] if guides else []
    sentences += [remark] if remark else []
    rows = table.to_dict("records")
    compared = [row for row in rows if not math.isnan(row["difference"])]
    if compared:
        sentences.append(
            f"− DAS: mean difference from DAS; same prompt, negative prompt and seed ({_pairs(compared)})."
        )
    sentences += about_intervals(rows, compared)
    if (table["n"] == 1).any():
        sentences.append("One sample has no standard deviation and no interval; one pair has no p.")
    return [*sentences, REMARK] if "published_mean" in table else sentences


def about_best(table: pd.DataFrame) -> str:
    """The sentence below the table of `set_best`, for the output of `prompt_results`."""
    return (
        f"Of each prompt: the seed with the highest of {span(table['n'].tolist())} scores, and the mean over all "
        "seeds. Choosing the best of n images by the evaluator raises its score by selection: do not compare methods "
        "by this table."
    )


def about_intervals(rows: Sequence[dict[str, Any]], compared: Sequence[dict[str, Any]]) -> list[str]:
    """How intervals and p were computed, over how many prompts, and how reliable they are."""
    means = [(int(row["prompts"]), int(row["n"])) for row in rows if row["n"] > 1]
    tests = [(int(row["paired_prompts"]), int(row["pairs"])) for row in compared if row["pairs"] > 1]
    if not means and not tests:
        return []
    several = [prompts for prompts, _ in [*means, *tests] if prompts > 1]
    drawn = f" over {span(several)} prompts, each drawn with all its seeds" if several else ""
    exchanged = ", which exchanges the methods of whole prompts" if several else ""
    text = f"95 % intervals: percentile bootstrap of the mean{drawn} ({RESAMPLES:,} resamples, seed {BOOTSTRAP_SEED})."
    text += f" p: two-sided paired permutation test{exchanged}." if tests else ""
    if len(several) < len(means) + len(tests):
        text += " In a row with one prompt, they use its seeds and are valid for this prompt only."
    fewest, noun = min(_drawn(*counts) for counts in [*means, *tests])
    if fewest < FEW:
        text += f" With fewer than {FEW} {noun}, an interval is too narrow: with {fewest}, it contains the mean about "
        text += f"{100 * coverage(fewest):.0f} % of the time."
    fewest, noun = min((_drawn(*counts) for counts in tests), default=(FEW, ""))
    text += f" With {fewest} {noun}, p is never below {_p(least_p(fewest))}." if fewest < FEW else ""
    return [text]


def _drawn(prompts: int, n: int) -> tuple[int, str]:
    """Number and kind of the units: prompts, or the seeds of a single prompt."""
    return (prompts, "prompts") if prompts > 1 else (n, "seeds")


def span(counts: Sequence[int]) -> str:
    """Least and most of these numbers in words."""
    return f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(min(counts))


def _pairs(compared: Sequence[dict[str, Any]]) -> str:
    counts = []
    for row in compared:
        pairs, prompts, unpaired = (int(row[name]) for name in ("pairs", "paired_prompts", "unpaired"))
        also = f" and {unpaired} unpaired" if unpaired else ""
        counts.append(f"{counted(pairs, 'pair')} of {counted(prompts, 'prompt')}{also}")
    if len(counts) > 1 and len(set(counts)) == 1:
        return f"{counts[0]} in each row"
    names = [" ".join(filter(None, [row.get("experiment"), row["method"], row["settings"]])) for row in compared]
    return "; ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))


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


def _with_spread(row: Any) -> str:
    return f"{row.mean:.3f} ± {row.std:.3f} (n = {row.n})" if row.n > 1 else f"{row.mean:.3f} (n = 1)"


def _best(row: Any) -> str:
    return ABSENT if math.isnan(row.best) else f"seed {row.best_seed}: {row.best:.3f} (mean {row.mean:.3f})"
