"""Scores of pictures that no store holds, and their CSV."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_models import TinyJudge, TinyJudgeChoice, picture

from das_ag.errors import UserError
from das_ag.evaluation.pictures import ScoreFile, score_pictures
from das_ag.evaluation.search import find_pictures
from das_ag.models.evaluators.imagenet import ImagenetJudgeChoice

CPU = torch.device("cpu")
JUDGE = {"tiny": TinyJudgeChoice()}


def score_folder(folder, evaluators=JUDGE, **options):
    pictures, _ = find_pictures([folder])
    return score_pictures(pictures, evaluators, CPU, **options)


def test_any_folder_of_pictures_can_be_scored(pictures, judge):
    scores, complaints = score_folder(pictures)
    assert scores["image"].tolist() == ["a.JPG", "b.png", "clear.png", "sub/c.webp", "turned.png"]
    found = dict(zip(scores["image"], scores["tiny"], strict=True))
    expected = {
        "b.png": picture(1),
        "sub/c.webp": picture(3),
        "clear.png": np.full((48, 56, 3), 255, np.uint8),
        "turned.png": np.rot90(picture(5), -1).copy(),
    }
    for name, pixels in expected.items():
        assert found[name] == pytest.approx(float(judge.rate_images([pixels])[0]), abs=1e-5), name
    (sentence,) = complaints
    assert sentence.startswith(f"{pictures / 'broken.jpeg'}: cannot read this picture (")


def test_evaluators_of_a_folder_have_a_column_each_and_name_a_broken_picture_once(pictures):
    scores, complaints = score_folder(pictures, {"one": JUDGE["tiny"], "other": JUDGE["tiny"]})
    assert scores.columns.tolist() == ["image", "one", "other"]
    assert len(scores) == 5
    assert scores["one"].tolist() == scores["other"].tolist()
    assert len(complaints) == 1


def test_a_picture_with_damaged_exif_is_named_and_does_not_stop_the_others(pictures):
    """The orientation can be read, but beside it stands a text under 0x0106, which takes a number."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "hello"
    path = pictures / "a.JPG"
    Image.fromarray(picture(2)).save(path, exif=exif)
    path.write_bytes(path.read_bytes().replace(b"\x01\x0e\x00\x02", b"\x01\x06\x00\x02"))
    scores, complaints = score_folder(pictures)
    assert scores["image"].tolist() == ["b.png", "clear.png", "sub/c.webp", "turned.png"]
    assert [sentence.partition(": cannot read this picture")[0] for sentence in complaints] == [
        str(path), str(pictures / "broken.jpeg"),
    ]  # fmt: skip


