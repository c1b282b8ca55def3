"""The results table: its numbers, and its cells character by character."""

from __future__ import annotations

import math
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from das_ag.report import prompt_results, results, score_table
from das_ag.report.table import Table, about_best, caption, latex, markdown, set_best, set_prompts, set_results, warning


def scores_of(*rows, **more):
    """A table of scores; rows are method, prompt, seed, score."""
    table = pd.DataFrame(list(rows), columns=["method", "prompt_id", "seed", "aesthetic_score"])
    texts = {"prompt": table["prompt_id"], "negative": ""}
    return table.assign(**{"settings": "", "clip_positive": 0.25, **texts, **more})


THREE = scores_of(
    ("das", "heart", 1, 4.0), ("das", "heart", 2, 5.0), ("das", "star", 1, 9.0),
    ("das_ag", "heart", 1, 5.0), ("das_ag", "heart", 2, 7.0), ("das_ag", "ring", 1, 6.0),
    ("das_rag", "heart", 1, 3.25),
)  # fmt: skip


def test_the_table_of_three_methods():
    """Means, standard deviations and differences by hand; of two pairs of a prompt a resample has the mean 1, 1.5 or 2.

    Of two prompts, that of DAS has 4.5, 6 or 9: the sum of both over their three images.
    """
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in markdown(set_results(results(THREE))).splitlines()
    ]
    assert lines[0] == ["method", "n", "prompts", "mean ↑", "95 %", "std", "similarity ↑", "− DAS ↑", "95 %", "p"]
    assert [row[:3] for row in lines[2:]] == [["DAS", "3", "2"], ["DAS-AG", "3", "2"], ["DAS-rAG", "1", "1"]]
    assert [row[3] for row in lines[2:]] == ["6.000", "6.000", "3.250"]
    assert [row[4] for row in lines[2:]] == ["4.500 … 9.000", "6.000 … 6.000", "–"]
    assert [row[5] for row in lines[2:]] == ["2.646", "1.000", "–"]
    assert {row[6] for row in lines[2:]} == {"0.250"}
    assert lines[2][7:] == ["–", "–", "–"]
    assert lines[3][7:] == ["+1.500", "+1.000 … +2.000", "0.500"]
    assert lines[4][7:] == ["−0.750", "–", "–"]


def test_columns_of_markdown_are_aligned():
    table = Table(["method", "n"], [["DAS", "3"], ["DAS-rAG", "12"]], 1)
    assert markdown(table) == (
        "| method  |   n |\n"
        "| ------- | --: |\n"
        "| DAS     |   3 |\n"
        "| DAS-rAG |  12 |"
    )  # fmt: skip


def test_numbers_are_kept_in_full_for_the_csv():
    table = results(THREE).set_index("method")
    assert table.loc["DAS-AG", "mean"] == 6.0
    assert table.loc["DAS", "std"] == pytest.approx(7**0.5)
    assert (table.loc["DAS-AG", "pairs"], table.loc["DAS-AG", "unpaired"]) == (2, 1)
    assert math.isnan(table.loc["DAS", "difference"])


def test_the_caption_counts_pairs_and_what_has_no_partner():
    text = " ".join(caption(results(THREE), "A judge", guided=False))
    assert "Score by A judge, which guided none of the images; scale 1–10, ↑ better." in text
    assert "DAS-AG: 2 pairs of 1 prompt and 1 unpaired; DAS-rAG: 1 pair of 1 prompt)" in text
    assert "9,999 resamples, seed 0" in text
    assert "One sample has no standard deviation and no interval" in text


def several(n_prompts, n_seeds, methods=("das", "das_ag")):
    return scores_of(
        *((method, f"prompt_{k}", seed, 5.0 + k + place / 7)
          for place, method in enumerate(methods) for k in range(n_prompts) for seed in range(n_seeds))
    )  # fmt: skip


def test_the_caption_says_of_how_many_prompts():
    text = " ".join(caption(results(several(6, 2)), "A judge", guided=False))
    assert "over 6 prompts, each drawn with all its seeds (9,999" in text
    assert "with 6, it contains the mean about 87 % of the time. With 6 prompts, p is never below 0.031." in text
    assert "negative prompt and seed (DAS-AG: 12 pairs of 6 prompts)." in text
    text = " ".join(caption(results(several(6, 2, ("das", "das_ag", "das_rag"))), "A judge", guided=False))
    assert "negative prompt and seed (12 pairs of 6 prompts in each row)." in text
    assert "for this prompt only" not in text
    text = " ".join(caption(results(several(10, 1)), "A judge", guided=False))
    assert "over 10 prompts" in text
    assert "too narrow" not in text


def test_the_caption_of_one_prompt_is_about_its_seeds():
    text = " ".join(caption(results(several(1, 4)), "A judge", guided=False))
    assert "they use its seeds and are valid for this prompt only" in text
    assert "whole prompts" not in text
    assert "with 4, it contains the mean about 81 % of the time. With 4 seeds, p is never below 0.125." in text
    text = " ".join(caption(results(several(1, 4, ["das"])), "A judge", guided=False))
    assert "81 % of the time." in text
    assert "test" not in text
    text = " ".join(caption(results(THREE), "A judge", guided=False))
    assert "over 2 prompts" in text
    assert "In a row with one prompt, they use its seeds" in text
    assert "95 %" not in " ".join(caption(results(several(1, 1)), "A judge", guided=False))


