"""Tables of numbers from made-up scores, against numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest

from das_ag.errors import UserError
from das_ag.methods import METHODS
from das_ag.report import method_summary, paired_differences, score_table
from das_ag.report.statistics import COLUMNS, coverage, evaluators_of, is_guided_by, least_p
from das_ag.store.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "outputs" / "made_up")


def table_of(store):
    records, damaged = store.records()
    assert damaged == []
    return score_table(records, "tiny")


def test_columns(store, sample_of, put):
    put(store, sample_of(), 6.5)
    assert ", ".join(table_of(store).columns) == (
        "method, prompt_id, prompt, negative, seed, aesthetic_score, guide_aesthetic_score, clip_positive, "
        "clip_negative, image, image_sha256, key, settings"
    )


def test_a_row_holds_what_the_store_holds(store, sample_of, put):
    sample = sample_of(positive=("a red heart", "a heart"), negative=("blue",), method="das_ag", seed=7)
    put(store, sample, 6.5)
    (record,), _ = store.records()
    (row,) = table_of(store).to_dict("records")
    assert row == {
        "method": "das_ag",
        "prompt_id": "heart",
        "prompt": "a red heart | a heart",
        "negative": "blue",
        "seed": 7,
        "aesthetic_score": 6.5,
        "guide_aesthetic_score": 5.5,
        "clip_positive": 0.25,
        "clip_negative": 0.0,
        "image": f"samples/das_ag/heart-seed7-{sample.key[:12]}/image.png",
        "image_sha256": record.image_sha256,
        "key": sample.key,
        "settings": "",
    }
    assert (store.root / row["image"]).is_file()


def test_rows_are_ordered_by_method_then_prompt_then_seed(store, sample_of, put):
    for method in ("das_rag", "another", "das_ag", "das"):
        for prompt_id, seed in (("star", 1), ("heart", 10), ("heart", 9)):
            put(store, sample_of(prompt_id, method=method, seed=seed), 5.0)
    table = table_of(store)
    assert list(table.index) == list(range(12))
    assert list(dict.fromkeys(table["method"])) == ["das", "das_ag", "das_rag", "another"]
    for _, rows in table.groupby("method"):
        assert list(zip(rows["prompt_id"], rows["seed"], strict=True)) == [("heart", 9), ("heart", 10), ("star", 1)]
    assert list(method_summary(table)["method"]) == ["das", "das_ag", "das_rag", "another"]


def test_numbers_in_settings_and_names_are_ordered_by_their_values(store, sample_of, put):
    for steps in (100, 20, 5):
        for prompt_id in ("p10", "p2", "p1.5"):
            put(store, sample_of(prompt_id, steps=steps), 5.0)
    table = table_of(store)
    assert list(dict.fromkeys(table["settings"])) == ["steps=5", "steps=20", "steps=100"]
    assert table["prompt_id"].tolist() == ["p1.5", "p2", "p10"] * 3
    assert list(table.columns) == list(COLUMNS)


def test_mean_and_standard_deviation_by_hand(store, sample_of, put):
    for seed, score in enumerate([4.0, 5.0, 9.0]):
        put(store, sample_of(seed=seed), score)
    for seed, score in enumerate([5.0, 6.0]):
        put(store, sample_of(method="das_ag", seed=seed), score)
    put(store, sample_of(method="das_rag"), 3.25)
    summary = method_summary(table_of(store))
    assert list(summary.columns) == [
        "method", "settings", "mean", "low", "high", "std", "n", "prompts", "similarity", "recognised",
        "recognisable",
    ]  # fmt: skip
    assert set(summary["similarity"]) == {0.25}
    assert list(summary["n"]) == [3, 2, 1]
    # (4 + 5 + 9) / 3; the squares of -2, -1, 3 over 3 - 1; likewise ±0.5 over 2 - 1
    np.testing.assert_allclose(summary["mean"], [6.0, 5.5, 3.25])
    np.testing.assert_allclose(summary["std"][:2], [math.sqrt((4 + 1 + 9) / 2), math.sqrt(0.5)])
    assert math.isnan(summary["std"][2])


def test_samples_without_a_score_do_not_count(store, sample_of, put):
    put(store, sample_of(seed=1), 6.0)
    put(store, sample_of(seed=2))
    put(store, sample_of(method="das_ag"))
    table = table_of(store)
    assert table["aesthetic_score"].isna().tolist() == [False, True, True]
    summary = method_summary(table)
    assert summary[["method", "mean", "n"]].values.tolist() == [["das", 6.0, 1]]


def test_scores_of_another_evaluator_do_not_count(store, sample_of, put):
    put(store, sample_of(), 6.0)
    records, _ = store.records()
    assert score_table(records, "another")["aesthetic_score"].isna().all()


def test_samples_of_several_settings_are_kept_apart(store, sample_of, put):
    for steps, scores in ((20, [4.0, 6.0]), (100, [7.0])):
        for seed, score in enumerate(scores):
            put(store, sample_of(seed=seed, steps=steps), score)
            put(store, sample_of(seed=seed, steps=steps, method="das_ag"), score + 1)
    table = table_of(store)
    assert set(table["settings"]) == {"steps=20", "steps=100"}
    rows = method_summary(table).set_index(["method", "settings"])
    assert rows["mean"].to_dict() == {
        ("das", "steps=20"): 5.0,
        ("das", "steps=100"): 7.0,
        ("das_ag", "steps=20"): 6.0,
        ("das_ag", "steps=100"): 8.0,
    }
    assert rows["n"].tolist() == [2 if settings == "steps=20" else 1 for _, settings in rows.index]


def test_the_sign_of_the_method_is_no_difference_of_settings(store, sample_of, put):
    for method in METHODS:
        put(store, sample_of(method=method), 5.0)
    assert set(table_of(store)["settings"]) == {""}


def test_an_empty_store_gives_empty_tables():
    table = score_table([], "tiny")
    assert len(table) == 0
    assert len(table.columns) == 13
    assert method_summary(table).empty


def test_methods_are_compared_pair_by_pair(store, sample_of, put):
    for seed, (das, das_ag) in enumerate([(4.0, 5.0), (9.0, 12.0)]):
        put(store, sample_of(seed=seed), das)
        put(store, sample_of(seed=seed, method="das_ag"), das_ag)
    put(store, sample_of(seed=7), 100.0)  # without a partner, or with one that has no score, it does not count
    put(store, sample_of("star"), 100.0)
    put(store, sample_of("star", method="das_ag"))
    # Of two differences, 1 and 3, a resample has the mean 1, 2 or 3 with the chances ¼, ½, ¼.
    # Of the four ways to exchange partners, two have a mean of ±2: p = 2/4.
    assert paired_differences(table_of(store)).to_dict("records") == [
        {
            "method": "das_ag", "settings": "", "difference": 2.0, "low": 1.0, "high": 3.0, "p": 0.5, "n": 2,
            "prompts": 1, "unpaired": 0,
        }
    ]  # fmt: skip


def test_a_method_without_a_row_is_compared_like_the_others(store, sample_of, put):
    for seed, (das, das_ag, half) in enumerate([(4.0, 5.0, 4.5), (9.0, 12.0, 10.0)]):
        put(store, sample_of(seed=seed), das)
        put(store, sample_of(seed=seed, method="das_ag"), das_ag)
        put(store, sample_of(seed=seed, method="das_ag_half"), half)
    table = table_of(store)
    # (5 + 12) / 2 and so on; the differences are 1 and 3, and half as much
    means = dict(method_summary(table)[["method", "mean"]].itertuples(index=False))
    assert means == {"das": 6.5, "das_ag": 8.5, "das_ag_half": 7.25}
    rows = paired_differences(table).set_index("method")
    assert rows["difference"].to_dict() == {"das_ag": 2.0, "das_ag_half": 0.75}
    assert rows.loc["das_ag_half", ["low", "high", "p", "n", "unpaired"]].tolist() == [0.5, 1.0, 0.5, 2, 0]
    against = paired_differences(table, "das_ag_half").set_index("method")["difference"]
    assert against.to_dict() == {"das": -0.75, "das_ag": 1.25}


def test_the_interval_of_many_pairs_is_that_of_their_mean(store, sample_of, put):
    rng = np.random.default_rng(0)
    differences = rng.normal(0.5, 1.0, 50)
    for seed, difference in enumerate(differences):
        put(store, sample_of(seed=seed), 5.0)
        put(store, sample_of(seed=seed, method="das_rag"), 5.0 + difference)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    assert row == paired_differences(table_of(store)).to_dict("records")[0]
    assert row["n"] == 50
    assert row["difference"] == pytest.approx(differences.mean())
    half = 1.96 * differences.std() / math.sqrt(50)
    assert row["low"] == pytest.approx(differences.mean() - half, abs=0.05)
    assert row["high"] == pytest.approx(differences.mean() + half, abs=0.05)


def put_seeds(store, sample_of, put, n_prompts, n_seeds):
    """Differences to DAS that are the prompt's own, but for little; returns them, (prompts, seeds)."""
    rng = np.random.default_rng(3)
    differences = rng.normal(0.5, 1.0, (n_prompts, 1)) + rng.normal(0.0, 0.1, (n_prompts, n_seeds))
    for (prompt, seed), difference in np.ndenumerate(differences):
        put(store, sample_of(f"prompt_{prompt:02}", seed=seed), 5.0)
        put(store, sample_of(f"prompt_{prompt:02}", seed=seed, method="das_ag"), 5.0 + float(difference))
    return differences