def test_sixteen_bits_are_the_same_picture_as_eight(tmp_path):
    ramp = np.linspace(0, 255, 64).round().astype(np.uint8) * np.ones((64, 1), np.uint8)
    Image.fromarray(ramp).save(tmp_path / "8.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "16.png")
    scores, complaints = score_folder(tmp_path)
    assert scores["image"].tolist() == ["16.png", "8.png"]
    assert scores["tiny"].nunique() == 1
    assert complaints == []


def test_pictures_in_a_folder_called_samples_are_no_experiment(pictures, tmp_path, run_script):
    (pictures / "sub").rename(pictures / "samples")
    done = run_script(pictures, "--csv", tmp_path / "out.csv", "runtime.device=cpu")
    assert "5 pictures scored" in done.stdout
    assert "samples/c.webp," in (tmp_path / "out.csv").read_text()


def test_each_evaluator_reads_the_picture_once(pictures, monkeypatch):
    from das_ag.evaluation import pictures as module

    read = []
    monkeypatch.setattr(module, "read_picture", lambda path, **_: read.append(path) or picture(1))
    score_folder(pictures, {"one": JUDGE["tiny"], "other": JUDGE["tiny"]})
    assert len(read) == len(set(read)) == 6


def test_a_picture_that_cannot_be_scored_is_named_and_does_not_stop_the_others(pictures, monkeypatch):
    rate = TinyJudge.rate_images

    def fail_at_clear(self, images):
        if images[0].min() == 255:
            raise RuntimeError("not enough memory\nin a stack")
        return rate(self, images)

    monkeypatch.setattr(TinyJudge, "rate_images", fail_at_clear)
    scores, complaints = score_folder(pictures)
    assert scores["image"].tolist() == ["a.JPG", "b.png", "sub/c.webp", "turned.png"]
    assert f"{pictures / 'clear.png'}: cannot score this picture (not enough memory); make it smaller." in complaints


def write_scores(path, n, end=lambda: None):
    with ScoreFile(path, ["tiny", "other"]) as keep:
        for number in range(n):
            keep([f"{number}.png", 5.25, float("nan")])
        end()


ROWS = "image,tiny,other\n0.png,5.25,\n1.png,5.25,\n".replace("\n", os.linesep)


def test_a_csv_appears_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("old")
    write_scores(path, 2, lambda: path.read_text() == "old" or pytest.fail("the old scores are lost too early"))
    assert path.read_bytes().decode() == ROWS
    assert pd.read_csv(path)["other"].isna().all()
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_that_write_one_csv_do_not_share_a_file(tmp_path):
    path = tmp_path / "scores.csv"
    write_scores(path, 2, lambda: write_scores(path, 1))
    assert path.read_bytes().decode() == ROWS
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("the disk is full")])
def test_scores_are_kept_when_the_work_ends_early(tmp_path, caplog, error):
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def fail():
        raise error

    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        write_scores(path, 2, fail)
    assert path.read_text() == "old"
    (part,) = tmp_path.glob("scores.csv.*.part")
    assert part.read_bytes().decode() == ROWS
    assert caplog.messages == [f"{part}: holds the scores that are finished: 2."]
    part.unlink()
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        write_scores(path, 0, fail)
    assert list(tmp_path.iterdir()) == [path]


