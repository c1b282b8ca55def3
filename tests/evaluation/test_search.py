"""Which files of a folder are pictures to be scored."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from das_ag.errors import UserError
from das_ag.evaluation.search import find_pictures
from das_ag.store.store import Store


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pictures"
    (made / "sub").mkdir(parents=True)
    save(made / "b.png", made / "a.JPG", made / "sub/c.webp")
    return made


def save(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path, "PNG")


def names_in(*places):
    return [name for name, _ in find_pictures(places)[0]]


def test_pictures_are_found_in_subfolders_by_any_ending_that_can_be_read(folder):
    endings = ["TIFF", "avif", "bmp", "dds", "gif", "icns", "ico", "jfif", "jp2", "pcx", "ppm", "sgi", "tga", "tif"]
    save(*(folder / f"x.{ending}" for ending in endings))
    assert names_in(folder) == ["a.JPG", "b.png", "sub/c.webp", *(f"x.{ending}" for ending in endings)]
    assert find_pictures([folder])[0][1] == ("b.png", folder / "b.png")


def test_what_systems_add_is_skipped_and_told(folder, caplog):
    caplog.set_level("INFO")
    added = (
        ".ipynb_checkpoints", ".Trash-1000", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "sub/.thumbnails", "#recycle",
    )  # fmt: skip
    save(*(folder / name / "x.png" for name in added), folder / "._b.png", folder / "sub" / ".hidden.jpg")
    assert names_in(folder) == ["a.JPG", "b.png", "sub/c.webp"]
    assert caplog.messages == ["Skipped 9 hidden or system entries (#recycle, $RECYCLE.BIN, .Trash-1000, …)."]
    assert names_in(folder / ".Trash-1000") == ["x.png"], "a folder that the user names is not skipped"
    assert len(names_in(folder / "._b.png")) == 1


def test_other_files_are_counted_and_pictures_of_other_formats_named(folder, caplog):
    caplog.set_level("INFO")
    for name in ("1.txt", "2.txt", "notes", "IMG_1.HEIC", "x.svg"):
        (folder / name).write_text("no picture")
    found, complaints = find_pictures([folder])
    assert len(found) == 3
    assert caplog.messages == ["Ignored 3 other files by the ending of the name (2 .txt, 1 no ending)."]
    assert complaints == ["Cannot read the format of 2 pictures (IMG_1.HEIC, x.svg); save a copy as PNG or JPEG."]


def test_links_to_folders_are_not_followed_so_that_a_search_ends(folder, caplog):
    caplog.set_level("INFO")
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "system").symlink_to("/")
    (folder / "z.png").symlink_to("b.png")
    assert names_in(folder) == ["a.JPG", "b.png", "sub/c.webp", "z.png"]
    assert caplog.messages == ["Did not follow 2 links to folders (loop, system); give the folder as an argument."]
    (folder.parent / "link").symlink_to(folder)
    assert names_in(folder.parent / "link") == ["a.JPG", "b.png", "sub/c.webp", "z.png"]


def test_experiments_are_skipped_since_they_hold_plots_too(folder, caplog):
    caplog.set_level("INFO")
    Store(folder / "sub" / "wonders").prepare()
    save(folder / "sub/wonders/plots/scores.png")
    assert names_in(folder) == ["a.JPG", "b.png", "sub/c.webp"]
    assert caplog.messages == ["Skipped 1 experiment (wonders); use a separate command for experiments."]


def test_a_pipe_is_skipped_and_a_link_to_nothing_is_found_so_that_its_reading_tells_it(folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "nothing.png").symlink_to("nowhere")
    (folder / "circle.png").symlink_to("circle.png")
    assert names_in(folder) == ["a.JPG", "b.png", "circle.png", "nothing.png", "sub/c.webp"]


def test_a_folder_that_cannot_be_read_is_told(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, complaints = find_pictures([folder])
    assert [name for name, _ in found] == ["a.JPG", "b.png"]
    assert complaints == [f"{folder / 'sub'}: cannot read this folder (Permission denied); fix its permissions."]


def test_several_places_give_each_picture_once_under_its_path(folder):
    save(folder.parent / "one.png")
    places = (folder.parent / "one.png", folder / "sub", folder, folder / "b.png")
    assert names_in(*places) == [
        path.as_posix()
        for path in (folder.parent / "one.png", folder / "sub/c.webp", folder / "a.JPG", folder / "b.png")
    ]


def test_a_name_that_is_not_utf8_becomes_text(folder):
    path = folder / os.fsdecode(b"caf\xe9.png")
    save(path)
    found = dict(find_pictures([folder])[0])
    assert found[r"caf\xe9.png"] == path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "found no such place (No such file or directory); give another folder"),
        ("circle", "found no such place (Too many levels of symbolic links); give another folder"),
        ("empty", "found none; give another folder"),
        ("/", "/: expected a folder of pictures, got the whole file system; give a folder in it."),
    ],
)
def test_a_place_without_pictures_is_told(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UserError) as told:
        find_pictures([tmp_path / name])
    assert said in str(told.value)
    assert name in str(told.value)
