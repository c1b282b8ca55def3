"""The curves under a run."""

from __future__ import annotations

import pandas as pd

from das_ag.demo import charts

TRACE = pd.DataFrame({
    "step": [0.0, 1.0], "loss": [0.0, -1.0], "positive": [0.1, 0.2], "negative": [0.0, 0.0],
    "total_variation": [1.0, 1.0], "l1": [1.0, 1.0],
})  # fmt: skip


def test_a_guide_without_a_quality_head_has_no_curve_of_it():
    assert charts.shown({"das": TRACE}) == ["positive"]


def test_a_further_term_has_a_curve_of_its_own_by_name():
    traces = {"das": TRACE.assign(aesthetic=0.5, warm_light=[0.25, 0.125]), "das_ag": TRACE.assign(aesthetic=0.5)}
    assert charts.shown(traces) == ["positive", "aesthetic", "warm_light"]
    assert ">Warm light ↓<" in charts.curves(traces, "warm_light", 2, "light")
    assert charts.described(traces, "warm_light") == "Warm light, by step: DAS from 0.25 to 0.12."
    assert charts.described(traces, "aesthetic").startswith(
        "Guide’s score, 1–10, by step: DAS from 5.00 to 5.00; DAS-AG"
    )
