"""Finished samples on disk: whole or not there, never overwritten, damage told by name."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from das_ag.errors import UserError
from das_ag.store import store as store_module
from das_ag.store.atomic import StoreError
from das_ag.store.claims import Claims
from das_ag.store.store import Store

RESULT = {"guide_aesthetic_score": 5.25, "clip_positive": 0.3, "clip_negative": -0.1}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "outputs" / "made_up")
    made.prepare()
    return made


@pytest.fixture
def dead_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def contents(folder):
    """Bytes of each file below a folder, None for a folder."""
    return {p.relative_to(folder): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read_again(store, sample_of):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    losses = np.array([1 / 3, -2e-30, 16777217, 3.4e38], dtype=np.float32)
    trace = [{"step": float(step), "loss": float(loss)} for step, loss in enumerate(losses)]
    sample = sample_of(positive=("a red heart", "très “joli”"), negative=("a ring",), method="das_rag", seed=2**40)
    store.write(sample, image, trace, RESULT, {"device": "cpu", "cuda": None})

    records, damaged = store.records()
    assert damaged == []
    (record,) = records
    assert record.sample == sample
    assert record.folder == sample.folder
    assert record.image == sample.folder / "image.png"
    assert record.result == RESULT
    assert record.provenance == {"device": "cpu", "cuda": None}
    assert record.scores == {}
    np.testing.assert_array_equal(store.read_image(record.image), image)

    folder = store.root / record.folder
    assert {path.name for path in folder.iterdir()} == {"image.png", "sample.json", "trace.csv"}
    np.testing.assert_array_equal(np.array(Image.open(folder / "image.png")), image)
    with (folder / "trace.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [0, 1, 2, 3]
    np.testing.assert_array_equal(np.array([row["loss"] for row in rows], dtype=np.float32), losses)
    entry = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    assert entry["key"] == sample.key
    assert entry["format"] == 1
    assert entry["image_sha256"] == hashlib.sha256((folder / "image.png").read_bytes()).hexdigest()
    assert entry["image_sha256"] == record.image_sha256
    assert entry["trace_sha256"] == hashlib.sha256((folder / "trace.csv").read_bytes()).hexdigest()


def test_text_stands_in_the_image(store, sample_of):
    image, trace, text = np.zeros((3, 3, 3), np.uint8), [{"step": 0.0, "loss": 9.0}], {"Prompt": "a red “heart”"}
    store.write(sample_of(), image, trace, RESULT, {}, text=text)
    with Image.open(store.root / sample_of().folder / "image.png") as opened:
        assert opened.info == text


def test_a_sample_is_finished_once_it_is_written(store, sample_of, put):
    sample, other = sample_of(), sample_of(seed=43)
    assert not store.is_finished(sample)
    put(store, sample)
    assert store.is_finished(sample)
    assert not store.is_finished(other)


def test_records_come_in_the_order_of_their_folders(store, sample_of, put):
    for sample in (sample_of("star"), sample_of("heart"), sample_of("star", method="das_ag"), sample_of(seed=1)):
        put(store, sample)
    records, _ = store.records()
    found = [(r.sample.method, r.sample.prompt_id, r.sample.seed) for r in records]
    assert found == [("das", "heart", 1), ("das", "heart", 42), ("das", "star", 42), ("das_ag", "star", 42)]


def test_an_empty_or_absent_store_has_no_records(store, tmp_path):
    assert store.records() == ([], [])
    assert Store(tmp_path / "nowhere").records() == ([], [])
    assert Store(tmp_path / "nowhere").failures.errors() == {}


def test_a_finished_sample_is_never_overwritten(store, sample_of, put):
    folder = put(store, sample_of(), 6.5)
    before = contents(store.root)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    store.write(sample_of(), np.zeros((3, 3, 3), np.uint8), [{"step": 0.0, "loss": 9.0}], RESULT, {"device": "other"})
    assert contents(store.root) == before
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_preparing_again_changes_nothing(store, sample_of, put):
    put(store, sample_of(), 6.5)
    before = contents(store.root)
    store.prepare()
    assert contents(store.root) == before


DAMAGE = {
    "no sample.json": (lambda folder: (folder / "sample.json").unlink(), "sample.json"),
    "sample.json cut off": (lambda folder: os.truncate(folder / "sample.json", 40), "JSONDecodeError"),
    "sample.json empty": (lambda folder: os.truncate(folder / "sample.json", 0), "JSONDecodeError"),
    "sample.json of another kind": (lambda folder: (folder / "sample.json").write_text("[]"), "no JSON object"),
    "sample.json no text": (lambda folder: (folder / "sample.json").write_bytes(b"\xff\xfe{}"), "UnicodeDecodeError"),
    "sample.json lacks a value": (lambda folder: (folder / "sample.json").write_text("{}"), "method: expected"),
    "no image": (lambda folder: (folder / "image.png").unlink(), "image.png"),
    "no trace": (lambda folder: (folder / "trace.csv").unlink(), "trace.csv"),
    "another key": (lambda folder: edit(folder / "sample.json", key="0" * 64), "key"),
    "another seed": (lambda folder: edit(folder / "sample.json", seed=7), "key"),
    "a folder of nothing": (lambda folder: [path.unlink() for path in folder.iterdir()], "sample.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_sample_is_named_and_left_out(store, sample_of, put, damage):
    act, said = DAMAGE[damage]
    act(put(store, sample_of("heart"), 6.0))
    put(store, sample_of("star"))
    records, (sentence,) = store.records()
    assert [record.sample for record in records] == [sample_of("star")]
    assert sentence.startswith(f"{sample_of('heart').folder}: left out, since the sample is damaged (")
    assert said in sentence
    assert sentence.endswith("; delete the folder and run again.")


@pytest.mark.parametrize("image", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", "cut off", "one bit"])
def test_an_image_that_cannot_be_read_is_named(store, sample_of, put, image):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = put(store, sample_of(), image=noise) / "image.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1  # in the checksum of the pixels
    path.write_bytes({"cut off": path.read_bytes()[:1000], "one bit": data}.get(image, image))
    (record,), _ = store.records()
    with pytest.raises(
        UserError, match=r"the image is missing or damaged \(.*\); delete its folder and run again"
    ) as told:
        store.read_image(record.image)
    assert str(told.value).startswith(str(path))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_head_of_an_image_is_told_if_it_matters(store, sample_of, put, bit):
    path = put(store, sample_of()) / "image.png"
    (record,), _ = store.records()
    whole = path.read_bytes()
    for offset in range(60):
        data = bytearray(whole)
        data[offset] ^= 1 << bit
        path.write_bytes(data)
        try:
            pixels = store.read_image(record.image)
        except UserError as told:
            assert str(path) in str(told)  # noqa: PT017
        else:
            np.testing.assert_array_equal(pixels, np.full((5, 7, 3), 42))


def test_levels_are_kept_from_coarse_to_fine(store, sample_of):
    """By their sides in pixels, which are no words: 2 comes before 16."""
    levels = [np.full((3, side, side), side / 3, np.float32) for side in (1, 2, 16)]
    image, trace = np.zeros((3, 3, 3), np.uint8), [{"step": 0.0, "loss": 9.0}]
    store.write(sample_of(), image, trace, RESULT, {}, levels=levels)
    read = store.read_levels(store.records()[0][0])
    assert [level.dtype for level in read] == [np.float32] * 3
    for level, kept in zip(read, levels, strict=True):
        np.testing.assert_array_equal(level, kept.astype(np.float16))


def test_levels_that_were_not_kept_are_none(store, sample_of, put):
    put(store, sample_of())
    assert store.read_levels(store.records()[0][0]) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0],
        lambda data: data[:0] + b"no levels",
        lambda data: data[:100],
        lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03"),
        # Of the directory's first entry: the version that it takes to read it, 10.9, and that it is encrypted.
        lambda data: data.replace(b"PK\x01\x02\x2d\x03\x2d", b"PK\x01\x02\x2d\x03\x6d"),
        lambda data: data.replace(b"PK\x01\x02\x2d\x03\x2d\x00\x00", b"PK\x01\x02\x2d\x03\x2d\x00\x01"),
    ],
    ids=["empty", "no archive", "cut off", "no directory", "another version", "encrypted"],
)
def test_damaged_levels_are_named(store, sample_of, damage):
    levels, trace = [np.zeros((3, 1, 1), np.float32)], [{"step": 0.0, "loss": 9.0}]
    store.write(sample_of(), np.zeros((3, 3, 3), np.uint8), trace, RESULT, {}, levels=levels)
    path = store.root / sample_of().folder / "levels.npz"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    with pytest.raises(UserError, match=r"cannot read the levels of the pyramid \(.*\); delete the file"):
        store.read_levels(store.records()[0][0])


def test_scores_are_kept_by_evaluator(store, sample_of, put):
    put(store, sample_of())
    (record,), _ = store.records()
    store.write_score(record, "tiny", 6.25, "a" * 64)
    store.write_score(record, "other", 7.5, "b" * 64)
    store.write_score(record, "tiny", 6.5, "c" * 64)
    (record,), _ = store.records()
    assert {name: (s["score"], s["digest"]) for name, s in record.scores.items()} == {
        "tiny": (6.5, "c" * 64),
        "other": (7.5, "b" * 64),
    }


def test_scores_of_another_image_do_not_count(store, sample_of, put):
    folder = put(store, sample_of())
    (record,), _ = store.records()
    store.write_score(record, "tiny", 6.25, "a" * 64)
    store.write_score(record, "other", 7.5, "b" * 64)
    scores = json.loads((folder / "scores.json").read_text())
    scores["tiny"]["image_sha256"] = "0" * 64
    (folder / "scores.json").write_text(json.dumps(scores))
    (record,), damaged = store.records()
    assert set(record.scores) == {"other"}
    assert damaged == []


@pytest.mark.parametrize("text", ["", '{"tiny": {', "[]", '{"tiny": 6.5}', '{"tiny": {"score": 6.5}}'])
def test_damaged_scores_are_told_and_do_not_cost_the_sample(store, sample_of, put, caplog, text):
    path = put(store, sample_of(), 6.5) / "scores.json"
    path.write_text(text)
    (record,), damaged = store.records()
    assert (record.scores, damaged) == ({}, [])
    (told,) = store.damage([record])
    assert re.fullmatch(rf"{path}: cannot read the scores \(.+\); run das-ag score on this experiment\.", told)
    store.write_score(record, "tiny", 6.25, "a" * 64)
    (line,) = caplog.messages
    assert re.fullmatch(rf"{path}: damaged \(.+\); the image is scored again", line)
    (record,), _ = store.records()
    assert record.scores["tiny"]["score"] == 6.25
    assert store.damage([record]) == []


def unfinished(store, host, pid, *, age_s=0.0, is_file=False):
    """Something half-written by that process, touched last so long ago."""
    folder = store.root / ".unfinished"
    path = folder / f"{host}-{pid}-{len(list(folder.iterdir())):08x}-image.png"
    if is_file:
        path.write_bytes(b"half")
    else:
        path.mkdir()
        (path / "image.png").write_bytes(b"half")
    touched = time.time() - age_s
    os.utime(path, (touched, touched))
    return path


@pytest.mark.parametrize("is_file", [False, True], ids=["folder", "file"])
def test_what_a_dead_process_of_this_machine_left_half_written_is_cleared_at_once(
    store, sample_of, put, dead_pid, is_file
):
    put(store, sample_of(), 6.5)
    before = contents(store.root)
    unfinished(store, socket.gethostname(), dead_pid, is_file=is_file)
    assert contents(store.root) != before
    store.prepare()
    assert contents(store.root) == before


def test_where_folders_cannot_be_opened_samples_are_stored_all_the_same(store, sample_of, put, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)  # which the store calls for folders alone
    with pytest.raises(StoreError):
        put(store, sample_of(), 6.5)
    monkeypatch.setattr(sys, "platform", "win32")
    put(store, sample_of(), 6.5)
    (record,) = store.records()[0]
    assert record.scores["tiny"]["score"] == 6.5


@pytest.mark.parametrize("is_file", [False, True], ids=["folder", "file"])
def test_what_others_are_writing_is_cleared_after_an_hour(store, dead_pid, is_file):
    owners = [(socket.gethostname(), os.getpid()), (socket.gethostname(), os.getppid()), ("elsewhere", dead_pid)]
    young = [unfinished(store, *owner, age_s=3500, is_file=is_file) for owner in owners]
    old = [unfinished(store, *owner, age_s=3700, is_file=is_file) for owner in owners]
    store.prepare()
    assert [path.exists() for path in old] == [False, False, False]
    assert [(path if is_file else path / "image.png").read_bytes() for path in young] == [b"half"] * 3


@pytest.mark.parametrize("hours", [-10, 10])
def test_that_hour_is_measured_by_the_clock_of_the_file_system(store, monkeypatch, hours):
    """A network folder is written to by machines whose own clocks differ."""
    young, old = (unfinished(store, "elsewhere", 1, age_s=age_s) for age_s in (3500, 3700))
    now = time.time() + 3600 * hours
    monkeypatch.setattr(time, "time", lambda: now)
    store.prepare()
    assert (young.exists(), old.exists()) == (True, False)


def test_a_machine_whose_name_begins_like_this_ones_is_another(store, monkeypatch, dead_pid):
    """Of node-7 and its process 4242, node must not read that its own process 7 is dead."""
    monkeypatch.setattr(socket, "gethostname", lambda: "node")
    theirs = unfinished(store, f"node-{dead_pid}", 4242)
    mine = unfinished(store, "node", dead_pid)
    store.prepare()
    assert (theirs.exists(), mine.exists()) == (True, False)
    monkeypatch.setattr(socket, "gethostname", lambda: f"node-{dead_pid}")
    own = unfinished(store, f"node-{dead_pid}", dead_pid)
    store.prepare()
    assert not own.exists()


def test_what_is_half_written_lies_in_a_folder_of_its_own_under_its_process(store, sample_of, put, monkeypatch):
    """Wherever a write stops, what it leaves can be told from what is whole, and whose it is."""
    seen, fsync = set(), os.fsync

    def look(descriptor):
        for folder in store.root.glob("samples/*/*"):
            assert {path.name for path in folder.iterdir()} == {"image.png", "sample.json", "trace.csv"}
        seen.update(path.parent.name for path in store.root.glob(".unfinished/*/*"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    put(store, sample_of())
    (name,) = seen
    start, end = f"{socket.gethostname()}-{os.getpid()}-", f"-{sample_of().folder.name}"
    assert re.fullmatch(f"{re.escape(start)}[0-9a-f]{{8}}{re.escape(end)}", name)
    assert list((store.root / ".unfinished").iterdir()) == []


@pytest.mark.parametrize("left", ["image.png", "notes.txt", "folder"])
def test_a_folder_without_its_description_is_made_again(store, sample_of, put, caplog, left):
    """Somebody deleted sample.json, or copied half of a store."""
    folder = put(store, sample_of())
    expected = contents(folder)
    shutil.rmtree(folder)
    (folder / left).mkdir(parents=True) if left == "folder" else folder.mkdir()
    if left != "folder":
        (folder / left).write_bytes(b"old")
    assert not store.is_finished(sample_of())
    put(store, sample_of())
    assert contents(folder) == expected
    assert store.is_finished(sample_of())
    assert list((store.root / ".unfinished").iterdir()) == []
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == f"{folder}: had no sample.json, so it is replaced"


def test_nothing_is_said_of_an_ordinary_write(store, sample_of, put, caplog):
    put(store, sample_of())
    put(store, sample_of())  # found finished
    (store.root / sample_of("star").folder).mkdir()
    put(store, sample_of("star"))  # where an empty folder stood
    assert store.is_finished(sample_of("star"))
    assert caplog.records == []


@pytest.mark.parametrize("nth", [1, 2], ids=["putting it aside", "taking its place"])
def test_a_damaged_folder_that_cannot_be_replaced_is_told_and_can_be_later(store, sample_of, put, monkeypatch, nth):
    folder = put(store, sample_of())
    (folder / "sample.json").unlink()
    refuse(monkeypatch, "rename", errno.EACCES, nth)
    with pytest.raises(StoreError, match="Permission denied"):
        put(store, sample_of())
    monkeypatch.undo()
    assert not store.is_finished(sample_of())
    put(store, sample_of())
    assert [record.sample for record in store.records()[0]] == [sample_of()]


@pytest.mark.parametrize("number", [errno.ENOTEMPTY, errno.EEXIST], ids=errno.errorcode.get)
def test_of_two_processes_that_make_a_sample_the_first_is_kept(store, sample_of, put, monkeypatch, number):
    """File systems differ in the error with which they refuse a folder's place."""
    put(store, sample_of(), 6.5)
    before = contents(store.root)
    rename = pathlib.Path.rename

    def refusing(path, target):
        if target.exists():
            raise OSError(number, os.strerror(number))
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", refusing)
    put(store, sample_of(), image=np.zeros((5, 7, 3), np.uint8))
    assert contents(store.root) == before
    put(store, sample_of("star"))
    assert store.is_finished(sample_of("star"))


