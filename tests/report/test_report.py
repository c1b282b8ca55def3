"""The report's files, from a made-up store alone."""

from __future__ import annotations

import csv
import dataclasses
import errno
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from reference import ROOT

from das_ag.errors import UserError
from das_ag.report import read_scores, score_table, write_report, write_tables
from das_ag.report.gallery import write_gallery
from das_ag.report.plots import save, scores_figure, write, write_plots
from das_ag.store.store import Store


def fill(root, sample_of, put):
    store = Store(root)
    for place, method in enumerate(("das_rag", "das", "das_ag")):
        for seed, score in enumerate([4.0, 5.0, 9.0]):
            put(store, sample_of(method=method, seed=seed), score + place / 10)
    return store


def report(store):
    return write_report(store.root, "tiny")


def cells_of(table):
    """Cells of the rows of the results table, by method (and settings)."""
    lines = table.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


@pytest.fixture
def store(tmp_path, sample_of, put):
    return fill(tmp_path / "made_up", sample_of, put)


@pytest.fixture(scope="module")
def reported(tmp_path_factory, sample_of, put):
    """A store with its report; tests leave it as it is."""
    store = fill(tmp_path_factory.mktemp("outputs") / "made_up", sample_of, put)
    return store, *report(store)


def test_the_report_replaces_links_and_keeps_what_they_lead_to(store, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    names = ["scores.csv", "table.md", "table.csv", "table.tex", "plots/scores.png", "plots/pyramid.svg", "index.html"]
    (store.root / "plots").mkdir()
    for name in names:
        (store.root / name).symlink_to(mine)
    (store.root / "plots" / "images.svg").symlink_to("../nowhere")  # a link to no file yet
    report(store)
    assert mine.read_text() == "mine"
    assert not any((store.root / name).is_symlink() for name in names)
    assert not (store.root / "nowhere").exists()


@pytest.mark.parametrize("name", ["plots", "gallery"])
def test_the_report_does_not_write_into_a_folder_elsewhere(store, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.jpg").write_text("mine")
    (store.root / name).symlink_to(elsewhere)
    _, told = report(store)
    assert re.search(rf"{name}: expected a folder inside .*, found a link to .*elsewhere; delete", "\n".join(told))
    assert [path.name for path in elsewhere.iterdir()] == ["mine.jpg"]


def test_report_lies_beside_the_samples(reported):
    store, table, left_out = reported
    assert left_out == []
    assert (store.root / "table.md").read_text(encoding="utf-8") == table
    assert [(row[0], row[1], row[3], row[5]) for row in cells_of(table)] == [
        ("DAS", "3", "6.100", "2.646"), ("DAS-AG", "3", "6.200", "2.646"), ("DAS-rAG", "3", "6.000", "2.646"),
    ]  # fmt: skip
    assert r"\toprule" in (store.root / "table.tex").read_text(encoding="utf-8")
    assert "Tiny judge, which guided none" in table
    assert "## By prompt" in table
    assert "| a red heart | seed 2: 9.100 (mean 6.100) |" in table.split("## Best seeds")[1]
    assert "by selection" in table
    assert (store.root / "index.html").is_file()
    summary = pd.read_csv(store.root / "table.csv")
    assert summary["method"].tolist() == ["DAS", "DAS-AG", "DAS-rAG"]
    np.testing.assert_allclose(summary["mean"], [6.1, 6.2, 6.0])
    np.testing.assert_allclose(summary["std"], 7**0.5)
    assert summary["n"].tolist() == [3, 3, 3]


def test_a_method_without_a_row_is_in_every_part_of_the_report(tmp_path, sample_of, put):
    store = fill(tmp_path / "made_up", sample_of, put)
    for seed, score in enumerate([4.35, 5.35, 9.35]):
        put(store, sample_of(method="das_ag_half", seed=seed), score)
    table, left_out = report(store)
    assert left_out == []
    rows = [(row[0], row[1], row[3], row[7], row[9]) for row in cells_of(table)]
    # the mean of 4, 5, 9 is 6; DAS has 0.1 more, das_ag_half 0.35: all eight exchanges but two are nearer to 0
    assert rows[0] == ("DAS", "3", "6.100", "–", "–")
    assert rows[3] == ("das_ag_half", "3", "6.350", "+0.250", "0.250")
    assert "das_ag_half ↑" in table.split("## By prompt")[1]
    summary = pd.read_csv(store.root / "table.csv").set_index("method")
    assert summary.loc["das_ag_half", "difference"] == pytest.approx(0.25)
    assert '"name":"das_ag_half"' in (store.root / "index.html").read_text(encoding="utf-8").replace(": ", ":")


def test_a_store_of_version_0_1_0_is_reported(old_store):
    """Its models are gone, but the report needs only what it holds."""
    table, left_out = write_report(old_store.root)
    assert left_out == []
    assert [(row[0], row[1]) for row in cells_of(table)] == [("DAS", "1"), ("DAS-AG", "1"), ("DAS-rAG", "1")]
    assert "Embedded judge, which guided none" in table
    assert "Embedded judge" in (old_store.root / "index.html").read_text(encoding="utf-8")
    assert {"scores.png", "trajectories.svg"} <= {path.name for path in (old_store.root / "plots").iterdir()}


def test_scores_are_written_in_full(reported):
    store, *_ = reported
    with (store.root / "scores.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert ", ".join(header) == (
        "method, prompt_id, prompt, negative, seed, aesthetic_score, guide_aesthetic_score, clip_positive, "
        "clip_negative, image, image_sha256, key, settings"
    )
    assert [(row[0], row[4], float(row[5])) for row in rows] == [
        (method, str(seed), score + place / 10)
        for method, place in (("das", 1), ("das_ag", 2), ("das_rag", 0))
        for seed, score in enumerate([4.0, 5.0, 9.0])
    ]
    assert all((store.root / row[9]).is_file() for row in rows)


def test_a_rebuilt_report_has_the_same_bytes(reported, tmp_path):
    store, *_ = reported
    copied = Store(tmp_path / "made_up")
    shutil.copytree(store.root / "samples", copied.root / "samples")
    report(copied)
    for name in (
        "scores.csv",
        "table.csv",
        "table.md",
        "table.tex",
        "plots/scores.png",
        "plots/scores.svg",
        "index.html",
    ):
        assert (copied.root / name).read_bytes() == (store.root / name).read_bytes(), name


def test_plots_are_readable_pictures(reported):
    store, *_ = reported
    plots = sorted((store.root / "plots").glob("*.png"))
    assert "scores.png" in [path.name for path in plots]
    for path in plots:
        with Image.open(path) as image:
            width, height = image.size
            pixels = np.array(image.convert("L"))
        assert 150 <= width <= 4000, path
        assert 150 <= height <= 4000, path
        assert pixels.max() == 255, path  # paper
        assert pixels.min() < 100, path  # ink


def test_every_score_is_a_point_and_axes_say_what_they_show(store):
    records, _ = store.records()
    figure = scores_figure(score_table(records, "tiny"), "Tiny judge")
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    heights = sorted(
        float(y) for points in axes.collections for _, y in np.asarray(points.get_offsets()).reshape(-1, 2)
    )
    scores = [score + place / 10 for place in range(3) for score in (4.0, 5.0, 9.0)]
    assert [height for height in heights if round(height, 6) in {round(s, 6) for s in scores}] == pytest.approx(
        sorted(scores)
    )
    assert "1–10" in axes.get_ylabel()
    assert "↑ better" in axes.get_ylabel()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["DAS\nn = 3", "DAS-AG\nn = 3", "DAS-rAG\nn = 3"]
    assert "Tiny judge" in axes.get_title(loc="left")


def test_an_evaluator_that_guided_stands_in_the_first_line(store, sample_of, put):
    sample = dataclasses.replace(sample_of(seed=9), settings={"weights": {"guide": "a" * 64}})
    put(store, sample, 5.0)
    (record,) = [r for r in store.records()[0] if r.sample.seed == 9]
    store.write_score(record, "tiny", 5.0, "d" * 64, title="Tiny judge", weights={"judge": "a" * 64})
    table, _ = report(store)
    assert table.splitlines()[0].startswith("GRADED BY ITS GUIDE: Tiny judge also guided")
    assert "guided none" not in table
    assert "GRADED BY ITS GUIDE" in (store.root / "table.tex").read_text(encoding="utf-8")


def test_an_image_removed_after_scoring_is_left_out_and_named(store, sample_of):
    gone = sample_of(method="das", seed=2)
    (store.root / gone.folder / "image.png").unlink()
    table, (sentence,) = report(store)
    assert str(gone.folder) in sentence
    assert cells_of(table)[0][1] == "2"
    assert "2 pairs of 1 prompt and 1 unpaired in each row" in table


def test_a_single_sample_can_be_reported(tmp_path, sample_of, put):
    store = Store(tmp_path / "one")
    put(store, sample_of(), 6.25)
    table, left_out = report(store)
    assert left_out == []
    assert cells_of(table) == [["DAS", "1", "1", "6.250", "–", "–", "0.250"]]
    assert "Best seeds" not in table
    assert (store.root / "plots" / "scores.png").is_file()
    (row,) = pd.read_csv(store.root / "table.csv").to_dict("records")
    assert (row["method"], row["mean"], row["n"]) == ("DAS", 6.25, 1)
    assert np.isnan(row["std"])


def test_several_settings_are_reported_apart(store, sample_of, put):
    put(store, sample_of(steps=20), 8.0)
    table, _ = report(store)
    rows = cells_of(table)
    assert [row[2:5] for row in rows if row[1] == "steps=20"] == [["1", "1", "8.000"]]
    assert len([row for row in rows if row[1] == "steps=200"]) == 3


def test_a_damaged_sample_is_left_out_and_named(store, sample_of):
    gone = sample_of(method="das", seed=2)
    os.truncate(store.root / gone.folder / "sample.json", 10)
    table, (sentence,) = report(store)
    assert str(gone.folder) in sentence
    assert "left out" in sentence
    assert [cells_of(table)[0][place] for place in (1, 3, 5)] == ["2", "4.600", "0.707"]


def test_a_damaged_image_does_not_cost_the_report(store, sample_of):
    """Its score is known, and the other images can be shown."""
    path = store.root / sample_of(method="das", seed=0).folder / "image.png"
    path.write_bytes(b"")
    table, told = report(store)
    assert [cells_of(table)[0][place] for place in (1, 3, 5)] == ["3", "6.100", "2.646"]
    assert str(path.parent.name) in " ".join(told)


def score_all(store, evaluator, score):
    for record in store.records()[0]:
        store.write_score(record, evaluator, score, "e" * 64, title=evaluator.upper())


@pytest.fixture
def asked_for_published(tmp_path, sample_of):
    """A store whose samples ask for the published figures."""
    store = Store(tmp_path / "paper")
    result = {"guide_aesthetic_score": 5.5, "clip_positive": 0.25, "clip_negative": 0.0}
    for method in ("das", "das_ag"):
        image = np.zeros((5, 7, 3), np.uint8)
        store.write(sample_of(method=method), image, [{"step": 0.0, "loss": 1.5}], result, {"published_figures": True})
    return store


def test_published_figures_stand_beside_scores_of_the_same_predictor_only(asked_for_published):
    score_all(asked_for_published, "tiny", 7.0)
    score_all(asked_for_published, "aesthetic_v2_5", 3.5)
    table, _ = write_report(asked_for_published.root, "tiny")
    assert "3.406" not in table
    assert "Published" not in table
    assert "published_mean" not in pd.read_csv(asked_for_published.root / "table.csv")
    table, _ = write_report(asked_for_published.root, "aesthetic_v2_5")
    assert [row[-2:] for row in cells_of(table)] == [["3.406", "0.230"], ["3.783", "0.203"]]
    assert "Published: DAS-AG v1, scored by Aesthetic Predictor v2.5" in table


def make_table(*arguments, cwd=None):
    command = [sys.executable, str(ROOT / "scripts" / "make_table.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=cwd)


def one_sample(root, sample_of, put, score):
    store = Store(root)
    put(store, sample_of(), score)
    return store


def test_different_evaluators_share_no_table(tmp_path, sample_of, put):
    a, b = (one_sample(tmp_path / name, sample_of, put, score) for name, score in (("a", 5.0), ("b", 6.0)))
    (b.root / sample_of().folder / "scores.json").unlink()
    score_all(b, "other", 3.0)
    to = tmp_path / "to"
    done = make_table(a.root, b.root, "--to", to)
    assert done.returncode == 1
    assert re.search(r"expected the same evaluator .*, got tiny in .*a, other in .*b; score each", done.stderr)
    assert not to.exists()
    score_all(a, "other", 4.0)
    put(a, sample_of(seed=1), 5.0)  # so that the first evaluator has scored most
    done = make_table(a.root, b.root, "--to", to)
    assert (done.returncode, "; choose one with --evaluator other." in done.stderr) == (1, True)
    done = make_table(a.root, b.root, "--to", to, "--evaluator", "other")
    assert done.returncode == 0, done.stderr
    assert [(row[0], row[4]) for row in cells_of(done.stdout)] == [("a", "4.000"), ("b", "3.000")]


def test_folders_of_the_same_name_are_told_apart_and_one_given_twice_counts_once(tmp_path, sample_of, put):
    a, b, c = (
        one_sample(tmp_path / name, sample_of, put, score).root
        for name, score in (("outputs/dr", 5.0), ("other/dr", 6.0), ("other/x", 7.0))
    )
    done = make_table(a, b, c, tmp_path / "other" / ".." / "outputs" / "dr", "--to", tmp_path / "to")
    assert done.returncode == 0, done.stderr
    assert [(row[0], row[2], row[4]) for row in cells_of(done.stdout)] == [
        ("outputs/dr", "1", "5.000"), ("other/dr", "1", "6.000"), ("x", "1", "7.000"),
    ]  # fmt: skip
    again = make_table(a, a)  # one experiment, which needs no --to
    assert [(row[0], row[1]) for row in cells_of(again.stdout)] == [("DAS", "1")]
    assert write_tables([read_scores(a), read_scores(a)], a) == again.stdout.removesuffix(f"\nTable: {a}\n")


@pytest.mark.parametrize("content", ["nothing", "samples without scores"])
def test_no_scores_are_told(tmp_path, sample_of, put, content):
    store = Store(tmp_path / "empty")
    store.prepare()
    if content == "samples without scores":
        put(store, sample_of())
    with pytest.raises(UserError, match=r"empty: expected scored samples, got none; run das-ag run name=empty, or"):
        report(store)
    assert not (store.root / "table.md").exists()


@pytest.mark.parametrize(
    ("given", "found", "remedy"),
    [
        ("nosuch", "such", "Give that folder."),
        ("mine", "such", "Try outputs/mine."),
        ("outputs", "experiment in this", "Try outputs/mine, outputs/other."),
        ("outputs/mine/samples", "experiment in this", "Try outputs/mine."),
        (".", "experiment in this", "Try outputs/mine, outputs/other."),
        ("a file", "such", "Give that folder."),
    ],
)
def test_a_folder_without_an_experiment_is_told_with_the_place_of_the_results(tmp_path, given, found, remedy):
    for name in ("mine", "other"):
        Store(tmp_path / "outputs" / name).prepare()
    (tmp_path / "a file").touch()
    done = make_table(given, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {tmp_path / given}: found no {found} folder, expected the folder of an experiment. das-ag run writes "
        f"its results to outputs/NAME, in the folder where it starts. {remedy}\n"
    )


def test_a_folder_may_have_any_name(tmp_path, sample_of, put):
    """A name on disk may be any bytes, for instance Latin-1, and may have more than one line."""
    odd = tmp_path / os.fsdecode(b"caf\xe9 $5\n<b>")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    stores = [one_sample(root, sample_of, put, 5.0) for root in (odd, tmp_path / "usual")]
    table, told = write_report(odd)
    assert told == []
    (row,) = cells_of(table)
    assert (row[0], row[3]) == ("DAS", "5.000")
    assert "<title>caf\\udce9 $5 &lt;b&gt; – Direct" in (odd / "index.html").read_text(encoding="utf-8")
    joint = write_tables([read_scores(store.root) for store in stores], tmp_path / "joint")
    assert [row[0] for row in cells_of(joint)] == ["caf\\udce9 $5 <b>", "usual"]


def test_a_folder_may_be_a_text(store, monkeypatch):
    """As people write it in a notebook."""
    monkeypatch.chdir(store.root.parent)
    name = store.root.name
    expected = read_scores(store.root)
    pd.testing.assert_frame_equal(read_scores(name).scores, expected.scores)
    table, left_out = write_report(name)
    assert left_out == []
    assert write_tables([read_scores(name)], f"{name}/again") == table
    assert (store.root / "again" / "table.md").read_text(encoding="utf-8") == table
    assert write_plots(expected.store, expected.records, expected.scores, "judge", f"{name}/figures") == []
    assert (store.root / "figures" / "scores.png").is_file()
    assert write_gallery(name, expected.scores, "judge", "") == []
    assert (store.root / "index.html").is_file()
    save(Figure(), f"{name}/empty")
    assert (store.root / "empty.svg").is_file()


def test_a_full_disk_is_told(store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    with pytest.raises(UserError, match=r"cannot write the tables \(No space left on device\); .*samples are kept"):
        report(store)


def test_a_file_in_the_way_of_the_plots_costs_them_alone(store):
    (store.root / "plots").write_text("mine")
    table, (sentence,) = report(store)
    assert re.search(r"plots: cannot write the figures \((File exists|Not a directory)\)", sentence)
    assert (store.root / "table.md").read_text(encoding="utf-8") == table
    assert (store.root / "index.html").is_file()


def test_a_page_that_cannot_be_written_does_not_cost_the_table(store):
    (store.root / "index.html").mkdir()
    table, (sentence,) = report(store)
    assert "cannot write the gallery (Is a directory)" in sentence
    assert (store.root / "table.md").read_text(encoding="utf-8") == table
    assert (store.root / "plots" / "images.svg").is_file()


@pytest.mark.parametrize("error", [ValueError("\nParseException: no\n"), OSError(errno.EIO, "Input/output error")])
def test_a_figure_that_fails_costs_itself_alone(store, monkeypatch, error):
    """Its old files go, since they do not fit the new table."""

    def fail(*_):
        raise error

    report(store)
    monkeypatch.setattr(write, "fidelity_figure", fail)
    table, (sentence,) = report(store)
    assert "fidelity: this figure is missing" in sentence
    assert (str(error.strerror) if isinstance(error, OSError) else "(ParseException: no)") in sentence
    assert (store.root / "table.md").read_text(encoding="utf-8") == table
    assert (store.root / "index.html").is_file()
    names = {path.name for path in (store.root / "plots").iterdir()}
    assert names == {f"{n}.{s}" for n in ("scores", "guide", "trajectories", "images", "seeds") for s in ("png", "svg")}