def test_the_caption_warns_of_the_fewest_and_of_tests_only_where_they_are_few():
    few = several(3, 1, ["das_rag"]).assign(seed=7)  # without partners
    text = " ".join(caption(results(pd.concat([several(12, 1), few])), "A judge", guided=False))
    assert "over 3 to 12 prompts" in text
    assert text.endswith("interval is too narrow: with 3, it contains the mean about 75 % of the time.")
    few = pd.concat([several(4, 1), several(1, 3, ["das_rag"]).assign(seed=lambda rows: rows["seed"] + 7)])
    text = " ".join(caption(results(few), "A judge", guided=False))
    assert text.endswith("with 3, it contains the mean about 75 % of the time. With 4 prompts, p is never below 0.125.")
    seeds = several(1, 4, ["das_rag"])
    text = " ".join(caption(results(pd.concat([several(12, 1), seeds.assign(prompt="b")])), "A judge", guided=False))
    assert "With fewer than 10 seeds, an interval is too narrow: with 4, it" in text


def test_an_evaluator_that_guided_is_told():
    assert "guided none" not in " ".join(caption(results(THREE), "A judge", guided=True))
    assert warning("A judge").startswith("GRADED BY ITS GUIDE: A judge also guided images of this table")


def test_without_das_there_is_no_difference():
    found = results(THREE[THREE["method"] != "das"])
    assert set_results(found).heads == ["method", "n", "prompts", "mean ↑", "95 %", "std", "similarity ↑"]
    assert "− DAS" not in " ".join(caption(found, "A judge", guided=False))


@pytest.mark.parametrize(("p", "cell"), [(0.0009, "< 0.001"), (0.001, "0.001"), (1.0, "1.000")])
def test_a_p_is_said_to_be_below_a_thousandth_where_it_is(p, cell):
    assert set_results(results(THREE).assign(p=p)).rows[1][-1] == cell


def test_published_figures_stand_beside():
    table = set_results(results(THREE, published=True))
    assert table.heads[-2:] == ["published mean ↑", "published std"]
    assert [row[-2:] for row in table.rows] == [["3.406", "0.230"], ["3.783", "0.203"], ["2.988", "0.282"]]
    assert "not the same digits" in caption(results(THREE, published=True), "A judge", guided=False)[-1]
    other = results(scores_of(("other", "heart", 1, 5.0)), published=True)
    assert set_results(other).rows[0][-2:] == ["–", "–"]


def test_settings_have_a_column_where_they_differ():
    both = pd.concat([THREE.assign(settings="steps=20"), THREE.assign(settings="steps=100")])
    table = set_results(results(both))
    assert table.heads[:2] == ["method", "settings"]
    assert [row[:2] for row in table.rows] == [
        [method, settings] for settings in ("steps=20", "steps=100") for method in ("DAS", "DAS-AG", "DAS-rAG")
    ]
    assert len({tuple(row[2:]) for row in table.rows}) == 3


def test_experiments_have_a_column_and_pairs_of_their_own():
    both = pd.concat([THREE.assign(experiment="a"), THREE.assign(experiment="b", aesthetic_score=1.0)])
    table = set_results(results(both))
    assert table.heads[:2] == ["experiment", "method"]
    assert [row[0] for row in table.rows] == ["a"] * 3 + ["b"] * 3
    assert {row[8] for row in table.rows[3:]} == {"–", "+0.000"}
    assert "b DAS-AG: 2 pairs" in " ".join(caption(results(both), "A judge", guided=False))


def test_a_row_for_each_prompt():
    table = set_prompts(prompt_results(THREE))
    assert (table.heads, table.words) == (["prompt", "DAS ↑", "DAS-AG ↑", "DAS-rAG ↑"], 1)
    assert table.rows == [
        ["heart", "4.500 ± 0.707 (n = 2)", "6.000 ± 1.414 (n = 2)", "3.250 (n = 1)"],
        ["star", "9.000 (n = 1)", "–", "–"],
        ["ring", "–", "6.000 (n = 1)", "–"],
    ]


def test_some_rows_of_scores_make_a_table_of_prompts_too():
    both = pd.concat([THREE.assign(settings="steps=20"), THREE.assign(settings="steps=100")])
    some = both.reset_index(drop=True)[lambda table: table["settings"] == "steps=100"]
    assert set_prompts(prompt_results(some)).heads[:2] == ["prompt", "DAS steps=100 ↑"]
    assert set_prompts(prompt_results(some)).rows == set_prompts(prompt_results(THREE)).rows