def test_seeds_of_a_prompt_are_no_independent_evidence(store, sample_of, put):
    """What is drawn and exchanged are prompts: as if each were one image, with the mean of its seeds."""
    from scipy.stats import bootstrap

    means = put_seeds(store, sample_of, put, 8, 4).mean(axis=1)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    assert (row["n"], row["prompts"]) == (32, 8)
    interval = bootstrap((means,), np.mean, method="percentile", rng=5).confidence_interval
    assert row["low"] == pytest.approx(interval.low, abs=0.03)
    assert row["high"] == pytest.approx(interval.high, abs=0.03)
    # Of all 2**8 ways to exchange the methods in whole prompts, those with a mean at least as far from 0.
    signs = np.array(list(itertools.product([-1, 1], repeat=8)))
    assert row["p"] == pytest.approx((np.abs(signs @ means) >= abs(means.sum()) - 1e-12).mean())
    rows = method_summary(table_of(store)).set_index("method")
    assert rows["prompts"].tolist() == [8, 8]
    assert rows.loc["das_ag", "low"] == pytest.approx(5 + interval.low, abs=0.03)


def test_prompts_count_by_their_images_where_they_have_not_equally_many(store, sample_of, put):
    for prompt, scores in {"heart": [4.0], "star": [6.0, 7.0, 8.0]}.items():
        for seed, score in enumerate(scores):
            put(store, sample_of(prompt, seed=seed), score)
    (row,) = method_summary(table_of(store)).to_dict("records")
    assert (row["mean"], row["low"], row["high"]) == (6.25, 4.0, 7.0)  # drawn: heart twice, both, or star twice


