"""What the figures show: the data that they were given, named, on any store."""

from __future__ import annotations

import doctest
import itertools
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from reference import ROOT

from das_ag.errors import UserError
from das_ag.generation.generate import generate
from das_ag.methods import methods_of
from das_ag.report import method_summary, plots, score_table
from das_ag.report.plots import (
    fidelity_figure,
    fooling_figure,
    images_figure,
    pyramid_figure,
    response_figure,
    save,
    scores_figure,
    seeds_figure,
    trajectories_figure,
    write_plots,
)
from das_ag.report.plots.pyramid import chosen_levels, contributions, slope
from das_ag.report.plots.resize import widen
from das_ag.report.plots.response import swept_number
from das_ag.report.plots.style import groups_of
from das_ag.report.traces import COLUMNS, trace_table
from das_ag.store.store import Store
from das_ag.synthesis.resize import resize

VECTOR = ("scores", "fidelity", "guide", "trajectories")
METHODS = ("das", "das_ag", "das_rag")
LOOKS = methods_of(METHODS)


def table(n=3, methods=METHODS, settings=("",), prompts=("heart",)):
    """Made-up scores of n seeds; no two are equal."""
    random = np.random.default_rng(0)
    rows = [
        {
            "method": method,
            "settings": label,
            "prompt_id": prompt,
            "prompt": f"a red {prompt}",
            "negative": "",
            "seed": seed,
        }
        for method in methods
        for label in settings
        for prompt in prompts
        for seed in range(n)
    ]
    numbers = {
        "aesthetic_score": random.uniform(2, 9, len(rows)),
        "guide_aesthetic_score": random.uniform(2, 9, len(rows)),
        "clip_positive": random.uniform(0.2, 0.3, len(rows)),
        "clip_negative": 0.0,
    }
    return pd.DataFrame(rows).assign(**numbers, image=[f"{place}.png" for place in range(len(rows))])


def points_of(axes):
    """(x, y) of every point that is drawn."""
    drawn = [c for c in axes.collections if isinstance(c, PathCollection)]
    return np.concatenate([np.asarray(c.get_offsets()) for c in drawn]) if drawn else np.empty((0, 2))


def lines_of(axes):
    """The lines that join pairs; those of error bars are black."""
    drawn = [c for c in axes.collections if isinstance(c, LineCollection)]
    return [line for c in drawn if to_rgb(c.get_colors()[0]) != (0, 0, 0) for line in c.get_segments()]


def words_of(figure):
    """All that is written below and in a figure."""
    axes = [text.get_text() for a in figure.axes for text in a.texts]
    return " ".join([figure.get_supxlabel(), *axes]).replace("\n", " ")


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def grey(_):
    return np.full((6, 6, 3), 128, dtype=np.uint8)


def test_methods_without_a_row_are_drawn_last_and_can_be_told_apart():
    scores = table(3, ("das_rag", "mine", "das", "das_ag_half"))
    groups = groups_of(scores)
    assert [group.name for group in groups] == ["DAS", "DAS-rAG", "das_ag_half", "mine"]
    assert len({group.colour for group in groups}) == len({group.marker for group in groups}) == 4
    assert legend_of(fidelity_figure(scores, "judge").axes[0]) == [f"{group.name}, n = 3" for group in groups]
    assert legend_of(trajectories_figure(traces(1, ("das", "das_ag_half"))).axes[0])[1] == "das_ag_half, n = 1"


@pytest.mark.parametrize("method", [*METHODS, "das_ag_half", "mine"])
def test_six_settings_of_a_method_differ(method):
    groups = groups_of(table(1, (method,), settings=tuple(f"steps={steps}" for steps in range(6))))
    assert len({(group.marker, group.face) for group in groups}) == 6


@pytest.mark.parametrize("n", [1, 3, 9, 10, 40])
def test_every_score_is_shown_and_boxes_only_where_they_say_more(n):
    scores = table(n)
    (axes,) = scores_figure(scores, "judge").axes
    np.testing.assert_allclose(sorted(points_of(axes)[:, 1]), sorted(scores["aesthetic_score"]))
    assert len(axes.patches) == (3 if n >= 10 else 0)
    assert ("Boxes" in words_of(axes.figure)) == (n >= 10)
    for place, method in enumerate(METHODS):
        expected = scores.loc[scores["method"] == method, "aesthetic_score"]
        near = points_of(axes)[np.abs(points_of(axes)[:, 0] - place) < 0.3]
        np.testing.assert_allclose(sorted(near[:, 1]), sorted(expected))