def test_the_duration_of_a_sample_is_kept(store, sample_of, put):
    for seconds, sample in ((1.25, sample_of("heart")), (3, sample_of("star"))):
        provenance = {"device": "cpu", "duration_s": seconds}
        store.write(sample, np.zeros((3, 3, 3), np.uint8), [{"step": 0.0, "loss": 9.0}], RESULT, provenance)
        assert store.duration_s(sample) == seconds
    put(store, sample_of("ring"))  # of which nobody kept it
    assert store.duration_s(sample_of("ring")) is None
    assert store.duration_s(sample_of("cross")) is None  # which is not there


@pytest.mark.parametrize("change", [{"provenance": None}, {"provenance": {"duration_s": None}}, {"provenance": {}}])
def test_a_duration_that_cannot_be_read_is_none(store, sample_of, put, change):
    edit(put(store, sample_of()) / "sample.json", **change)
    assert store.duration_s(sample_of()) is None


def test_what_is_finished_elsewhere_is_not_made_here(tmp_path, sample_of, put):
    there = Store(tmp_path / "there")
    assert there.finished_keys() == frozenset()
    for sample in (sample_of("heart"), sample_of("star", method="das_ag")):
        put(there, sample)
    there.failures.write(sample_of("ring"), "got NaN")
    (put(there, sample_of("cross")) / "sample.json").unlink()
    keys = there.finished_keys()
    assert keys == {sample_of("heart").key[:12], sample_of("star", method="das_ag").key[:12]}
    here = Store(tmp_path / "here", elsewhere=keys)
    asked = [sample_of("heart"), sample_of("star", method="das_ag"), sample_of("ring"), sample_of("cross")]
    assert [here.is_finished(sample) for sample in asked] == [True, True, False, False]
    assert not here.is_finished(sample_of("heart", seed=7))
    assert here.finished_keys() == frozenset()