def test_one_prompt_is_judged_by_its_seeds(store, sample_of, put):
    from scipy.stats import bootstrap

    (differences,) = put_seeds(store, sample_of, put, 1, 9)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    assert (row["n"], row["prompts"]) == (9, 1)
    interval = bootstrap((differences,), np.mean, method="percentile", rng=5).confidence_interval
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=0.01)
    assert row["p"] == pytest.approx(2 / 2**9)


def test_few_prompts_give_the_told_coverage_and_p(store, sample_of, put):
    """Against 1,500 made-up experiments of each size: six seeds, half of the variance between prompts."""
    measured = {2: 0.514, 3: 0.753, 4: 0.822, 6: 0.872, 9: 0.897, 12: 0.904, 20: 0.919}
    assert {k: coverage(k) for k in measured} == pytest.approx(measured, abs=0.02)
    put_seeds(store, sample_of, put, 3, 2)
    for sample in [sample_of(f"prompt_{k:02}", seed=s, method="das_rag") for k in range(3) for s in range(2)]:
        put(store, sample, 2.0)
    rows = paired_differences(table_of(store)).set_index("method")
    assert rows.loc["das_rag", "p"] == least_p(3) == 0.25


def test_many_prompts_that_all_agree_have_the_smallest_p(store, sample_of, put):
    """Of 9,999 exchanges drawn from 2**20, and what was observed: none other as far, on either side."""
    for prompt in range(20):
        put(store, sample_of(f"prompt_{prompt:02}"), 5.0)
        put(store, sample_of(f"prompt_{prompt:02}", method="das_ag"), 6.0)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    assert row["p"] == least_p(20) == 2 / 10_000