def test_pairs_are_joined_where_every_method_has_one():
    scores = table(3)
    missing = scores[(scores["method"] != "das_ag") | (scores["seed"] != 1)]
    (axes,) = scores_figure(missing, "judge").axes
    lines = lines_of(axes)
    assert len(lines) == 2
    for seed, line in zip((0, 2), lines, strict=True):
        by_method = missing[missing["seed"] == seed].set_index("method")["aesthetic_score"]
        np.testing.assert_allclose([y for _, y in line], [by_method[method] for method in METHODS])
        assert np.abs([x for x, _ in line] - np.arange(3)).max() < 0.3


def test_settings_are_never_joined_with_each_other():
    (axes,) = scores_figure(table(2, settings=("steps=1", "steps=2")), "judge").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        f"{method}\nsteps {steps}\nn = 2" for steps in (1, 2) for method in ("DAS", "DAS-AG", "DAS-rAG")
    ]
    assert sorted(round(float(line[:, 0].mean())) for line in lines_of(axes)) == [1, 1, 4, 4]


def test_lines_never_run_from_value_to_value_of_a_sweep():
    weights = tuple(f"objective.aesthetic.end={end}" for end in (1.0, 10.0))
    das = table(2, ("das",))
    (axes,) = scores_figure(pd.concat([das, table(2, ("das_ag",), weights)]), "judge").axes
    assert lines_of(axes) == []
    (axes,) = scores_figure(pd.concat([das, table(2, ("das_ag",), weights[:1])]), "judge").axes
    assert [[round(x) for x, _ in line] for line in lines_of(axes)] == [[0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["", "objective.aesthetic.end=2.0", "objective.aesthetic.end=5.0"], "objective.aesthetic.end"),
        (["steps=20, views.count=1", "steps=100, views.count=1", "steps=100, views.count=2"], "steps"),
        (["steps=20, views.count=1", "steps=20, views.count=2", "steps=20, views.count=3"], "views.count"),
        (["steps=20, views.count=1", "steps=100, views.count=2"], ""),  # they vary together, so neither has a curve
        (["precision=float32", "precision=bfloat16"], ""),
        (["betas=[0.5, 0.9]", "betas=[0.1, 0.9]"], ""),
        (["l1=0.5", "l1=–"], ""),
        (["l1=0.5", "l1=nan"], ""),
        (["", ""], ""),
        ([], ""),
    ],
)
def test_the_number_of_a_sweep_is_found(labels, name):
    assert swept_number(labels) == name


