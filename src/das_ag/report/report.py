"""Writes the report of a store: scores.csv, table.*, plots/, index.html."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from das_ag.errors import UserError
from das_ag.report import table as tables
from das_ag.report.labels import name_of
from das_ag.report.published import EVALUATOR
from das_ag.report.statistics import evaluators_of, is_guided_by, remark_of, scale_of, score_table
from das_ag.store.atomic import own_file
from das_ag.store.samples import Record
from das_ag.store.store import Store


@dataclass(frozen=True)
class Scored:
    """The scored samples of one store.

    Attributes:
        store: the source of the samples.
        records: of all finished samples.
        scores: as `score_table` gives it.
        evaluator: source of `aesthetic_score`.
        title: its name in tables.
        left_out: a sentence for each damaged sample.
    """

    store: Store
    records: Sequence[Record]
    scores: pd.DataFrame
    evaluator: str
    title: str
    left_out: list[str]

    @property
    def published(self) -> bool:
        """Whether to show the published figures: only on request, and only for the same predictor."""
        asked = any(record.provenance.get("published_figures") for record in self.records)
        return asked and self.evaluator == EVALUATOR


def read_scores(root: Path | str, evaluator: str | None = None) -> Scored:
    """Reads a store.

    Args:
        evaluator: name of the evaluator to use; by default the one that scored most samples.

    Raises:
        UserError: there is no scored sample.
    """
    root = Path(root)
    store = Store(root)
    records, left_out = store.records()
    titles = evaluators_of(records)
    if not titles or (evaluator is not None and evaluator not in titles):
        raise UserError(_without_scores(root, f"none by {evaluator}" if titles else "none", len(records)))
    name = evaluator or next(iter(titles))
    return Scored(store, records, score_table(records, name), name, titles[name], left_out)


def _without_scores(root: Path, got: str, samples: int) -> str:
    if samples or Store.is_store(root):
        return (
            f"{root}: expected scored samples, got {got}; run python run.py name={root.resolve().name}, or "
            f"das-ag score {root}."
        )
    near = [Path("outputs") / root.name, *root.parents, *sorted(root.glob("*")), *sorted(root.glob("outputs/*"))]
    found = [str(path) for path in near if Store.is_store(path)][:5]
    what = "experiment in this" if root.is_dir() else "such"
    return (
        f"{root.resolve()}: found no {what} folder, expected the folder of "
        "an experiment. run.py writes its results to outputs/NAME, in the folder where it starts. "
        + (f"Try {', '.join(found)}." if found else "Give that folder.")
    )


def write_report(root: Path | str, evaluator: str | None = None) -> tuple[str, list[str]]:
    """Writes the whole report into the store's folder.

    Args:
        evaluator: see `read_scores`.

    Returns:
        The table as Markdown, and a sentence for each sample, figure or page that was left out.

    Raises:
        UserError: there is no scored sample, or the table cannot be written.
    """
    from das_ag.report.gallery import write_gallery  # tables need neither this nor matplotlib
    from das_ag.report.plots import write_plots

    scored = read_scores(root, evaluator)
    root, told = scored.store.root, list(scored.left_out)
    try:
        scored.scores.to_csv(own_file(root, root / "scores.csv"), index=False)
        table = write_tables([scored], root)
    except OSError as error:
        raise UserError(_unwritable(root, "report", error)) from error
    try:
        told += write_plots(scored.store, scored.records, scored.scores, scored.title, root / "plots")
    except (OSError, UserError) as error:
        told.append(str(error) if isinstance(error, UserError) else _unwritable(root / "plots", "figures", error))
    try:
        told += write_gallery(root, scored.scores, scored.title, table)
    except UserError as error:
        told.append(str(error))
    return table, list(dict.fromkeys(told))


def _unwritable(path: Path, what: str, error: OSError) -> str:
    return (
        f"{path}: cannot write the {what} ({error.strerror}); free some space or change the folder's permissions. "
        "Finished samples are kept."
    )


def write_tables(several: Sequence[Scored], folder: Path | str) -> str:
    """Writes table.md, table.csv and table.tex of one or several stores; several get an experiment column.

    A store that is given twice counts once.

    Returns:
        The text of table.md.

    Raises:
        UserError: the stores were scored by different evaluators.
    """
    folder = Path(folder)
    several = list({scored.store.root.resolve(): scored for scored in several}.values())
    _check_evaluators(several)
    names = _experiment_names([scored.store.root for scored in several])
    parts = [scored.scores.assign(experiment=name) for scored, name in zip(several, names, strict=True)]
    scores = pd.concat(parts, ignore_index=True) if len(several) > 1 else several[0].scores
    title = " / ".join(dict.fromkeys(scored.title for scored in several))
    guided = any(is_guided_by(scored.records, scored.evaluator) for scored in several)
    found = tables.results(scores, published=any(scored.published for scored in several))
    remark = " ".join(dict.fromkeys(remark_of(scored.records, scored.evaluator) for scored in several))
    scale, results = scale_of(several[0].scores), tables.set_results(found)
    sentences = tables.caption(found, title, guided=guided, scale=scale, remark=remark)
    warning = [tables.warning(title)] if guided else []
    text = [*warning, tables.markdown(results), *sentences]
    if len(several) == 1:
        text += ["## By prompt", tables.markdown(tables.set_prompts(tables.prompt_results(scores)))]
    folder.mkdir(parents=True, exist_ok=True)
    written = "\n\n".join(text) + "\n"
    markdown, latex, numbers = (own_file(folder, folder / f"table.{suffix}") for suffix in ("md", "tex", "csv"))
    markdown.write_text(written, encoding="utf-8")
    latex.write_text(tables.latex(results, [*warning, *sentences]), encoding="utf-8")
    found.to_csv(numbers, index=False)
    return written


def _check_evaluators(several: Sequence[Scored]) -> None:
    """Refuses scores by different predictors, which cannot be compared."""
    if len({scored.evaluator for scored in several}) == 1:
        return
    got = ", ".join(f"{scored.evaluator} in {scored.store.root}" for scored in several)
    common = set.intersection(*({*evaluators_of(scored.records)} for scored in several))
    remedy = (
        f"choose one with --evaluator {sorted(common)[0]}"
        if common
        else "score each experiment with the same one: das-ag score FOLDER evaluator=NAME"
    )
    raise UserError(f"evaluator: expected the same evaluator for all experiments, got {got}; {remedy}.")


def _experiment_names(roots: Sequence[Path]) -> list[str]:
    """Names of the folders, with as many parent folders as needed to distinguish them."""
    parts = [root.resolve().parts for root in roots]
    names = [Path(*p[-1:]) for p in parts]
    for length in range(2, max(map(len, parts)) + 1):
        counts = Counter(names)
        names = [Path(*p[-length:]) if counts[name] > 1 else name for p, name in zip(parts, names, strict=True)]
    return [name_of(name) for name in names]