def test_a_csv_goes_where_a_link_points(tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_scores(tmp_path / "link.csv", 2)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes().decode() == ROWS


def test_a_csv_can_go_to_stdout_also_where_that_is_a_file(tmp_path):
    program = (
        "from pathlib import Path; from das_ag.evaluation.pictures import ScoreFile\n"
        "with ScoreFile(Path('/dev/stdout'), ['tiny']) as keep: keep(['0.png', 5.25])"
    )
    path = tmp_path / "said"
    with path.open("w") as file:
        subprocess.run([sys.executable, "-c", program], stdout=file, check=True)
        assert path.stat().st_ino == os.fstat(file.fileno()).st_ino, "replaced"
    assert path.read_text().splitlines() == ["image,tiny", "0.png,5.25"]
    assert list(tmp_path.iterdir()) == [path]
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert piped.stdout.splitlines() == ["image,tiny", "0.png,5.25"]


def test_a_csv_can_go_to_a_device():
    write_scores(Path("/dev/null"), 2)
    assert not Path("/dev/null").is_file()
    assert not list(Path("/dev").glob("null.*"))


@pytest.mark.parametrize("place", ["folder", "folder/no/scores.csv", "file/scores.csv", "n" * 300])
def test_a_csv_that_cannot_be_written_is_told_before_the_first_picture(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"folder; add a file name|cannot write the scores \(.*\); give another file"):
        write_scores(tmp_path / place, 1, lambda: pytest.fail("scored"))


def test_a_full_disk_is_told():
    with pytest.raises(UserError, match=r"/dev/full: cannot write the scores \(No space left on device\)"):
        write_scores(Path("/dev/full"), 1)


def test_the_script_refuses_a_csv_that_is_a_folder_before_it_scores(pictures, tmp_path, run_script):
    (tmp_path / "out").mkdir()
    done = run_script(pictures, "--csv", tmp_path / "out")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"Error: --csv: expected a file, found the folder {tmp_path / 'out'}; " + (
        "add a file name."
    )


def test_the_script_scores_a_name_that_is_not_utf8(pictures, run_script):
    (pictures / "b.png").rename(pictures / os.fsdecode(b"caf\xe9.png"))
    (pictures / "broken.jpeg").rename(pictures / os.fsdecode(b"br\xf6ken.jpeg"))
    done = run_script(pictures)
    assert "5 pictures scored" in done.stdout
    assert "Traceback" not in done.stderr
    assert r"br\xf6ken.jpeg: cannot read this picture" in done.stderr
    assert r"caf\xe9.png" in pd.read_csv(pictures / "aesthetic_scores.csv")["image"].tolist()


def test_the_script_prints_the_scores_of_pictures(pictures, tmp_path, run_script, judge):
    done = run_script(pictures / "b.png", pictures / "clear.png", cwd=tmp_path)
    assert done.returncode == 0
    header, *rows = (line.split() for line in done.stdout.splitlines()[:3])
    assert header == ["image", "tiny"]
    for row, name, seen in zip(rows, ("b.png", "clear.png"), (picture(1), np.full_like(picture(1), 255)), strict=True):
        assert row[0] == str(pictures / name)
        assert float(row[1]) == pytest.approx(float(judge.rate_images([seen])[0]), abs=6e-4)
    assert "2 pictures scored" in done.stdout
    assert not list(tmp_path.glob("*.csv")), "the folder of the command stays clean"
    assert not list(pictures.glob("*.csv"))


def test_the_script_scores_several_folders_to_one_csv(pictures, tmp_path, run_script):
    done = run_script(pictures / "sub", "runtime.device=cpu", pictures / "b.png", cwd=tmp_path)
    assert (done.returncode, "2 pictures scored: aesthetic_scores.csv" in done.stdout) == (0, True)
    names = pd.read_csv(tmp_path / "aesthetic_scores.csv")["image"].tolist()
    assert names == [str(pictures / "sub/c.webp"), str(pictures / "b.png")]


@pytest.mark.parametrize("name", ["", " "])
def test_the_script_takes_no_empty_name(tmp_path, name, run_script):
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    done = run_script(name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: expected the name of a picture or folder, got none; write a name, or . for this folder.\n"
    )


def test_the_script_has_a_limit_of_the_size(tmp_path, run_script):
    Image.new("1", (2000, 1000)).save(tmp_path / "large.png")
    for limit, said in (("1.5", "has 2.0 megapixels, expected at most 1.5"), ("0", "expected a number above 0")):
        done = run_script(tmp_path / "large.png", "--max-megapixels", limit)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert said in done.stderr


def test_profiles_can_be_ignored_as_the_published_predictor_does(tmp_path, judge, run_script):
    from test_decode import rgb_profile

    from das_ag.evaluation.decode import read_picture

    path = tmp_path / "wide.png"
    Image.fromarray(picture(1)).save(path, icc_profile=rgb_profile("ProPhoto", 1.8))
    as_seen, as_stored = (score_folder(tmp_path, use_profile=use)[0]["tiny"].item() for use in (True, False))
    assert as_stored == pytest.approx(float(judge.rate_images([picture(1)])[0]))
    assert as_seen == pytest.approx(float(judge.rate_images([read_picture(path)])[0]))
    assert as_seen != as_stored
    for flags, score in (([], as_seen), (["--ignore-profiles"], as_stored)):
        run_script(tmp_path, *flags)
        assert pd.read_csv(tmp_path / "aesthetic_scores.csv")["tiny"].item() == pytest.approx(score)


def test_the_default_judge_says_what_it_rates_and_what_not(run_script):
    choice = ImagenetJudgeChoice("tf_efficientnet_lite2", None, None)
    assert choice.meaning.startswith("It rates photographic quality, not beauty: about 7 for a clean photo")
    assert "gives no scores" in ImagenetJudgeChoice("resnet50.a1_in1k", None, None).meaning
    said = run_script("--help").stdout
    assert "The default evaluator, the ImageNet judge, rates photographic quality" in said
    assert "It does not rate beauty." in said
