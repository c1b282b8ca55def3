"""Two experiments side by side: what differs in their settings, and whether the scores do."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

from das_ag.commands.table import main
from das_ag.errors import UserError
from das_ag.report import read_scores, write_comparison, write_tables
from das_ag.report.comparison import about_differences, differences, differing_settings, set_differences
from das_ag.report.statistics import paired_differences
from das_ag.store.store import Store


def scores_of(*rows):
    """A table of scores; rows are experiment, method, settings, prompt, seed, score."""
    names = ["experiment", "method", "settings", "prompt_id", "seed", "aesthetic_score"]
    table = pd.DataFrame(list(rows), columns=names)
    return table.assign(prompt=table["prompt_id"], negative="", clip_positive=0.25)


def test_only_settings_that_differ_between_experiments_are_named(sample_of):
    short = [sample_of(steps=steps, seed=seed) for steps in (100, 20) for seed in (1, 2)]
    weighed = dataclasses.replace(
        sample_of(method="das_ag"),
        settings={**sample_of(method="das_ag", steps=20).settings, "precision": "bfloat16"},
    )
    table = differing_settings({"short": short, "long": [sample_of(steps=400), weighed]})
    assert table.heads == ["setting", "short", "long"]
    assert table.rows == [["runtime.precision", "–", "bfloat16, –"], ["steps", "20, 100", "20, 400"]]
    assert differing_settings({"a": short, "b": short[::-1]}).rows == []


def test_the_same_prompt_and_seed_of_two_experiments_are_a_pair():
    """The difference of each method is that of `paired_differences` with the experiments as methods."""
    rows = [
        (experiment, method, "", prompt, seed, 5 + place + k * seed / 7)
        for place, experiment in enumerate(("a", "b", "c"))
        for method in ("das", "das_ag")
        for k, prompt in enumerate(("heart", "star", "ring"))
        for seed in (1, 2)
        if (experiment, prompt) != ("b", "ring")
    ]
    scores = scores_of(*rows, ("b", "das", "", "heart", 9, 1.0), ("b", "mine", "", "heart", 1, 1.0))
    found = differences(scores)
    assert found[["experiment", "method", "n", "prompts", "unpaired"]].to_numpy().tolist() == [
        ["b", "DAS", 4, 2, 1], ["b", "DAS-AG", 4, 2, 0], ["c", "DAS", 6, 3, 0], ["c", "DAS-AG", 6, 3, 0],
    ]  # fmt: skip
    assert found["difference"].tolist() == pytest.approx([1, 1, 2, 2])
    das = scores[(scores["method"] == "das") & scores["experiment"].isin(["a", "c"])]
    (expected,) = paired_differences(das.assign(method=das["experiment"]), "a").itertuples()
    assert [found.loc[2, name] for name in ("low", "high", "p")] == [expected.low, expected.high, expected.p]
    assert set_differences(found, "a").rows[2] == ["c", "DAS", "6", "3", "0", "+2.000", "+2.000 … +2.000", "0.250"]
    text = " ".join(about_differences(found, "a"))
    assert "− a: mean difference from a; same method, prompt, negative prompt and seed." in text
    assert "over 2 to 3 prompts" in text
    assert "p is never below 0.500" in text


def test_settings_of_sweeps_agree_or_have_one_partner():
    sweep = [("sweep", "das", f"steps={steps}", "heart", 1, steps / 10) for steps in (10, 20)]
    one, same = ("one", "das", "", "heart", 1, 3.0), ("same", "das", "steps=20", "heart", 1, 4.0)
    found = differences(scores_of(one, *sweep))
    assert list(zip(found["settings"], found["difference"], strict=True)) == [("steps=10", -2.0), ("steps=20", -1.0)]
    assert set_differences(found, "one").heads[:3] == ["experiment", "method", "settings"]
    found = differences(scores_of(*sweep, one, same))
    assert list(zip(found["experiment"], found["difference"], strict=True)) == [("same", 2.0)]


def test_texts_pair_whole_and_not_as_in_labels():
    """Labels name a text only where a store has several, and shorten it."""
    a, b = ("a", "das", "", "heart", 1, 3.0), ("b", "das", 'negative="blue"', "heart", 1, 4.0)
    assert differences(scores_of(a, b))["difference"].tolist() == [1.0]
    other = scores_of(a, b).assign(negative=["", "blue"])
    found = differences(other)
    assert found.empty
    assert about_differences(found, "a") == [
        "No method has images of the same prompt and seed in a and another experiment."
    ]


@pytest.fixture
def folders(tmp_path, sample_of, put):
    """Two experiments that share an image, with other numbers of steps in the rest."""
    for name, steps in (("b", 20), ("a", 100)):
        store = Store(tmp_path / name)
        put(store, sample_of(method="das", seed=3, steps=7), 5.0)
        for seed in (1, 2):
            put(store, sample_of(method="das", steps=steps, seed=seed), 5.0 + steps / 100)
    return [tmp_path / "b", tmp_path / "a"]


def test_a_comparison_has_tables_plots_and_a_gallery(folders, tmp_path, capsys):
    to = tmp_path / "comparison"
    assert main([*map(str, folders), "--to", str(to)]) == 0
    printed, _, closing = capsys.readouterr().out.rpartition("\nTable and plots: ")
    assert closing == f"{to}\nAll images with their scores, for a browser: {to / 'index.html'}\n"
    assert (to / "table.md").read_text(encoding="utf-8") == printed
    assert re.search(r"## Settings that differ\n\n.*\n.*\n\| steps +\| 7, 20 \| 7, 100 \|", printed)
    assert "## Difference from b" in printed
    assert printed.endswith("prompt and seed.\n\nOne pair has no interval and no p.\n")
    assert (to / "table.tex").read_text(encoding="utf-8").count(r"\begin{table}") == 2
    assert pd.read_csv(to / "differences.csv")["difference"].tolist() == [0.0]
    assert {"scores.png", "images.svg", "seeds.png"} <= {path.name for path in (to / "plots").iterdir()}
    assert "a/samples/das/heart-seed1" in (to / "index.html").read_text(encoding="utf-8")


def test_one_experiment_is_only_tabled(folders, tmp_path, capsys):
    assert main([str(folders[0]), "--to", str(tmp_path / "one")]) == 0
    assert "differ" not in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["table.csv", "table.md", "table.tex"]


def test_damage_costs_only_itself_and_is_told_once(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    damaged = next(Path("a", "samples", "das").glob("heart-seed1-*"))
    (damaged / "image.png").write_bytes(b"")
    (damaged / "trace.csv").write_bytes(b"")
    assert main(["b", "a", "--to", "to"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert sorted(line.split(":")[0] for line in told) == [f"{damaged}/image.png", f"{damaged}/trace.csv"]
    assert (tmp_path / "to" / "plots" / "images.png").is_file()
    (tmp_path / "to" / "index.html").unlink()
    (tmp_path / "to" / "index.html").mkdir()
    table, told = write_comparison([read_scores(folder) for folder in folders], tmp_path / "to")
    assert any("cannot write the gallery (Is a directory)" in sentence for sentence in told)
    assert table == write_tables([read_scores(folder) for folder in folders], tmp_path / "to")


def test_one_experiment_cannot_be_compared(folders, tmp_path):
    with pytest.raises(UserError, match="to: expected several experiments to compare, got one, b; add another"):
        write_comparison([read_scores(folders[0])] * 2, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_tables_that_cannot_be_written_are_told(folders, tmp_path, capsys):
    (tmp_path / "to").write_text("mine")
    with pytest.raises(UserError, match=r"to: cannot write the tables \((File exists|Not a directory)\)"):
        main([*map(str, folders), "--to", str(tmp_path / "to")])