def curves_of(axes):
    """(x, y) of each curve by colour, and the height of each horizontal line; the legend's lines are empty."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata())]
    return {line.get_color(): np.asarray(line.get_xydata()).round(9).tolist() for line in lines}


def test_a_sweep_has_a_curve_for_each_method_and_das_a_horizontal_line():
    weights = (2.0, 5.0, 8.0)
    labels = tuple(f"objective.aesthetic.end={weight}" for weight in weights)
    scores = pd.concat([table(2, ("das",), prompts="abc"), table(2, ("das_ag", "das_rag"), labels, "abc")])
    figure = response_figure(scores, "the judge")
    expected = method_summary(scores).set_index(["method", "settings"])
    for axes, column in zip(figure.axes, ("aesthetic_score", "clip_positive"), strict=True):
        means = scores.groupby(["method", "settings"])[column].mean()
        curves = curves_of(axes)
        assert [y for _, y in curves[LOOKS[0].colour]] == pytest.approx([means["das", ""]] * 2)
        for method in LOOKS[1:]:
            y = [means[method.name, label] for label in labels]
            np.testing.assert_allclose(curves[method.colour], np.column_stack([weights, y]))
        assert axes.get_xscale() == "linear"
    upper, lower = figure.axes
    band = next(c for c in upper.collections if to_rgb(c.get_facecolor()[0][:3]) == to_rgb(LOOKS[1].colour))
    outline = band.get_paths()[0].vertices
    at_five = outline[outline[:, 0] == 5.0, 1]
    row = expected.loc[("das_ag", labels[1])]
    assert [at_five.min(), at_five.max()] == pytest.approx([row["low"], row["high"]])
    assert legend_of(upper) == ["DAS, which ignores it", "DAS-AG", "DAS-rAG"]
    assert lower.get_xlabel() == "objective.aesthetic.end"
    assert "n = 6" in words_of(figure)
    assert "interval of the mean over prompts" in words_of(figure)


def test_a_second_number_has_a_panel_for_each_value():
    both = tuple(f"objective.aesthetic.end={end}, steps={steps}" for end in (10.0, 9.0) for steps in (5, 20, 100))
    scores = pd.concat([table(1, ("das",), ("steps=5", "steps=20", "steps=100")), table(1, ("das_ag",), both)])
    figure = response_figure(scores, "judge")
    *_, left, right = figure.axes
    assert [axes.get_xlabel() for axes in (left, right)] == [
        "steps\naesthetic weight 9", "steps\naesthetic weight 10",
    ]  # fmt: skip
    das, das_ag = LOOKS[0].colour, LOOKS[1].colour
    assert curves_of(left)[das] == curves_of(right)[das]
    assert curves_of(left)[das_ag] != curves_of(right)[das_ag]
    assert "Bands" not in words_of(figure)  # one image has no interval
    many = tuple(f"steps={steps}, views.count={views}" for steps in (5, 6) for views in range(7))
    figure = response_figure(table(1, ("das",), many), "judge")
    assert len(figure.axes) == 2 * 2  # views.count takes more values than steps
    ten = tuple(f"steps={steps}, views.count={views}" for steps in range(9) for views in range(7))
    assert "Panels not shown: 2." in words_of(response_figure(table(1, ("das",), ten), "judge"))


@pytest.mark.parametrize(
    ("values", "scale", "shown"),
    [
        (("1.0", "10.0", "100.0"), "log", ["1", "10", "100"]),
        (("0.0", "0.01", "1.0"), "symlog", ["0", "0.01", "1"]),
        (("20", "100"), "linear", None),
        (("-100.0", "1.0"), "linear", None),
        (("0", "5"), "linear", None),
    ],
)
def test_values_that_span_decades_have_a_logarithmic_axis(values, scale, shown):
    axes = response_figure(table(1, settings=tuple(f"l1={value}" for value in values)), "judge").axes[-1]
    assert axes.get_xscale() == scale
    if shown:
        assert [label.get_text() for label in axes.get_xticklabels()] == shown


def test_the_response_is_among_the_plots_of_a_sweep(tmp_path, sample_of, put):
    store = Store(tmp_path / "store")
    for steps in (5, 20, 100):
        put(store, sample_of(steps=steps), 6.0)
    assert plot(store, tmp_path / "plots") == []
    assert {"response.png", "response.svg"} <= {path.name for path in (tmp_path / "plots").iterdir()}


def test_what_is_no_sweep_over_a_number_has_no_response(store_of_two_texts):
    assert response_figure(table(2), "judge") is None
    assert response_figure(table(1, settings=("precision=float32", "precision=bfloat16")), "judge") is None
    assert response_figure(score_table(store_of_two_texts.records()[0], "tiny"), "judge") is None
    unscored = table(1, settings=("l1=1", "l1=2")).assign(aesthetic_score=np.nan)
    assert response_figure(unscored, "judge") is None


def test_images_of_different_texts_are_never_joined(store_of_two_texts):
    """Of the four images by two methods, two have the same prompt and negative prompt."""
    scores = score_table(store_of_two_texts.records()[0], "tiny")
    (axes,) = scores_figure(scores, "judge").axes
    (line,) = lines_of(axes)
    assert sorted(y for _, y in line) == [5.0, 5.25]


def test_labels_are_short_words_and_a_list_stays_in_one_piece():
    label = 'ascent.betas=[0.5, 0.9], objective.aesthetic.end=5.0, prompt="a heart, seed=7", negative=none'
    (group,) = groups_of(table(1, ("das",), settings=(label,)))
    assert group.heading(26) == (
        'DAS\nascent betas [0.5, 0.9]\naesthetic weight 5\nprompt "a heart, seed=7"\nnegative none'
    )
    assert group.heading(13).splitlines() == [
        "DAS", "ascent betas", "[0.5, 0.9]", "aesthetic", "weight 5", 'prompt "a', "heart,", 'seed=7"', "negative none",
    ]  # fmt: skip
    assert group.name.startswith("DAS, ascent betas [0.5, 0.9], aesthetic weight 5, prompt")


def test_a_long_label_is_broken_within_the_figure():
    text = f'"{"a red heart " * 6}"'
    figure = fidelity_figure(table(1, ("das",), settings=(f"prompt={text}, negative={text}", "")), "judge")
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    assert " ".join(legend_of(figure.axes[0])[1].split("\n")) == f"DAS, prompt {text}, negative {text}, n = 1"


def test_experiments_keep_their_order():
    labels = ("experiment=b", 'experiment="10", steps=100', 'experiment="10", steps=20')
    assert [group.settings for group in groups_of(table(1, ("das",), labels))] == [labels[0], labels[2], labels[1]]


def test_many_pairs_are_thinned_and_that_is_said():
    (axes,) = (figure := scores_figure(table(400), "judge")).axes
    assert len(lines_of(axes)) == 300
    assert "300 of 400" in words_of(figure)
    assert len(points_of(axes)) == 1200


def test_unscored_images_are_counted():
    scores = table(4)
    scores.loc[[0, 5], "aesthetic_score"] = np.nan
    for figure in (scores_figure(scores, "j"), fidelity_figure(scores, "j"), fooling_figure(scores, "j")):
        assert "Images not shown, because of missing scores: 2 of 12." in words_of(figure)
        assert len(points_of(figure.axes[0])) == 10


@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_fidelity_is_similarity_with_the_prompt(negative):
    scores = table(5).assign(clip_negative=negative)
    (axes,) = fidelity_figure(scores, "the judge").axes
    expected = np.column_stack([scores["clip_positive"] - negative, scores["aesthetic_score"]])
    np.testing.assert_allclose(points_of(axes), expected)
    assert ("negative" in axes.get_xlabel()) == (negative > 0)
    assert "cosine" in axes.get_xlabel()
    assert "→" in axes.get_xlabel()
    assert "↑ better" in axes.get_ylabel()
    assert "the judge" in axes.get_title(loc="left")
    assert legend_of(axes) == ["DAS, n = 5", "DAS-AG, n = 5", "DAS-rAG, n = 5"]


def thick_lines_of(axes):
    """Lower and upper end of each interval, by the place of its mean."""
    return {line.get_xdata()[0]: tuple(line.get_ydata()) for line in axes.get_lines() if line.get_linewidth() == 4.5}


def test_intervals_of_the_table_and_deviations_are_both_shown_and_named():
    scores = table(4, prompts=("heart", "star", "moon"), settings=("steps=1", "steps=2"))
    numbers = method_summary(scores)
    assert (numbers["std"] > numbers["high"] - numbers["mean"]).all()  # so that one cannot be taken for the other
    expected = sorted(zip(numbers["low"], numbers["high"], strict=True))
    for figure in (scores_figure(scores, "j"), fidelity_figure(scores, "j"), fooling_figure(scores, "j")):
        (axes,) = figure.axes
        assert sorted(thick_lines_of(axes).values()) == expected
        bars = [path for c in axes.containers for path in c.lines[2][-1].get_segments()]
        deviations = sorted((high - low) / 2 for (_, low), (_, high) in bars)
        np.testing.assert_allclose(deviations, sorted(numbers["std"]))
        assert "Thick line: 95 % interval of the mean score, as in the table." in words_of(figure)
        assert "Thin lines with caps: ± standard deviation of the images" in words_of(figure)


def test_a_lone_image_has_no_interval_and_no_deviation():
    for figure in (scores_figure(table(1), "j"), fidelity_figure(table(1), "j")):
        assert np.isnan([*thick_lines_of(figure.axes[0]).values()]).all()
        assert "Thick line" not in words_of(figure)


def test_a_fooled_guide_is_seen():
    scores = table(6)
    ranks = np.tile(np.arange(6.0), 3)
    scores["guide_aesthetic_score"] = 3 + ranks
    scores["aesthetic_score"] = np.concatenate([2 + ranks[:6] ** 1.1, 9 - ranks[:6], np.full(6, 5.0)])
    (axes,) = fooling_figure(scores, "judge").axes
    np.testing.assert_allclose(points_of(axes), scores[["guide_aesthetic_score", "aesthetic_score"]])
    assert [label.split("ρ = ")[1] for label in legend_of(axes)] == ["1.00", "−1.00", "–"]
    assert "1–10" in axes.get_xlabel()
    identity = [line.get_xydata() for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert len(identity) == 1
    np.testing.assert_allclose(identity[0][:, 0], identity[0][:, 1])


def test_there_is_no_identity_line_where_guide_and_evaluator_never_meet():
    scores = table(3).assign(guide_aesthetic_score=[1.0, 1.1, 1.2] * 3, aesthetic_score=[7.0, 7.1, 7.2] * 3)
    (axes,) = (figure := fooling_figure(scores, "judge")).axes
    assert not [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert "Dashed" not in words_of(figure)


def test_axes_name_the_scale_of_the_evaluator():
    """A guide's score from 1 to 10 and a score from 0 to 100 have no line of equal scores."""
    scores = table(6).assign(
        guide_aesthetic_score=np.tile(np.arange(6.0), 3), aesthetic_score=np.tile(np.arange(6.0), 3)
    )
    scores.attrs["scale"] = (0.0, 100.0)
    sheet = images_figure(scores, lambda _: np.zeros((8, 8, 3), np.uint8))
    assert "score by the evaluator, 0–100" in words_of(sheet)
    for draw in (scores_figure, fidelity_figure, fooling_figure):
        (axes,) = (figure := draw(scores, "judge")).axes
        assert axes.get_ylabel() == "score, 0–100 (↑ better)"
        assert "Dashed" not in words_of(figure)
    assert "score by the guide, 1–10" in axes.get_xlabel()