def test_equal_differences_have_no_spread(store, sample_of, put):
    for seed in range(3):
        put(store, sample_of(seed=seed), 5.0)
        put(store, sample_of(seed=seed, method="das_ag"), 5.5)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    assert (row["difference"], row["low"], row["high"], row["n"]) == (0.5, 0.5, 0.5, 3)
    assert row["p"] == 0.25  # two of the eight ways to exchange partners: all, and none


def test_one_pair_has_a_difference_without_an_interval(store, sample_of, put):
    put(store, sample_of(), 5.0)
    put(store, sample_of(method="das_ag"), 5.5)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    assert (row["difference"], row["n"]) == (0.5, 1)
    assert math.isnan(row["low"])
    assert math.isnan(row["high"])
    assert math.isnan(row["p"])


@pytest.mark.parametrize("samples", [[], [("das", 1)], [("das_ag", 1)], [("das", 1), ("das_ag", 2)]])
def test_without_pairs_there_is_no_difference(store, sample_of, put, samples):
    for method, seed in samples:
        put(store, sample_of(method=method, seed=seed), 5.0)
    assert paired_differences(table_of(store))["difference"].dropna().empty


def weighing(sample, **schedule):
    """The sample with that weight of the aesthetic score; None where nothing is given."""
    objective = {**sample.settings["objective"], "aesthetic": schedule or None}
    return dataclasses.replace(sample, settings={**sample.settings, "objective": objective})


def test_one_image_of_das_is_the_partner_of_all_that_weigh_the_score_otherwise(store, sample_of, put):
    for steps, seed in itertools.product((20, 100), (1, 2)):
        put(store, weighing(sample_of(steps=steps, seed=seed)), 5.0 + steps / 100 + seed)
        for end in (1.0, 10.0):
            guided = sample_of(method="das_ag", steps=steps, seed=seed)
            put(store, weighing(guided, start=0.0, end=end), 5.0 + steps / 100 + seed + end / 10)
    table = table_of(store)
    assert set(table.loc[table["method"] == "das", "settings"]) == {"steps=20", "steps=100"}
    rows = paired_differences(table)
    # the scores above differ by end / 10 alone
    assert [(row.settings, round(row.difference, 9), row.n, row.unpaired) for row in rows.itertuples()] == [
        ("objective.aesthetic.end=1.0, steps=20", 0.1, 2, 0),
        ("objective.aesthetic.end=10.0, steps=20", 1.0, 2, 0),
        ("objective.aesthetic.end=1.0, steps=100", 0.1, 2, 0),
        ("objective.aesthetic.end=10.0, steps=100", 1.0, 2, 0),
    ]


