"""The report's files, from a made-up store alone."""

from __future__ import annotations

import csv
import errno
import os
import pathlib
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from das_ag.errors import UserError
from das_ag.experiment.store import Store
from das_ag.report import score_table, write_report
from das_ag.report.plots import scores_figure


def fill(root, sample_of, put):
    store = Store(root)
    for place, method in enumerate(("das_rag", "das", "das_ag")):
        for seed, score in enumerate([4.0, 5.0, 9.0]):
            put(store, sample_of(method=method, seed=seed), score + place / 10)
    return store


def report(store):
    return write_report(store.root, "embedded", "Embedded judge")


@pytest.fixture
def store(tmp_path, sample_of, put):
    return fill(tmp_path / "made_up", sample_of, put)


@pytest.fixture(scope="module")
def reported(tmp_path_factory, sample_of, put):
    """A store with its report; tests leave it as it is."""
    store = fill(tmp_path_factory.mktemp("outputs") / "made_up", sample_of, put)
    return store, *report(store)


def test_report_lies_beside_the_samples(reported):
    store, table, left_out = reported
    assert left_out == []
    assert (store.root / "table.md").read_text(encoding="utf-8") == table
    assert table.splitlines()[2:5] == [
        "| DAS     |  6.100 | 2.646 |   3 |",
        "| DAS-AG  |  6.200 | 2.646 |   3 |",
        "| DAS-rAG |  6.000 | 2.646 |   3 |",
    ]
    summary = pd.read_csv(store.root / "table.csv")
    assert summary["method"].tolist() == ["DAS", "DAS-AG", "DAS-rAG"]
    np.testing.assert_allclose(summary["mean"], [6.1, 6.2, 6.0])
    np.testing.assert_allclose(summary["std"], 7**0.5)
    assert summary["n"].tolist() == [3, 3, 3]


def test_scores_are_written_in_full(reported):
    store, *_ = reported
    with (store.root / "scores.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert ", ".join(header) == (
        "method, prompt_id, prompt, seed, aesthetic_score, guide_aesthetic_score, clip_positive, clip_negative, "
        "image, image_sha256, key, settings"
    )
    assert [(row[0], row[3], float(row[4])) for row in rows] == [
        (method, str(seed), score + place / 10)
        for method, place in (("das", 1), ("das_ag", 2), ("das_rag", 0))
        for seed, score in enumerate([4.0, 5.0, 9.0])
    ]
    assert all((store.root / row[8]).is_file() for row in rows)


def test_a_rebuilt_report_has_the_same_bytes(reported, tmp_path):
    store, *_ = reported
    copied = Store(tmp_path / "made_up")
    shutil.copytree(store.root / "samples", copied.root / "samples")
    report(copied)
    for name in ("scores.csv", "table.csv", "table.md", "plots/scores.png"):
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
    figure = scores_figure(score_table(records, "embedded"), "Embedded judge")
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
    assert "Embedded judge" in axes.get_title(loc="left")


def test_a_single_sample_can_be_reported(tmp_path, sample_of, put):
    store = Store(tmp_path / "one")
    put(store, sample_of(), 6.25)
    table, left_out = report(store)
    assert left_out == []
    assert "| DAS    |  6.250 |   – |   1 |" in table
    assert (store.root / "plots" / "scores.png").is_file()
    assert (store.root / "table.csv").read_text().splitlines()[1] == "DAS,,6.25,,1"


def test_several_settings_are_reported_apart(store, sample_of, put):
    put(store, sample_of(steps=20), 8.0)
    table, _ = report(store)
    assert [line for line in table.splitlines() if "ascent.steps=20 " in line and "8.000" in line and "–" in line]
    assert len([line for line in table.splitlines() if "ascent.steps=200" in line]) == 3


def test_a_damaged_sample_is_left_out_and_named(store, sample_of):
    gone = sample_of(method="das", seed=2)
    os.truncate(store.root / gone.folder / "sample.json", 10)
    table, (sentence,) = report(store)
    assert str(gone.folder) in sentence
    assert "left out" in sentence
    assert "| DAS     |  4.600 | 0.707 |   2 |" in table


def test_a_damaged_image_does_not_cost_the_report(store, sample_of):
    """Its score is known, and the other images can be shown."""
    path = store.root / sample_of(method="das", seed=0).folder / "image.png"
    path.write_bytes(b"")
    table, told = report(store)
    assert "| DAS     |  6.100 | 2.646 |   3 |" in table
    assert str(path.parent.name) in " ".join(told)


@pytest.mark.parametrize("content", ["nothing", "no folder", "samples without scores"])
def test_no_scores_are_told(tmp_path, sample_of, put, content):
    store = Store(tmp_path / "empty")
    if content != "no folder":
        store.prepare()
    if content == "samples without scores":
        put(store, sample_of())
    with pytest.raises(
        UserError, match=r"empty: expected scored samples, got none; run python run\.py name=empty first"
    ):
        report(store)
    assert not (store.root / "table.md").exists()


def test_a_full_disk_is_told(store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "write_text", full)
    with pytest.raises(
        UserError, match=r"expected to write the report, got “No space left on device”; .*samples are kept"
    ):
        report(store)


def test_a_file_in_the_way_of_the_plots_is_told(store):
    (store.root / "plots").write_text("mine")
    with pytest.raises(UserError, match=r"expected to write the report, got “(File exists|Not a directory)”"):
        report(store)