def traces(n, methods=METHODS):
    steps = np.arange(4)
    return pd.concat(
        pd.DataFrame({
            "method": method, "settings": "", "prompt_id": "heart", "seed": seed, "key": f"{method}{seed}",
            "step": steps, "loss": 3.0 - steps + seed, "positive": 0.1 * steps, "aesthetic": 0.3 + 0.1 * seed,
        })
        for method in methods for seed in range(n)
    )  # fmt: skip


@pytest.mark.parametrize(("n", "low", "high"), [(2, 3.0, 4.0), (5, 5 - 2.5**0.5, 5 + 2.5**0.5)])
def test_trajectories_show_mean_and_band(n, low, high):
    loss, similarity, aesthetic = (figure := trajectories_figure(traces(n))).axes
    for line in loss.get_lines():
        np.testing.assert_allclose(line.get_ydata(), 3.0 - np.arange(4) + (n - 1) / 2)
    np.testing.assert_allclose(aesthetic.get_lines()[0].get_ydata(), 3 + (n - 1) / 2)  # the head's score is over 10
    np.testing.assert_allclose(similarity.get_lines()[0].get_ydata(), [0, 0.1, 0.2, 0.3])
    outline = loss.collections[0].get_paths()[0].vertices
    at_start = outline[outline[:, 0] == 0, 1]
    np.testing.assert_allclose([at_start.min(), at_start.max()], [low, high])
    assert ("minimum to maximum" in words_of(figure)) == (n < 3)
    assert f"DAS-AG, n = {n}" in legend_of(loss)
    assert "↓" in loss.get_ylabel()
    assert "1–10" in aesthetic.get_ylabel()
    assert {axes.get_xlabel() for axes in figure.axes} == {"step of the optimiser"}