def test_what_an_earlier_version_left_half_written_is_not_finished(store, sample_of, put):
    folder = put(store, sample_of())
    folder.rename(folder.with_name(f".unfinished-elsewhere-7-{sample_of().key[:12]}"))
    assert store.finished_keys() == frozenset()
    assert store.records() == ([], [])


@pytest.fixture
def away(tmp_path, sample_of, put):
    """A store as a job on another machine leaves it: two samples, one of which has all files, and a failure."""
    store = Store(tmp_path / "away")
    store.prepare()
    put(store, sample_of("heart"), 6.5)
    levels = [np.zeros((3, side, side), np.float32) for side in (1, 2)]
    image = np.zeros((3, 3, 3), np.uint8)
    store.write(sample_of("star", method="das_ag"), image, [{"step": 0.0, "loss": 9.0}], RESULT, {}, levels=levels)
    store.failures.write(sample_of("ring"), "got NaN at step 3")
    for name in ("claims/0.claim", "checkpoints/0.pt", ".unfinished/elsewhere-1-00000000-image.png", "scores.csv"):
        (store.root / name).parent.mkdir(exist_ok=True)
        (store.root / name).write_bytes(b"of this machine alone")
    return store


def test_samples_and_failures_are_packed_and_nothing_else(away, sample_of):
    heart, star = sample_of("heart").folder, sample_of("star", method="das_ag").folder
    packed = away.pack()
    assert set(packed) == {
        *(f"{heart}/{name}" for name in ("image.png", "sample.json", "trace.csv", "scores.json")),
        *(f"{star}/{name}" for name in ("image.png", "sample.json", "trace.csv", "levels.npz")),
        f"failures/{sample_of('ring').key[:12]}.json",
    }
    assert all(data == (away.root / path).read_bytes() for path, data in packed.items())
    assert Store(away.root / "nowhere").pack() == {}