def test_a_method_without_a_row_that_weighs_the_score_otherwise_has_the_same_partner(store, sample_of, put):
    put(store, weighing(sample_of()), 5.0)
    put(store, weighing(sample_of(method="das_ag"), start=0.0, end=5.0), 7.0)
    half = weighing(sample_of(method="das_ag_half"), start=0.0, end=2.5)
    half.settings["objective"]["aesthetic_sign"] = 1
    put(store, half, 6.5)
    rows = paired_differences(table_of(store))
    assert rows[["method", "settings", "difference"]].values.tolist() == [
        ["das_ag", "objective.aesthetic.end=5.0", 2.0],
        ["das_ag_half", "objective.aesthetic.end=2.5", 1.5],
    ]


def test_images_of_das_that_differ_in_that_weight_alone_count_once(store, sample_of, put):
    """Earlier versions took it for a setting of DAS; what this one made is kept, or else the first."""
    for end in (1.0, 10.0):
        put(store, weighing(sample_of(seed=1), start=0.0, end=end), 5.0)
        put(store, weighing(sample_of(method="das_ag", seed=1), start=0.0, end=end), 5.0 + end / 10)
    table = table_of(store)
    assert method_summary(table)["n"].tolist() == [1, 1, 1]
    assert paired_differences(table)["difference"].round(9).tolist() == [0.1, 1.0]
    new = weighing(sample_of(seed=1))
    put(store, new, 6.0)
    table = table_of(store)
    assert table.loc[table["method"] == "das", "key"].tolist() == [new.key]
    assert paired_differences(table)["difference"].round(9).tolist() == [-0.9, 0.0]


def test_weights_of_a_baseline_that_has_some_pair_with_their_like(store, sample_of, put):
    for end in (1.0, 10.0):
        put(store, weighing(sample_of(method="das_ag"), start=0.0, end=end), 5.0 + end)
        put(store, weighing(sample_of(method="das_rag"), start=0.0, end=end), 4.0)
    assert paired_differences(table_of(store), "das_ag")["difference"].tolist() == [-2.0, -11.0]


def test_pairs_are_of_the_same_settings(store, sample_of, put):
    for steps, (das, das_ag) in ((20, (1.0, 2.0)), (100, (5.0, 8.0))):
        put(store, sample_of(steps=steps), das)
        put(store, sample_of(steps=steps, method="das_ag"), das_ag)
    put(store, sample_of(steps=7), 9.0)  # no partner
    rows = paired_differences(table_of(store)).to_dict("records")
    assert {(row["settings"], row["difference"]) for row in rows} == {
        ("steps=20", 1.0),
        ("steps=100", 3.0),
    }
    (together,) = paired_differences(table_of(store), within=[]).to_dict("records")
    assert (together["difference"], together["n"]) == (2.0, 2)


def test_pairs_are_of_the_same_texts(store_of_two_texts):
    table = table_of(store_of_two_texts)
    assert sorted(zip(table["method"], table["settings"], strict=True)) == [
        ("das", 'prompt="a red heart", negative="a blue square"'),
        ("das", 'prompt="a red heart", negative=none'),
        ("das_ag", 'prompt="a green triangle", negative=none'),
        ("das_ag", 'prompt="a red heart", negative=none'),
    ]
    (row,) = paired_differences(table).to_dict("records")
    assert (row["settings"], row["difference"], row["n"]) == ('prompt="a red heart", negative=none', 0.25, 1)
    assert method_summary(table)["n"].tolist() == [1] * 4
    (row,) = paired_differences(table, within=[]).to_dict("records")
    assert (row["difference"], row["n"], row["unpaired"]) == (0.25, 1, 1)


def test_several_partners_are_told(store, sample_of, put):
    put(store, sample_of(), 5.0)
    table = table_of(store)
    with pytest.raises(UserError, match=r"expected one sample .* got several for das, heart, seed 42; compare"):
        paired_differences(pd.concat([table, table.assign(aesthetic_score=6.0)]))
    assert paired_differences(pd.concat([table, table.assign(aesthetic_score=math.nan)])).empty  # which is no partner