def test_the_band_of_a_penalty_ends_at_zero_and_the_panels_keep_a_distance():
    figure = trajectories_figure(traces(4).assign(saturation=lambda rows: np.where(rows["seed"] == 3, 0.1, 0.0)))
    for axes, least in zip((figure.axes[-1], figure.axes[0]), (0.0, 3 - 3 + 1.5 - (5 / 3) ** 0.5), strict=True):
        outline = axes.collections[0].get_paths()[0].vertices
        assert outline[:, 1].min() == pytest.approx(least)
    FigureCanvasAgg(figure).draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert min(right.x0 - left.x1 for left, right in itertools.pairwise(boxes)) > 0.15 * figure.dpi


def test_a_group_looks_the_same_in_all_plots(tmp_path, sample_of, put):
    store = Store(tmp_path)
    for steps in (100, 5, 20):
        for method in ("das_ag", "das"):
            put(store, sample_of(method=method, steps=steps), 6.0)
    records = store.records()[0]
    assert groups_of(trace_table(store, records)[0]) == groups_of(score_table(records, "tiny"))


def test_traces_of_a_store_are_one_table_and_damage_is_named(tmp_path, sample_of, put):
    store = Store(tmp_path)
    for seed in range(3):
        put(store, sample_of(seed=seed))
    put(store, other := sample_of(seed=0, steps=50))
    gone = store.root / sample_of(seed=1).folder
    (gone / "trace.csv").write_text("step,loss\n0,many\n")
    found, (sentence,) = trace_table(store, store.records()[0])
    assert gone.name in sentence
    assert sorted(found["seed"]) == [0, 0, 2]
    assert list(found.index) == [0, 1, 2]
    assert found.loc[found["key"] == other.key, "settings"].tolist() == ["steps=50"]
    assert found["loss"].tolist() == [1.5] * 3
    assert found["l1"].isna().all()
    assert "not recorded" in words_of(trajectories_figure(found))


@pytest.mark.parametrize(
    "text", ["", "step,loss\n", "step,loss\n0,\n", "step,loss\n,1\n", "loss\n1\n", "step,loss\n0,1\n0,2\n"]
)
def test_a_trace_without_a_loss_for_each_step_is_named_and_left_out(tmp_path, sample_of, put, text):
    store = Store(tmp_path)
    folder = put(store, sample_of())
    (folder / "trace.csv").write_text(text)
    found, (sentence,) = trace_table(store, store.records()[0])
    assert sentence.startswith(str(folder))
    assert found.empty
    assert list(found.columns) == list(COLUMNS)
    assert trace_table(store, [])[1] == []