@pytest.mark.parametrize("order", [1, -1, 3], ids=["as packed", "backwards", "mixed"])
def test_what_is_received_is_what_was_packed(away, tmp_path, sample_of, order):
    paths = sorted(away.pack())
    paths = [path for first in range(order) for path in paths[first::order]] if order > 0 else paths[::order]
    here = Store(tmp_path / "here")
    here.prepare()
    here.receive({path: away.pack()[path] for path in paths})
    assert here.pack() == away.pack()
    assert here.records() == away.records()
    assert here.failures.errors() == {"das ring seed 42": "got NaN at step 3"}
    assert set(contents(here.root)) == {
        path for path in contents(away.root) if path.parts[0] in ("samples", "failures", "store.json")
    } | {pathlib.Path(".unfinished")}


def test_what_is_received_completes_what_is_there(away, store, sample_of, put):
    """A sample that is finished here stays as it is; one that failed here and was made there has not failed."""
    folder = put(store, sample_of("heart"), image=np.zeros((5, 7, 3), np.uint8))
    before, touched = contents(folder), folder.stat().st_mtime_ns
    put(store, sample_of("cross"))
    store.failures.write(sample_of("star", method="das_ag"), "got NaN at step 1")
    store.failures.write(sample_of("ring"), "got NaN at step 2")
    store.failures.write(sample_of("square"), "got NaN at step 4")
    for _ in range(2):  # the second time changes nothing
        store.receive(away.pack())
        assert (contents(folder), folder.stat().st_mtime_ns) == (before, touched)
        assert {record.sample.prompt_id for record in store.records()[0]} == {"heart", "cross", "star"}
        assert store.failures.errors() == {
            "das ring seed 42": "got NaN at step 3",
            "das square seed 42": "got NaN at step 4",
        }