def test_texts_of_one_prompt_have_rows_of_their_own(store_of_two_texts, sample_of, put):
    put(store_of_two_texts, sample_of("star"), 3.0)  # has one text, though its negative is that of others
    table = set_prompts(prompt_results(score_table(store_of_two_texts.records()[0], "tiny")))
    assert table.heads == ["prompt", "DAS ↑", "DAS-AG ↑"]
    assert sorted(table.rows) == [
        ["a red star", "3.000 (n = 1)", "–"],
        ['heart, prompt="a green triangle", negative=none', "–", "7.000 (n = 1)"],
        ['heart, prompt="a red heart", negative="a blue square"', "4.000 (n = 1)", "–"],
        ['heart, prompt="a red heart", negative=none', "5.000 (n = 1)", "5.250 (n = 1)"],
    ]


def test_a_bar_in_a_text_does_not_end_its_cell():
    assert markdown(Table(["prompt", "n"], [["a | b", "1"]], 1)).splitlines()[2] == r"| a \| b |   1 |"


def test_latex_is_booktabs_with_everything_escaped():
    text = latex(Table(["prompt_id", "mean ↑"], [["50 % {a} & $b$ #1 ~^\\", "−1.5 … < 2"]], 1), ["n − 1 “x” > 1 ± 1 …"])
    assert r"\begin{tabular}{lr}" in text
    assert r"prompt\_id & mean $\uparrow$ \\" in text
    assert (
        r"50 \% \{a\} \& \$b\$ \#1 \textasciitilde{}\textasciicircum{}\textbackslash{} & $-$1.5 \ldots{} $<$ 2 \\"
        in text
    )
    assert text.count("rule") == 3
    assert r"\caption{n $-$ 1 ``x'' $>$ 1 $\pm$ 1 \ldots{}}" in text


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="needs pdflatex: apt-get install texlive-latex-recommended"
)
def test_latex_compiles(tmp_path):
    rows = [["50 % {a} & $b$ #1 ~^\\ _ “x” ± …", "−1.5", "< 0.001"]]
    found = results(THREE, published=True)
    body = latex(Table(["method", "− DAS ↑", "p"], rows, 1), ["A caption."])
    body += latex(set_results(found), caption(found, "A judge", guided=False))
    document = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\\end{{document}}\n"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
    assert "Missing character" not in (tmp_path / "table.log").read_text(errors="replace")


def test_the_same_scores_give_the_same_table():
    rng = np.random.default_rng(0)
    many = pd.concat(
        [
            scores_of(*((method, "heart", seed, score) for seed, score in enumerate(rng.normal(5, 1, 40))))
            for method in ("das", "das_ag")
        ]
    )
    assert results(many).equals(results(many.copy()))


def test_the_table_says_how_many_images_were_recognised():
    rows = [
        {"method": method, "settings": "", "prompt_id": name, "prompt": name, "negative": "", "seed": 1,
         "aesthetic_score": 5.0, "clip_positive": 0.5, "recognised": recognised}
        for method, name, recognised in [("das", "tiger", 1.0), ("das", "castle", 0.0), ("das_ag", "tiger", 1.0)]
    ]  # fmt: skip
    table = set_results(results(pd.DataFrame(rows)))
    place = table.heads.index("recognised ↑")
    assert [cells[place] for cells in table.rows] == ["1 of 2", "1 of 1"]


def test_an_evaluator_speaks_for_itself_below_the_table():
    scores = pd.DataFrame(
        [{"method": "das", "settings": "", "prompt_id": "tiger", "prompt": "a tiger", "negative": "", "seed": 1,
          "aesthetic_score": 5.0, "clip_positive": 0.5}]
    )  # fmt: skip
    sentences = caption(results(scores), "A judge", guided=False, remark="It rates sharpness alone.")
    assert sentences[1] == "It rates sharpness alone."


def test_the_best_seed_of_each_prompt_has_its_score_and_the_mean_beside_it():
    unscored = scores_of(("das", "heart", 3, float("nan")), ("das", "moon", 1, float("nan")))
    found = prompt_results(pd.concat([THREE, unscored]))
    assert set_best(found) == Table(
        ["prompt", "DAS", "DAS-AG", "DAS-rAG"],
        [
            ["heart", "seed 2: 5.000 (mean 4.500)", "seed 2: 7.000 (mean 6.000)", "seed 1: 3.250 (mean 3.250)"],
            ["star", "seed 1: 9.000 (mean 9.000)", "–", "–"],
            ["ring", "–", "seed 1: 6.000 (mean 6.000)", "–"],
        ],
        1,
    )
    assert about_best(found).startswith("Of each prompt: the seed with the highest of 1 to 2 scores")
    assert "raises its score by selection: do not compare methods" in about_best(found)


def test_of_equal_scores_the_first_seed_is_best_and_large_seeds_stay_exact():
    large = 2**63 - 1
    found = prompt_results(scores_of(("das", "a", large, 5.0), ("das", "a", 7, 5.0), ("das", "a", 8, 4.0)))
    assert found["best_seed"].tolist() == [large]
    recognised = scores_of(("das", "a", 1, float("nan")), ("das", "b", 1, 3.0)).assign(recognised=1.0)
    assert prompt_results(recognised)["best_seed"].isna().tolist() == [True, False]
    assert set_best(prompt_results(recognised)).rows == [["a", "–"], ["b", "seed 1: 3.000 (mean 3.000)"]]