def test_p_of_many_pairs_is_scipys(store, sample_of, put):
    from scipy.stats import permutation_test

    differences = np.random.default_rng(1).normal(0.3, 1.0, 30)
    for seed, difference in enumerate(differences):
        put(store, sample_of(seed=seed), 5.0)
        put(store, sample_of(seed=seed, method="das_ag"), 5.0 + difference)
    (row,) = paired_differences(table_of(store)).to_dict("records")
    expected = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=9_999, rng=7).pvalue
    assert row["p"] == pytest.approx(expected, abs=0.02)
    assert 0.01 < row["p"] < 0.6


def test_the_interval_of_a_mean_is_scipys(store, sample_of, put):
    from scipy.stats import bootstrap

    values = np.random.default_rng(2).normal(5.0, 1.0, 40)
    for seed, value in enumerate(values):
        put(store, sample_of(seed=seed), float(value))
    (row,) = method_summary(table_of(store)).to_dict("records")
    interval = bootstrap((values,), np.mean, method="percentile", rng=3).confidence_interval
    assert row["low"] == pytest.approx(interval.low, abs=0.03)
    assert row["high"] == pytest.approx(interval.high, abs=0.03)
    assert row["low"] < row["mean"] < row["high"]


def test_scores_of_several_evaluators_stand_side_by_side(store, sample_of, put):
    put(store, sample_of(seed=1), 6.0)
    put(store, sample_of(seed=2), 7.0)
    records, _ = store.records()
    store.write_score(records[1], "other", 3.5, "d" * 64, title="Another one")
    records, _ = store.records()
    assert evaluators_of(records) == {"tiny": "Tiny judge", "other": "Another one"}
    table = score_table(records, "tiny").set_index("seed")
    assert table["aesthetic_score"].to_dict() == {1: 6.0, 2: 7.0}
    assert table["score_other"].fillna(0).to_dict() == {1: 0.0, 2: 3.5}
    assert "score_tiny" in score_table(records, "other")


def test_evaluators_stand_by_how_many_samples_they_scored_then_by_name(store, sample_of, put):
    put(store, sample_of(seed=1))
    put(store, sample_of(seed=2))
    first, second = store.records()[0]
    for record, evaluator in ((first, "b"), (first, "c"), (second, "c"), (second, "a")):
        store.write_score(record, evaluator, 3.5, "x")
    assert list(evaluators_of(store.records()[0])) == ["c", "a", "b"]


def test_an_evaluator_that_guided_is_known_by_its_weights(store, sample_of, put):
    put(store, dataclasses.replace(sample_of(), settings={"weights": {"guide": "a" * 64}}), 6.0)
    (record,), _ = store.records()
    store.write_score(record, "judge", 3.5, "x", weights={"judge": "b" * 64})
    store.write_score(record, "guide", 3.5, "x", weights={"head": "a" * 64})
    put(store, sample_of(seed=7))  # scored by none
    records, _ = store.records()
    assert not is_guided_by(records, "tiny")
    assert not is_guided_by(records, "judge")
    assert is_guided_by(records, "guide")


def recognised_scores(**found):
    """Scores of DAS images of one prompt each, with what the evaluator said of recognising them."""
    rows = [
        {"method": "das", "settings": "", "prompt_id": name, "aesthetic_score": score, "clip_positive": 0.5,
         "recognised": recognised}
        for name, (score, recognised) in found.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_recognised_images_are_counted_among_those_that_can_be():
    nan = math.nan
    summary = method_summary(recognised_scores(tiger=(6.0, 1.0), castle=(5.0, 0.0), gloomy=(4.0, nan)))
    (row,) = summary.to_dict("records")
    assert (row["recognised"], row["recognisable"], row["n"], row["mean"]) == (1, 2, 3, 5.0)


def test_an_evaluator_that_only_recognises_has_no_mean():
    (row,) = method_summary(recognised_scores(tiger=(math.nan, 1.0), castle=(math.nan, 1.0))).to_dict("records")
    assert (row["recognised"], row["recognisable"], row["n"]) == (2, 2, 2)
    assert math.isnan(row["mean"])
    assert math.isnan(row["low"])