def test_the_sheet_has_prompts_down_and_methods_across():
    scores = table(2, prompts=("heart", "star"))
    scores.loc[scores["image"] == "0.png", "aesthetic_score"] = np.nan
    scores = scores[(scores["method"] != "das_ag") | (scores["prompt_id"] != "star")]
    shown = []
    figure = images_figure(scores, lambda path: shown.append(path) or grey(path))
    grid = np.array(figure.axes).reshape(2, 3)
    assert [axes.get_title() for axes in grid[0]] == ["DAS", "DAS-AG", "DAS-rAG"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["a red heart", "a red star"]
    of_seed = scores[scores["seed"] == 0].set_index(["method", "prompt_id"])
    assert sorted(shown) == sorted(of_seed["image"])
    assert grid[0, 0].get_xlabel() == "not scored"
    assert grid[1, 2].get_xlabel() == f"{of_seed.loc[('das_rag', 'star'), 'aesthetic_score']:.2f}"
    assert not grid[1, 1].images
    assert "seed 0" in words_of(figure)


def test_the_sheet_shows_every_prompt_with_a_seed_of_its_own():
    scores = table(2, prompts=("heart", "star"))
    scores["seed"] += scores["prompt_id"].map({"heart": 5, "star": 90})
    shown = []
    figure = images_figure(scores, lambda path: shown.append(path) or grey(path))
    assert sorted(shown) == sorted(scores.loc[scores["seed"].isin([5, 90]), "image"])
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["a red heart\nseed 5", "a red star\nseed 90"]
    assert "with the prompt's smallest seed" in words_of(figure)


def test_the_sheet_has_a_row_for_each_text_of_a_prompt(store_of_two_texts):
    scores = score_table(store_of_two_texts.records()[0], "tiny")
    figure = images_figure(scores, grey)
    grid = np.array(figure.axes).reshape(3, 2)
    assert [axes.get_title() for axes in grid[0]] == ["DAS", "DAS-AG"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == [
        "a red heart\nnegative: a blue\nsquare", "a red heart\nnegative: none", "a green triangle",
    ]  # fmt: skip
    assert [[axes.get_xlabel() for axes in row] for row in grid] == [["4.00", ""], ["5.00", "5.25"], ["", "7.00"]]


def test_a_sheet_of_many_prompts_says_what_it_leaves_out():
    scores = table(1, prompts=tuple("abcdefghijk"), settings=("steps=1", "steps=2"))
    figure = images_figure(scores, grey)
    assert len(figure.axes) == 8 * 6
    assert "Prompts not shown: 3." in words_of(figure)
    assert [axes.get_title() for axes in figure.axes[:6]] == [
        f"{method}\nsteps {steps}" for steps in (1, 2) for method in ("DAS", "DAS-AG", "DAS-rAG")
    ]


def test_all_seeds_of_a_prompt_and_method_stand_in_a_row_and_the_best_is_framed():
    scores = table(3, ("das", "das_ag"), prompts=("heart", "star"))
    scores["seed"] += scores["prompt_id"].map({"heart": 5, "star": 90})
    scores.loc[scores["image"] == "1.png", "aesthetic_score"] = np.nan
    scores = scores[scores["image"] != "8.png"]  # the last of DAS-AG and heart
    shown = []
    grid = np.array(seeds_figure(scores, lambda path: shown.append(path) or grey(path)).axes).reshape(4, 3)
    labels = ["a red heart\nDAS", "a red heart\nDAS-AG", "a red star\nDAS", "a red star\nDAS-AG"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == labels
    assert [path.removesuffix(".png") for path in shown] == ["0", "1", "2", "6", "7", "3", "4", "5", "9", "10", "11"]
    value = scores.set_index("image")["aesthetic_score"]
    assert [axes.get_xlabel() for axes in grid[0]] == [
        f"seed 5: {value['0.png']:.2f}", "seed 6: not scored", f"seed 7: {value['2.png']:.2f}",
    ]  # fmt: skip
    assert [axes.get_xlabel().split(":")[0] for axes in grid[1]] == ["seed 5", "seed 6", ""]
    assert [axes.spines["left"].get_visible() for axes in grid[0]] == [
        value["0.png"] > value["2.png"], False, value["0.png"] < value["2.png"],
    ]  # fmt: skip


def test_the_sheet_of_seeds_says_what_it_leaves_out_and_is_missing_without_a_choice(store_of_two_texts):
    figure = seeds_figure(table(13, prompts=tuple("abcdef")), grey)
    assert len(figure.axes) == 16 * 12
    assert "Rows not shown: 2. Seeds not shown: 1." in words_of(figure)
    assert "not shown" not in words_of(seeds_figure(table(2), grey))
    assert seeds_figure(table(1, settings=("steps=1", "steps=2")), grey) is None
    assert seeds_figure(score_table(store_of_two_texts.records()[0], "tiny"), grey) is None
    assert seeds_figure(table(1).iloc[:0], grey) is None


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("small", "large"), [(1, 7), (3, 32), (16, 32), (32, 32), (45, 64), (64, 96)])
def test_levels_are_widened_as_the_synthesis_does(interpolation, small, large):
    level = np.random.default_rng(0).normal(size=(3, small, small)).astype(np.float32)
    expected = resize(torch.from_numpy(level), (large, large), interpolation).numpy()
    np.testing.assert_allclose(widen(level, large, interpolation), expected, atol=2e-5)  # torch rounds its weights


def test_an_unknown_interpolation_is_told():
    with pytest.raises(UserError, match="expected one of bilinear, bicubic, nearest, got 'lanczos'"):
        widen(np.zeros((3, 2, 2), np.float32), 4, "lanczos")


@pytest.fixture(scope="module")
def made(plan_of, tiny, tmp_path_factory):
    """Small runs of each way to build a pyramid, in one store."""
    store = Store(tmp_path_factory.mktemp("made") / "outputs")
    variants = [
        (),
        ("pyramid=all_resolutions", "pyramid.initial=scaled_noise", "pyramid.interpolation=bicubic"),
        ("pyramid.gamut=clip_normalised", "pyramid.combine=sum", "pyramid.interpolation=nearest"),
    ]
    for variant in variants:
        plan = plan_of(*tiny, "prompts=own", "prompts.positive={heart: a red heart}", *variant)
        assert generate(plan, store).made == 1
    return store


def test_the_levels_add_up_to_the_stored_image(made):
    records, _ = made.records()
    assert len(records) == 3
    for record in records:
        settings, image = record.sample.settings["pyramid"], made.read_image(record.image)
        levels = made.read_levels(record)
        parts = contributions(levels, settings, image.shape[0])
        np.testing.assert_allclose(parts.sums[-1] * 255, image, atol=2)
        figure = pyramid_figure(levels, settings, image, "DAS, a red heart")
        *pictures, energy = figure.axes
        assert len(pictures) == 2 * len(parts.shown) <= 20
        np.testing.assert_array_equal(pictures[-1].images[0].get_array(), np.clip(parts.sums[-1], 0, 1))
        assert "equals the stored image" in words_of(figure)
        assert energy.get_xlabel() == "side of the level, px"
        np.testing.assert_array_equal(energy.get_lines()[0].get_xdata(), [level.shape[-1] for level in levels])


def test_another_image_is_not_taken_for_the_pyramids(made):
    record = made.records()[0][0]
    settings, image = record.sample.settings["pyramid"], made.read_image(record.image)
    figure = pyramid_figure(made.read_levels(record), settings, 255 - image, "DAS")
    assert "differs from the stored image" in words_of(figure)


@pytest.mark.parametrize(
    ("n", "side", "found"), [(0, 4, "found no levels"), (1, 9, "the image, 9 px, is larger than the canvas, 8 px")]
)
def test_a_pyramid_that_cannot_be_is_told(n, side, found):
    settings = {"canvas_px": 8, "combine": "sum", "interpolation": "bilinear", "gamut": "full"}
    image = np.zeros((side, side, 3), np.uint8)
    with pytest.raises(UserError, match=f"pyramid: {found}; delete"):
        pyramid_figure([np.zeros((3, 1, 1), np.float32)] * n, settings, image, "DAS")


@pytest.mark.parametrize("n", [1, 7, 10, 11, 224, 512])
def test_few_levels_are_shown_and_the_ends_among_them(n):
    shown = chosen_levels(n)
    assert shown[0] == 0
    assert shown[-1] == n - 1
    assert len(shown) <= 10
    assert list(shown) == sorted(set(shown))


def test_the_slope_of_a_power_law_is_found():
    sizes = [1, 2, 4, 8, 16]
    energy = 3.0 * np.array(sizes, float) ** -1.75
    assert slope(sizes, energy) == pytest.approx((-1.75, 3.0))
    energy[2] = 0  # such a level has no place on log-log axes
    assert slope(sizes, energy) == pytest.approx((-1.75, 3.0))
    assert slope(sizes[:1], energy[:1]) is None


def test_the_energy_of_a_made_up_power_law_is_shown():
    levels = [np.full((3, s, s), 2.0 / s, np.float32) for s in (1, 2, 4, 8)]
    settings = {"canvas_px": 8, "combine": "mean", "interpolation": "bilinear", "gamut": "full"}
    axes = pyramid_figure(levels, settings, np.zeros((8, 8, 3), np.uint8), "made up").axes[-1]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [4, 1, 1 / 4, 1 / 16])
    np.testing.assert_allclose(axes.get_lines()[2].get_ydata(), np.array([4, 1, 1 / 4, 1 / 16]) / 16, rtol=1e-6)
    assert ["-2.00" in label for label in legend_of(axes)] == [True, True]


@pytest.mark.parametrize("scores", [table(1, ("das",)), table(0), table(2, ("mine",)), table(2, settings="abcdefg")])
def test_figures_of_uncommon_stores_can_be_drawn(scores, tmp_path):
    if scores.empty:
        scores = table(1).iloc[:0]
    for figure in (scores_figure(scores, "j"), fidelity_figure(scores, "j"), fooling_figure(scores, "j")):
        assert isinstance(figure, Figure)
        save(figure, tmp_path / "figure")
        assert len(points_of(figure.axes[0])) == len(scores)
    save(images_figure(scores, grey), tmp_path / "figure")


def plot(store, folder):
    records, damaged = store.records()
    assert damaged == []
    return write_plots(store, records, score_table(records, "tiny"), "judge", folder)


def test_all_figures_are_written_and_always_the_same(made, tmp_path):
    assert plot(made, tmp_path / "first") == plot(made, tmp_path / "second") == []
    names = [path.name for path in sorted((tmp_path / "first").iterdir())]
    assert names == sorted([f"{n}.{s}" for n in (*VECTOR, "images", "pyramid") for s in ("png", "svg")])
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_the_same_bytes_in_another_process(tmp_path):
    """Names within an SVG are made from a salt, not from chance."""
    program = (
        "import sys; from matplotlib.figure import Figure; from das_ag.report.plots import save; "
        "figure = Figure(); figure.subplots().scatter(range(5), range(5)); save(figure, sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "there")], check=True, cwd=ROOT)
    figure = Figure()
    figure.subplots().scatter(range(5), range(5))
    save(figure, tmp_path / "here")
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"here{suffix}").read_bytes() == (tmp_path / f"there{suffix}").read_bytes()


def test_a_store_without_levels_has_no_pyramid_and_that_is_no_damage(tmp_path, sample_of, put):
    store = Store(tmp_path / "store")
    put(store, sample_of(), 6.0)
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "pyramid.png").write_bytes(b"of an earlier store")
    assert plot(store, tmp_path / "plots") == []
    assert not (tmp_path / "plots" / "pyramid.png").exists()
    assert (tmp_path / "plots" / "images.png").is_file()


