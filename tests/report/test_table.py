"""The results table as text, character by character."""

from __future__ import annotations

import math

import pandas as pd

from das_ag.report.table import markdown_table

CAPTION = (
    "Aesthetic score by Embedded judge, which guided none of the images; scale 1–10, ↑ better. std divides by n - 1."
)


def summary(*rows):
    return pd.DataFrame(list(rows), columns=["method", "settings", "mean", "std", "n"])


def test_table_of_three_methods():
    table = markdown_table(
        summary(
            ("das", "", 6.0, 2.6457513, 3), ("das_ag", "", 5.5, 0.70710678, 12), ("das_rag", "", 10.0, math.nan, 1)
        ),
        "Embedded judge",
    )
    assert table == (
        "| method  | mean ↑ |   std |   n |\n"
        "| ------- | -----: | ----: | --: |\n"
        "| DAS     |  6.000 | 2.646 |   3 |\n"
        "| DAS-AG  |  5.500 | 0.707 |  12 |\n"
        "| DAS-rAG | 10.000 |     – |   1 |\n"
        "\n" + CAPTION + "\n"
    )


def test_settings_have_a_column_where_they_differ():
    table = markdown_table(
        summary(("das", "ascent.steps=100", 6.0, 0.5, 2), ("das", "ascent.steps=20", 5.0, math.nan, 1)),
        "Embedded judge",
    )
    assert table == (
        "| method | settings         | mean ↑ |   std |   n |\n"
        "| ------ | ---------------- | -----: | ----: | --: |\n"
        "| DAS    | ascent.steps=100 |  6.000 | 0.500 |   2 |\n"
        "| DAS    | ascent.steps=20  |  5.000 |     – |   1 |\n"
        "\n" + CAPTION + "\n"
    )


def test_a_method_without_a_title_keeps_its_name():
    assert "| other  |" in markdown_table(summary(("other", "", 6.0, 0.5, 2)), "Embedded judge")


def test_the_evaluator_is_named():
    assert "Aesthetic score by Another predictor, which" in markdown_table(
        summary(("das", "", 6.0, 0.5, 2)), "Another predictor"
    )