def test_a_damaged_folder_is_replaced_by_what_is_received(away, store, sample_of, put, caplog):
    folder = put(store, sample_of("heart"), image=np.zeros((5, 7, 3), np.uint8))
    (folder / "sample.json").unlink()
    store.receive(away.pack())
    assert contents(folder) == contents(away.root / sample_of("heart").folder)
    assert "had no sample.json, so it is replaced" in caplog.text


@pytest.mark.parametrize(("call", "nth"), [("mkdir", 0), ("open", 1), ("fsync", 2), ("rename", 0)])
def test_nothing_half_received_is_seen_where_a_write_is_refused(away, store, sample_of, put, monkeypatch, call, nth):
    put(store, sample_of("cross"), 6.5)
    before = contents(store.root)
    packed = {path: data for path, data in away.pack().items() if path.startswith("samples/das/")}
    refuse(monkeypatch, call, errno.ENOSPC, nth)
    with pytest.raises(StoreError, match=r"No space left on device.*free some space.*Finished samples are kept"):
        store.receive(packed)
    monkeypatch.undo()
    assert contents(store.root) == before
    store.receive(packed)
    assert contents(store.root / sample_of().folder) == contents(away.root / sample_of().folder)


KEY = "0123456789ab"
STRANGE = [
    "../../x", "/tmp/x", "samples/../../x", "samples/das/../../../x/image.png", "failures/../../x.json", "store.json",
    "table.md", "samples/das/image.png", f"samples/das/heart-seed42-{KEY}/levels/x.npz", f"failures/{KEY}.txt",
    f"samples/das/heart-seed42-{KEY}/notes.txt", f"samples/das/heart-seed42-{KEY.upper()}/image.png",
    f"samples/.das/heart-seed42-{KEY}/image.png", f"samples/das/heart-seed42-{KEY}/image.png\n", "", ".",
    f"samples\\das/heart-seed42-{KEY}/image.png", f"samples/das/heart-seed42-{KEY}//image.png",
]  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_delivery_with_a_name_that_no_store_gives_is_refused_as_a_whole(away, store, sample_of, put, name):
    put(store, sample_of("cross"))
    outside = contents(store.root.parent.parent)
    with pytest.raises(StoreError) as told:
        store.receive({**away.pack(), name: b"not yours"})
    said = f"expected whole samples and failures from another machine, got {name!r}; nothing of this delivery is taken"
    assert said in str(told.value)
    assert contents(store.root.parent.parent) == outside