def test_damage_is_told_once_and_costs_no_figure(made, tmp_path):
    store = Store(tmp_path / "store")
    records, _ = made.records()
    for record in records[:2]:
        folder = store.root / record.folder
        folder.mkdir(parents=True)
        for path in (made.root / record.folder).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    (store.root / records[0].folder / "levels.npz").write_bytes(b"PK")
    (store.root / records[1].folder / "image.png").write_bytes(b"")
    (store.root / records[1].folder / "trace.csv").write_bytes(b"")
    told = plot(store, tmp_path / "plots")
    assert len(told) == 3
    assert [name for name in ("trace", "image", "levels") if any(name in sentence for sentence in told)] == [
        "trace", "image", "levels",
    ]  # fmt: skip
    assert (tmp_path / "plots" / "images.png").is_file()
    assert not (tmp_path / "plots" / "pyramid.png").exists()


def test_the_documentation_draws_figures(made, tmp_path, monkeypatch):
    """Its examples run as they are in a folder with an experiment; not one prints anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    shutil.copytree(made.root, tmp_path / "outputs" / "wonders")
    store = Store(tmp_path / "outputs" / "wonders")
    for record in store.records()[0]:
        store.write_score(record, "tiny", 5.0, "d" * 64, title="Tiny judge")
    found = doctest.testmod(plots)
    assert (found.failed, found.attempted > 0) == (0, True)
    assert (tmp_path / "scores.svg").is_file()
    drawn = {name for name in plots.__all__ if name.endswith("_figure")}
    assert all(name in plots.__doc__ and getattr(plots, name).__doc__ for name in drawn)


def test_tables_need_no_matplotlib():
    program = "import sys; import das_ag.report; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_script_draws_a_store(tmp_path, sample_of, put):
    store = Store(tmp_path / "store")
    put(store, sample_of(), 6.0)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "plot_scores.py"), str(store.root)], check=True)
    with Image.open(store.root / "plots" / "scores.png") as image:
        assert image.width > 300
