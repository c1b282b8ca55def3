"""Tables of numbers from made-up scores, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from das_ag.experiment.store import Store
from das_ag.report import METHODS, method_summary, score_table


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "outputs" / "made_up")


def table_of(store):
    records, damaged = store.records()
    assert damaged == []
    return score_table(records, "embedded")


def test_columns(store, sample_of, put):
    put(store, sample_of(), 6.5)
    assert ", ".join(table_of(store).columns) == (
        "method, prompt_id, prompt, seed, aesthetic_score, guide_aesthetic_score, clip_positive, clip_negative, "
        "image, image_sha256, key, settings"
    )


def test_a_row_holds_what_the_store_holds(store, sample_of, put):
    sample = sample_of(positive=("a red heart", "a heart"), method="das_ag", seed=7)
    put(store, sample, 6.5)
    (record,), _ = store.records()
    (row,) = table_of(store).to_dict("records")
    assert row == {
        "method": "das_ag",
        "prompt_id": "heart",
        "prompt": "a red heart | a heart",
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
    assert METHODS == {"das": "DAS", "das_ag": "DAS-AG", "das_rag": "DAS-rAG"}
    for method in ("das_rag", "other", "das_ag", "das"):
        for prompt_id, seed in (("star", 1), ("heart", 10), ("heart", 9)):
            put(store, sample_of(prompt_id, method=method, seed=seed), 5.0)
    table = table_of(store)
    assert list(dict.fromkeys(table["method"])) == ["das", "das_ag", "das_rag", "other"]
    for _, rows in table.groupby("method"):
        assert list(zip(rows["prompt_id"], rows["seed"], strict=True)) == [("heart", 9), ("heart", 10), ("star", 1)]
    assert list(method_summary(table)["method"]) == ["das", "das_ag", "das_rag", "other"]


def test_mean_and_standard_deviation_by_hand(store, sample_of, put):
    for seed, score in enumerate([4.0, 5.0, 9.0]):
        put(store, sample_of(seed=seed), score)
    for seed, score in enumerate([5.0, 6.0]):
        put(store, sample_of(method="das_ag", seed=seed), score)
    put(store, sample_of(method="das_rag"), 3.25)
    summary = method_summary(table_of(store))
    assert list(summary.columns) == ["method", "settings", "mean", "std", "n"]
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
    assert set(table["settings"]) == {"ascent.steps=20", "ascent.steps=100"}
    rows = method_summary(table).set_index(["method", "settings"])
    assert rows["mean"].to_dict() == {
        ("das", "ascent.steps=20"): 5.0,
        ("das", "ascent.steps=100"): 7.0,
        ("das_ag", "ascent.steps=20"): 6.0,
        ("das_ag", "ascent.steps=100"): 8.0,
    }
    assert rows["n"].tolist() == [2 if settings == "ascent.steps=20" else 1 for _, settings in rows.index]


def test_the_sign_of_the_method_is_no_difference_of_settings(store, sample_of, put):
    for method in METHODS:
        put(store, sample_of(method=method), 5.0)
    assert set(table_of(store)["settings"]) == {""}


def test_an_empty_store_gives_empty_tables():
    table = score_table([], "embedded")
    assert len(table) == 0
    assert len(table.columns) == 12
    assert method_summary(table).empty
