"""Writes the report of a store: scores.csv, table.*, plots/, index.html."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from das_ag.errors import UserError, unwritable
from das_ag.report import table as tables
from das_ag.report.comparison import about_differences, differences, differing_settings, set_differences
from das_ag.report.labels import name_of
from das_ag.report.published import EVALUATOR
from das_ag.report.statistics import evaluators_of, guides_of, is_guided_by, remark_of, scale_of, score_table
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
        left_out: a sentence for each damaged sample, and for each damaged file of another.
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
        UserError: the folder is no experiment, or has no scored sample.
    """
    store = Store(root)
    store.check_exists()
    records, left_out = store.records()
    left_out += store.damage(records)
    titles = evaluators_of(records)
    if not titles or (evaluator is not None and evaluator not in titles):
        got = f"none by {evaluator}" if titles else "none"
        sentence = (
            f"{store.root}: expected scored samples, got {got}; run das-ag run name={store.root.resolve().name}, or "
            f"das-ag score {store.root}."
        )
        raise UserError(" ".join([sentence, *left_out[:1]]))
    name = evaluator or next(iter(titles))
    return Scored(store, records, score_table(records, name), name, titles[name], left_out)


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
    _write(root, {"scores.csv": scored.scores.to_csv(index=False)})
    table = write_tables([scored], root)
    records, scores, title, plots = scored.records, scored.scores, scored.title, root / "plots"
    told += _told(plots, "figures", lambda: write_plots(scored.store, records, scores, title, plots))
    told += _told(root, "gallery", lambda: write_gallery(root, scores, title, table))
    return table, list(dict.fromkeys(told))


def write_comparison(several: Sequence[Scored], folder: Path | str) -> tuple[str, list[str]]:
    """Writes tables, plots/ and the gallery of several stores into one folder.

    Returns:
        The tables as Markdown, and a sentence for each sample, figure or page that was left out.

    Raises:
        UserError: there is only one store, they were scored by different evaluators, or the tables cannot be written.
    """
    from das_ag.report.gallery import write_gallery  # tables need neither this nor matplotlib
    from das_ag.report.plots import write_comparison_plots

    folder = Path(folder)
    named, scores = _joint(several)
    if len(named) == 1:
        raise UserError(
            f"{folder}: expected several experiments to compare, got one, {next(iter(named))}; add another."
        )
    table = write_tables(several, folder)
    title = next(iter(named.values())).title
    stores = {name: (scored.store, scored.records) for name, scored in named.items()}
    told = [sentence for scored in several for sentence in scored.left_out]
    told += _told(folder / "plots", "figures", lambda: write_comparison_plots(stores, scores, title, folder / "plots"))
    roots = {name: scored.store.root for name, scored in named.items()}
    told += _told(folder, "gallery", lambda: write_gallery(folder, scores, title, table, stores=roots))
    return table, list(dict.fromkeys(told))


def _told(path: Path, what: str, write: Callable[[], list[str]]) -> list[str]:
    """What a writer tells; its error costs only its own files."""
    try:
        return write()
    except OSError as error:
        return [str(unwritable(path, what, error))]
    except UserError as error:
        return [str(error)]


def write_tables(several: Sequence[Scored], folder: Path | str) -> str:
    """Writes table.md, table.csv and table.tex of one or several stores.

    Several get a column for the experiment, the settings that differ between them, and the paired differences from the
    first one, also as differences.csv. A store that is given twice counts once.

    Returns:
        The text of table.md.

    Raises:
        UserError: the stores were scored by different evaluators, or the tables cannot be written.
    """
    folder = Path(folder)
    named, scores = _joint(several)
    experiments = list(named.values())
    title = " / ".join(dict.fromkeys(scored.title for scored in experiments))
    guided = any(is_guided_by(scored.records, scored.evaluator) for scored in experiments)
    found = tables.results(scores, published=any(scored.published for scored in experiments))
    remark = " ".join(dict.fromkeys(remark_of(scored.records, scored.evaluator) for scored in experiments))
    guides = guides_of([record for scored in several for record in scored.records])
    scale = scale_of(several[0].scores)
    sentences = tables.caption(found, title, guided=guided, scale=scale, guides=guides, remark=remark)
    results = tables.set_results(found)
    warning = [tables.warning(title)] if guided else []
    text, latex = [*warning, tables.markdown(results), *sentences], tables.latex(results, [*warning, *sentences])
    numbers = {"table": found}
    if len(named) == 1:
        text += _by_prompt(scores)
    else:
        numbers["differences"] = differences(scores)
        further, formatted = _comparison(named, numbers["differences"])
        text, latex = [*text, *(block for block in further if block not in text)], latex + formatted
    written = "\n\n".join(text) + "\n"
    csv = {f"{name}.csv": table.to_csv(index=False) for name, table in numbers.items()}
    _write(folder, {"table.md": written, "table.tex": latex, **csv})
    return written


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes texts into a folder, which it creates if it is missing.

    Raises:
        UserError: a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            own_file(folder, folder / name).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise unwritable(folder, "tables", error) from error


def _joint(several: Sequence[Scored]) -> tuple[dict[str, Scored], pd.DataFrame]:
    """The different stores by name, and their scores as one table; several get a column `experiment`.

    Raises:
        UserError: they were scored by different evaluators.
    """
    several = list({scored.store.root.resolve(): scored for scored in several}.values())
    _check_evaluators(several)
    named = dict(zip(_experiment_names([scored.store.root for scored in several]), several, strict=True))
    if len(named) == 1:
        return named, several[0].scores
    return named, pd.concat([s.scores.assign(experiment=name) for name, s in named.items()], ignore_index=True)


def _by_prompt(scores: pd.DataFrame) -> list[str]:
    found = tables.prompt_results(scores)
    text = ["## By prompt", tables.markdown(tables.set_prompts(found))]
    if found["best"].notna().any() and (found["n"] > 1).any():
        text += ["## Best seeds", tables.markdown(tables.set_best(found)), tables.about_best(found)]
    return text


def _comparison(named: Mapping[str, Scored], compared: pd.DataFrame) -> tuple[list[str], str]:
    """The settings that differ and the paired differences, as blocks of Markdown; the latter also as LaTeX."""
    first = next(iter(named))
    samples = {name: [record.sample for record in scored.records] for name, scored in named.items()}
    settings, table = differing_settings(samples), set_differences(compared, first)
    sentences = about_differences(compared, first)
    text = ["## Settings that differ", tables.markdown(settings) if settings.rows else "None."]
    text += [f"## Difference from {first}", *([tables.markdown(table)] if table.rows else []), *sentences]
    return text, tables.latex(table, sentences) if table.rows else ""


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
