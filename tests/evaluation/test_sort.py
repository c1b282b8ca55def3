"""Copies of pictures whose names sort them by score."""

from __future__ import annotations

import errno
import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_models import picture

from das_ag.errors import UserError
from das_ag.evaluation.sort import copy_sorted, prepare_folder


def copies(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def to(tmp_path):
    folder = tmp_path / "sorted"
    prepare_folder(folder)
    return folder


def scored(folder, *values):
    """A picture for each score, named by its place."""
    found = []
    for number, value in enumerate(values):
        path = folder / f"{number}.png"
        Image.fromarray(picture(number)).save(path)
        found.append((path, {"judge": value, "other": -value}))
    return found


@pytest.mark.parametrize(
    ("scores", "names"),
    [
        ((6.416, 7.0, 0.5), ["0.50_2.png", "6.42_0.png", "7.00_1.png"]),
        ((6.0, 10.0, 9.999), ["06.00_0.png", "10.00_1.png", "10.00_2.png"]),
        ((float("nan"), 5.0, 123.0), ["005.00_1.png", "123.00_2.png", "unscored_0.png"]),
        ((float("nan"),), ["unscored_0.png"]),
        ((-0.2, -1.5, 10.0, -1.5), ["1_-1.50_1.png", "1_-1.50_3.png", "2_-0.20_0.png", "3_10.00_2.png"]),
        ((), []),
    ],
)
def test_the_order_of_the_names_is_the_order_of_the_scores(tmp_path, to, scores, names):
    given = scored(tmp_path, *scores)
    assert copy_sorted(given, to) == []
    assert copies(to) == names
    for name in names:
        assert (to / name).read_bytes() == (tmp_path / name.rpartition("_")[2]).read_bytes()


def test_equal_names_get_a_number(tmp_path, to):
    given = []
    for place in ("one", "two", "three"):
        (tmp_path / place).mkdir()
        given += scored(tmp_path / place, 5.0)
        (tmp_path / place / "0.png").write_bytes(place.encode())
    assert copy_sorted(given, to) == []
    assert {name: (to / name).read_text() for name in copies(to)} == {
        "5.00_0.png": "one", "5.00_0-2.png": "two", "5.00_0-3.png": "three",
    }  # fmt: skip


def test_scores_go_into_the_text_of_png_copies_alone(tmp_path, to, caplog):
    given = scored(tmp_path, 5.25, 6.5)
    Image.new("I;16", (4, 4), 777).save(tmp_path / "deep.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    given += [(tmp_path / "deep.png", {"judge": 1.0}), (tmp_path / "a.jpg", {"judge": 2.0})]
    before = {path: path.read_bytes() for path, _ in given}
    assert copy_sorted(given, to, write_text=True) == []
    assert {path: path.read_bytes() for path, _ in given} == before
    with Image.open(to / "5.25_0.png") as image:
        assert image.text == {"Score judge": "5.250", "Score other": "-5.250"}
        np.testing.assert_array_equal(np.asarray(image), picture(0))
    with Image.open(to / "1.00_deep.png") as image:
        assert (image.mode, image.getpixel((0, 0)), image.text) == ("I;16", 777, {"Score judge": "1.000"})
    assert (to / "2.00_a.jpg").read_bytes() == before[tmp_path / "a.jpg"]
    assert caplog.messages == ["1 copy has no text, since only PNG files can; the first: a.jpg"]


def test_a_folder_with_files_is_refused(tmp_path):
    (tmp_path / "sorted").mkdir()
    (tmp_path / "sorted" / "mine.png").write_text("mine")
    with pytest.raises(UserError, match=r"expected a new or empty folder, got .*sorted with files; give another"):
        prepare_folder(tmp_path / "sorted")
    with pytest.raises(UserError, match=r"--sort-to: cannot use .*mine.png \((File exists|Not a directory)\); give"):
        prepare_folder(tmp_path / "sorted" / "mine.png")
    assert (tmp_path / "sorted" / "mine.png").read_text() == "mine"


def test_a_picture_that_cannot_be_copied_is_told_and_costs_no_other(tmp_path, to, monkeypatch):
    given = scored(tmp_path, 5.0, 6.0)
    copy = shutil.copyfileobj

    def fill_up(source, target):
        if "6.00" in target.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfileobj", fill_up)
    gone = (tmp_path / "gone.png", {"judge": 7.0})
    assert [complaint.partition("(")[2] for complaint in copy_sorted([*given, gone], to)] == [
        "No space left on device).", "No such file or directory).",
    ]  # fmt: skip
    assert copies(to) == ["5.00_0.png"]


def test_the_script_sorts_copies_before_it_says_where_they_are(pictures, tmp_path, run_script, judge):
    done = run_script(pictures, "--sort-to", tmp_path / "new" / "sorted", "--write-text")
    found = copies(tmp_path / "new" / "sorted")
    assert len(found) == 5
    (name,) = [name for name in found if name.endswith("_b.png")]
    assert float(name.partition("_")[0]) == pytest.approx(float(judge.rate_images([picture(1)])[0]), abs=0.005)
    assert f"Copies sorted by Tiny judge: {tmp_path / 'new' / 'sorted'}" in done.stdout
    assert "2 copies have no text" in done.stderr
    again = run_script(pictures, "--sort-to", tmp_path / "new" / "sorted")
    assert (again.returncode, again.stdout) == (1, "")
    assert "--sort-to: expected a new or empty folder" in again.stderr
    assert copies(tmp_path / "new" / "sorted") == found


def test_flags_that_do_not_fit_are_told(store, pictures, tmp_path, run_script):
    for arguments, said in (
        ((store.root, "--sort-to", tmp_path / "x"), "--sort-to: expected pictures, got the experiment"),
        ((pictures, "--write-text"), "--write-text: expected --sort-to beside it"),
    ):
        done = run_script(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
    assert not (tmp_path / "x").exists()
