"""What the figures show: the data that they were given, named, on any store."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from reference import ROOT

from das_ag.errors import UserError
from das_ag.generation.generate import generate
from das_ag.report import method_summary, score_table
from das_ag.report.plots import (
    fidelity_figure,
    fooling_figure,
    images_figure,
    pyramid_figure,
    save,
    scores_figure,
    trajectories_figure,
    write_plots,
)
from das_ag.report.plots.pyramid import chosen_levels, contributions, slope
from das_ag.report.plots.resize import widen
from das_ag.report.plots.style import groups_of
from das_ag.report.traces import COLUMNS, trace_table
from das_ag.store.store import Store
from das_ag.synthesis.resize import resize

VECTOR = ("scores", "fidelity", "guide", "trajectories")
METHODS = ("das", "das_ag", "das_rag")


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
        f"{method}\nsteps={steps}\nn = 2" for steps in (1, 2) for method in ("DAS", "DAS-AG", "DAS-rAG")
    ]
    assert sorted(round(float(line[:, 0].mean())) for line in lines_of(axes)) == [1, 1, 4, 4]


def test_one_image_of_das_is_joined_with_all_that_weigh_the_score_otherwise():
    weights = tuple(f"objective.aesthetic.end={end}" for end in (1.0, 10.0))
    (axes,) = scores_figure(pd.concat([table(2, ("das",)), table(2, ("das_ag",), weights)]), "judge").axes
    lines = lines_of(axes)
    assert [[round(x) for x, _ in line] for line in lines] == [[0, 1, 2], [0, 1, 2]]
    one_more = table(1, ("das_ag",), ("objective.aesthetic.end=5.0",))
    scores = pd.concat([table(2, ("das",)), table(2, ("das_ag",), weights), one_more])
    (axes,) = scores_figure(scores, "judge").axes
    assert [[round(x) for x, _ in line] for line in lines_of(axes)] == [[0, 1, 2, 3], [0, 1, 3]]


def test_images_of_different_texts_are_never_joined(store_of_two_texts):
    """Of the four images by two methods, two have the same prompt and negative prompt."""
    scores = score_table(store_of_two_texts.records()[0], "tiny")
    (axes,) = scores_figure(scores, "judge").axes
    (line,) = lines_of(axes)
    assert sorted(y for _, y in line) == [5.0, 5.25]


def test_a_setting_that_is_a_list_stays_in_one_piece():
    label = 'ascent.betas=[0.5, 0.9], ascent.steps=3, prompt="a heart, seed=7", negative=none'
    (group,) = groups_of(table(1, ("das",), settings=(label,)))
    assert group.heading(26) == (
        'DAS\nascent.betas=[0.5, 0.9]\nascent.steps=3\nprompt="a heart, seed=7"\nnegative=none'
    )
    assert group.heading(12).splitlines() == [
        "DAS", "ascent.betas=", "[0.5, 0.9]", "ascent.steps=", "3", "prompt=", '"a heart,', 'seed=7"', "negative=",
        "none",
    ]  # fmt: skip


def test_a_long_label_is_broken_within_the_figure():
    label = f'prompt="{"a red heart " * 6}", negative="{"a blue square " * 5}"'
    figure = fidelity_figure(table(1, ("das",), settings=(label, "")), "judge")
    figure.draw_without_rendering()
    legend = figure.axes[0].get_legend()
    assert legend.get_window_extent().x1 <= figure.bbox.x1
    assert " ".join(legend_of(figure.axes[0])[1].split("\n")) == f"DAS, {label}, n = 1"


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
        f"{method}\nsteps={steps}" for steps in (1, 2) for method in ("DAS", "DAS-AG", "DAS-rAG")
    ]


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


def test_the_script_draws_a_store(tmp_path, sample_of, put):
    store = Store(tmp_path / "store")
    put(store, sample_of(), 6.0)
    subprocess.run([sys.executable, str(ROOT / "scripts" / "plot_scores.py"), str(store.root)], check=True)
    with Image.open(store.root / "plots" / "scores.png") as image:
        assert image.width > 300