@pytest.mark.parametrize("missing", ["sample.json", "image.png", "trace.csv"])
def test_a_delivery_with_a_part_of_a_sample_is_refused(away, store, sample_of, put, missing):
    """It would replace a file of the finished sample."""
    put(store, sample_of("heart"), image=np.zeros((5, 7, 3), np.uint8))
    before = contents(store.root)
    packed = {path: data for path, data in away.pack().items() if not path.endswith(missing)}
    with pytest.raises(StoreError, match=r"got 'a part of (heart|star)-.*'; nothing of this delivery is taken"):
        store.receive(packed)
    assert contents(store.root) == before


@pytest.mark.parametrize("place", ["samples", "samples/das", "failures"])
def test_a_delivery_does_not_follow_a_link_out_of_the_store(away, store, tmp_path, place):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if (store.root / place).exists():
        (store.root / place).rmdir()
    (store.root / place).symlink_to(elsewhere)
    with pytest.raises(StoreError, match=rf"{place}: expected a folder inside .*, found a link to .*elsewhere; delete"):
        store.receive(away.pack())
    assert list(elsewhere.iterdir()) == []
    assert [path for path in store.root.rglob("*") if path.is_file() and path.name != "store.json"] == []


def test_links_are_not_packed(away, tmp_path, sample_of):
    secret = tmp_path / "secret"
    secret.write_text("of this machine alone")
    (away.root / sample_of("heart").folder / "levels.npz").symlink_to(secret)
    assert b"of this machine alone" not in away.pack().values()


def test_no_write_follows_a_link_out_of_the_store(store, sample_of, put, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.claim").write_text("mine")
    (store.root / "samples" / "das").symlink_to(elsewhere)
    (store.root / "failures").symlink_to(elsewhere)
    (store.root / "claims").symlink_to(elsewhere)
    for act in (
        lambda: put(store, sample_of()),
        lambda: store.failures.write(sample_of(), "got NaN"),
        lambda: store.failures.forget(sample_of().key),
        lambda: Claims.of(store).claim("mine").__enter__(),
    ):
        with pytest.raises(StoreError, match="expected a folder inside"):
            act()
    (store.root / ".unfinished").rmdir()
    (store.root / ".unfinished").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="expected a folder inside"):
        store.prepare()
    assert [path.name for path in elsewhere.iterdir()] == ["mine.claim"]


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_kept(store, sample_of, put, tmp_path):
    mine = tmp_path / "mine.json"
    mine.write_text("mine")
    put(store, sample_of())
    (record,), _ = store.records()
    path = store.root / record.folder / "scores.json"
    path.symlink_to(mine)
    store.write_score(record, "tiny", 6.25, "a" * 64)
    assert mine.read_text() == "mine"
    assert not path.is_symlink()


def test_a_store_may_be_a_link_itself_and_hold_links_to_its_own_folders(tmp_path, sample_of, put):
    (tmp_path / "large_disk" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "large_disk")
    (tmp_path / "large_disk" / "samples").symlink_to("real")
    store = Store(tmp_path / "link")
    store.prepare()
    put(store, sample_of())
    assert store.is_finished(sample_of())


CALLS = {"fsync": os, "mkdir": pathlib.Path, "rename": pathlib.Path, "open": pathlib.Path}
ERRNOS = {
    errno.ENOSPC: ("No space left on device", "free some space"),
    errno.EDQUOT: ("Disk quota exceeded", "free some of your quota"),
    errno.EROFS: ("Read-only file system", "choose another folder with name="),
    errno.EACCES: ("Permission denied", "choose another folder with name="),
}


def refuse(monkeypatch, call, number, nth=0):
    """The nth use of the call from now on, and all later ones, fail."""
    original, uses = getattr(CALLS[call], call), iter(range(1000))

    def refusing(*arguments, **options):
        if next(uses) >= nth:
            raise OSError(number, os.strerror(number))
        return original(*arguments, **options)

    monkeypatch.setattr(CALLS[call], call, refusing)


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize(("call", "nth"), [("mkdir", 0), ("open", 0), ("fsync", 0), ("fsync", 2), ("rename", 0)])
def test_a_refused_write_is_told_and_leaves_the_store_as_before(store, sample_of, put, monkeypatch, number, call, nth):
    put(store, sample_of("star"), 6.5)
    store.failures.write(sample_of("heart"), "got NaN")
    before = contents(store.root)
    refuse(monkeypatch, call, number, nth)
    with pytest.raises(StoreError) as told:
        put(store, sample_of("heart"))
    monkeypatch.undo()
    got, remedy = ERRNOS[number]
    for part in (str(store.root), "cannot write here", got, remedy, "Finished samples are kept"):
        assert part in str(told.value)
    assert contents(store.root) == before
    assert not store.is_finished(sample_of("heart"))
    put(store, sample_of("heart"))
    assert store.is_finished(sample_of("heart"))


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
def test_scores_failures_and_preparation_tell_too(store, sample_of, put, monkeypatch, number):
    put(store, sample_of(), 6.5)
    (record,), _ = store.records()
    before = contents(store.root)
    new = Store(store.root.parent / "new")
    for act in (
        lambda: store.write_score(record, "tiny", 7.0, "b" * 64),
        lambda: store.failures.write(sample_of("star"), "got NaN"),
        new.prepare,
    ):
        refuse(monkeypatch, "fsync", number)
        with pytest.raises(StoreError, match=ERRNOS[number][0]):
            act()
        monkeypatch.undo()
    assert {place: data for place, data in contents(store.root).items() if place.name != "failures"} == before
    new.prepare()
    assert new.records() == ([], [])


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs a limit of the file's size")
def test_a_real_write_that_stops_in_the_middle(store, sample_of, put):
    resource = pytest.importorskip("resource", reason="needs a limit of the file's size")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)  # a PNG of 12 kB
    before = contents(store.root)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(UserError, match="File too large"):
            put(store, sample_of(), image=noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {place: data for place, data in contents(store.root).items() if data is not None} == {
        place: data for place, data in before.items() if data is not None
    }
    assert store.records() == ([], [])


@pytest.mark.parametrize("part", ["outputs", "outputs/made_up", "outputs/made_up/samples"])
def test_a_file_in_the_way_is_told(tmp_path, part):
    (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / part).write_text("mine")
    with pytest.raises(UserError, match=r"cannot write here \(“(Not a directory|File exists)”\)"):
        Store(tmp_path / "outputs" / "made_up").prepare()
    assert (tmp_path / part).read_text() == "mine"


def test_a_file_in_the_way_of_a_method_is_told(store, sample_of, put):
    (store.root / "samples" / "das").write_text("mine")
    with pytest.raises(UserError, match="cannot write here"):
        put(store, sample_of())
    assert not store.is_finished(sample_of())


def test_a_store_of_a_newer_format_is_refused(store, sample_of, put):
    put(store, sample_of())
    (store.root / "store.json").write_text('{"format": 2}')
    before = contents(store.root)
    with pytest.raises(
        StoreError, match=r"expected a store of format 1, got 2; use the version .* or choose another name="
    ):
        store.prepare()
    assert contents(store.root) == before


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_mark_of_the_format_is_told(store, text):
    (store.root / "store.json").write_text(text)
    with pytest.raises(UserError, match=r"store\.json|format 1"):
        store.prepare()


def test_a_newer_store_is_not_cleared_up(store, dead_pid):
    """What an unfinished folder of another format means is for that version to say."""
    (store.root / "store.json").write_text('{"format": 2}')
    left = unfinished(store, socket.gethostname(), dead_pid)
    with pytest.raises(UserError, match="format 1"):
        store.prepare()
    assert left.exists()


def test_a_finished_folder_can_be_moved_between_stores(store, sample_of, put, tmp_path):
    folder = put(store, sample_of(), 6.5)
    other = Store(tmp_path / "elsewhere")
    other.prepare()
    shutil.copytree(folder, other.root / sample_of().folder)
    assert other.is_finished(sample_of())
    assert other.records() == store.records()


def test_files_of_a_sample_are_what_its_description_says():
    for name in (store_module.IMAGE, store_module.SAMPLE, store_module.TRACE, store_module.SCORES):
        assert name in (store_module.__doc__ or "")


def test_a_store_takes_a_text_as_its_folder(tmp_path, sample_of, put):
    store = Store(str(tmp_path / "text"))
    store.prepare()
    put(store, sample_of(), 6.0)
    other = Store(str(tmp_path / "other"))
    other.receive(store.pack())
    assert [record.sample for record in other.records()[0]] == [sample_of()]
    assert Store.is_store(str(tmp_path / "text"))
    Claims.of(other).forget("work")


DAMAGED_FILES = {
    "image.png": "the image is missing or damaged (its checksum differs from the one in sample.json); delete its",
    "trace.csv": "cannot read the trace (its checksum differs from the one in sample.json); delete its folder and",
    "levels.npz": "cannot read the levels of the pyramid (it is no archive of arrays); delete the file.",
    "scores.json": "cannot read the scores (JSONDecodeError: ",
}


@pytest.mark.parametrize("name", DAMAGED_FILES)
def test_each_damaged_file_is_told_with_its_remedy(store, sample_of, put, name):
    put(store, sample_of("star"), 6.0)
    path = put(store, sample_of(), 6.0) / name
    records, _ = store.records()
    assert store.damage(records) == []
    path.write_bytes(b"PK and no more")
    records, left_out = store.records()
    assert (len(records), left_out) == (2, [])
    (sentence,) = store.damage(records)
    assert sentence.startswith(f"{path}: {DAMAGED_FILES[name]}")


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_one_wrong_byte_in_the_levels_is_told(store, sample_of, place):
    levels = [np.zeros((3, 16, 16), np.float32)]
    store.write(sample_of(), np.zeros((3, 3, 3), np.uint8), [{"step": 0.0, "loss": 9.0}], RESULT, {}, levels=levels)
    path = store.root / sample_of().folder / "levels.npz"
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)
    (sentence,) = store.damage(store.records()[0])
    assert sentence == (
        f"{path}: cannot read the levels of the pyramid (the checksum of 16.npy is wrong); delete the file."
    )
