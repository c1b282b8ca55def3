"""Files of a store with values of another type: the sample is named and left out, by all that read it alike."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import struct
import zipfile
import zlib

import numpy as np
import pytest

from das_ag.demo.archive import entries
from das_ag.errors import UserError
from das_ag.report import read_scores
from das_ag.report.gallery.content import page_content
from das_ag.report.traces import trace_table
from das_ag.store.samples import Sample
from das_ag.store.schema import SchemaError
from das_ag.store.store import Store

SIDE_PX = 48
SETTINGS = {
    "ascent": {"steps": 2},
    "objective": {"aesthetic_sign": 0},
    "guide": {"family": "tiny"},
    "pyramid": {"canvas_px": SIDE_PX, "max_level_px": SIDE_PX, "combine": "mean", "gamut": "full"},
    "weights": {"guide": "0" * 64},
    "revision": 5,
}


@pytest.fixture
def store(tmp_path, sample_of, put):
    """A sample that each test damages, and a whole one."""
    made = Store(tmp_path / "store")
    for sample in (sample_of(), sample_of("star")):
        put(made, dataclasses.replace(sample, settings=SETTINGS), 6.0)
    return made


def folder_of(store):
    (folder,) = store.root.glob("samples/das/heart-*")
    return folder


def rewrite(path, change):
    """Changes sample.json, and gives it the key of what it says then, as somebody who forges it would."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    change(entry)
    determining = {name: entry.get(name) for name in ("method", "positive", "negative", "seed", "settings")}
    text = json.dumps(determining, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    entry["key"] = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    path.write_text(json.dumps(entry), encoding="utf-8")


def put_in(group, **values):
    return lambda entry: entry[group].update(values)


def setting(group, **values):
    return lambda entry: entry["settings"].setdefault(group, {}).update(values)


CHANGES = {
    "method a path": (lambda e: e.update(method="../../das"), "method: expected a short name"),
    "prompt_id a number": (lambda e: e.update(prompt_id=7), "prompt_id: expected a short name"),
    "prompt_id a list": (lambda e: e.update(prompt_id=["heart"]), "prompt_id: expected a short name"),
    "prompt_id null": (lambda e: e.update(prompt_id=None), "prompt_id: expected a short name"),
    "positive a group": (lambda e: e.update(positive={"a red heart": 1}), "positive: expected a list of at least one"),
    "positive a text": (lambda e: e.update(positive="a red heart"), "positive: expected a list of at least one text"),
    "positive empty": (lambda e: e.update(positive=[]), "positive: expected a list of at least one text, got []"),
    "positive of numbers": (lambda e: e.update(positive=[7]), "positive: expected a list of at least one text"),
    "half a character": (lambda e: e.update(positive=["\ud800"]), "surrogates not allowed"),
    "negative null": (lambda e: e.update(negative=None), "negative: expected a list of texts, got None"),
    "seed a text": (lambda e: e.update(seed="42"), "seed: expected a whole number from 0 to 2**63 - 1, got '42'"),
    "seed true": (lambda e: e.update(seed=True), "seed: expected a whole number"),
    "seed below 0": (lambda e: e.update(seed=-1), "seed: expected a whole number"),
    "seed too large": (lambda e: e.update(seed=2**63), "seed: expected a whole number"),
    "settings null": (lambda e: e.update(settings=None), "settings: expected a group of values, got None"),
    "settings too deep": (
        lambda e: e.update(settings=json.loads('{"x": ' * 50 + "1" + "}" * 50)), "sample.json is nested too deeply",
    ),
    "a revision in words": (lambda e: e["settings"].update(revision="5"), "settings.revision: expected a whole number"),
    "pyramid a list": (lambda e: e["settings"].update(pyramid=[1]), "settings.pyramid: expected a group of values"),
    "a canvas in words": (setting("pyramid", canvas_px="48"), "settings.pyramid.canvas_px: expected a whole number"),
    "a huge canvas": (setting("pyramid", canvas_px=10**9), "settings.pyramid.canvas_px: expected a whole number"),
    "a level of 0 px": (setting("pyramid", max_level_px=0), "settings.pyramid.max_level_px: expected a whole number"),
    "weights of numbers": (setting("weights", guide=7), "settings.weights: expected a group of texts"),
    "a setting with a dot": (lambda e: e["settings"].update({"pyramid.canvas_px": "x"}), "expected a setting's name"),
    "result a list": (lambda e: e.update(result=[1, 2]), "result: expected a group of values, got [1, 2]"),
    "result of texts": (put_in("result", clip_positive="0.2"), "result.clip_positive: expected a finite number"),
    "result too large": (put_in("result", clip_negative=10**400), "result.clip_negative: expected a finite number"),
    "no similarity": (lambda e: e["result"].pop("clip_positive"), "result.clip_positive: expected a finite number"),
    "provenance null": (lambda e: e.update(provenance=None), "provenance: expected a group of values, got None"),
    "a row in words": (put_in("provenance", row="0"), "provenance.row: expected a whole number of at least 0, got '0'"),
    "a duration in words": (put_in("provenance", duration_s="1 h"), "provenance.duration_s: expected a finite number"),
    "a checksum of another": (lambda e: e.update(trace_sha256=7), "trace_sha256: expected a SHA-256"),
}  # fmt: skip


def told_of(store):
    """What the report, the gallery and the demo say of the damaged sample; each keeps the whole one."""
    scored = read_scores(store.root)
    assert scored.scores["prompt_id"].tolist() == ["star"]
    page, told = page_content(store.root, {"": store}, scored.scores, "Tiny judge", "")
    assert [sample["prompt_id"] for sample in page["samples"]] == ["star"]
    shown, damaged = entries(store)
    assert [entry.sample.prompt_id for entry in shown] == ["star"]
    assert scored.left_out == damaged == store.records()[1] == told
    return damaged


@pytest.mark.parametrize("name", CHANGES)
def test_a_value_of_another_type_is_named_and_the_sample_left_out(store, name):
    change, said = CHANGES[name]
    folder = folder_of(store)
    rewrite(folder / "sample.json", change)
    (sentence,) = told_of(store)
    assert sentence.startswith(f"{folder.relative_to(store.root)}: left out, since the sample is damaged (")
    assert said in sentence
    assert sentence.endswith("; delete the folder and run again.")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_file_to_wait_for(store):
    (folder_of(store) / "sample.json").unlink()
    os.mkfifo(folder_of(store) / "sample.json")
    (sentence,) = told_of(store)
    assert "sample.json is no regular file" in sentence


def test_numbers_of_the_guide_are_the_known_ones_alone(store):
    """Others would become columns of the table, in the place of the method or the prompt."""
    rewrite(folder_of(store) / "sample.json", put_in("result", method=7.0, prompt=8.0))
    assert set(read_scores(store.root).scores["method"]) == {"das"}
    assert [set(record.result) for record in store.records()[0]] == [
        {"guide_aesthetic_score", "clip_positive", "clip_negative"}
    ] * 2


SCORES = {
    "true": {"score": True},
    "text": {"score": "6.5"},
    "too large": {"score": 10**400},
    "no digest": {"digest": None},
    "title a number": {"title": 7},
    "weights a list": {"weights": ["0" * 64]},
    "weights of numbers": {"weights": {"judge": 7}},
    "recognised in words": {"recognised": "yes"},
    "remark a group": {"remark": {}},
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_of_another_type_is_named_and_counts_as_none(store, name):
    path = folder_of(store) / "scores.json"
    scores = json.loads(path.read_text())
    (option,) = SCORES[name]
    path.write_text(json.dumps({"tiny": scores["tiny"] | SCORES[name]}))
    scored = read_scores(store.root)
    of_prompt = scored.scores.set_index("prompt_id")["aesthetic_score"]
    assert np.isnan(of_prompt["heart"])
    assert of_prompt["star"] == 6.0
    (sentence,) = scored.left_out
    assert sentence.startswith(f"{path}: cannot read the scores (tiny.{option}: expected ")
    assert sentence.endswith("; run das-ag score on this experiment.")


def archive(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zeros(side, *shape, dtype=np.float16):
    return archive(**{str(side): np.zeros(shape or (3, side, side), dtype)})


def bomb():
    """A file of 3 MB that unpacks to 3 GB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file, file.open("48.npy", "w") as entry:
        for _ in range(30):
            entry.write(bytes(10**7))
    return buffer.getvalue()


def huge_header():
    """An array that says it has 10^15 numbers, and has none."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f2", "fortran_order": False, "shape": (3, 10**7, 10**8)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("48.npy", buffer.getvalue())
    return packed.getvalue()


def deflated():
    """A compressed level with a wrong first byte."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{"2": np.ones((3, 2, 2), np.float16)})
    data = bytearray(buffer.getvalue())
    data[30 + sum(struct.unpack_from("<HH", data, 26))] = 0xFF  # after the file's header, its name and the extra field
    return bytes(data)


LEVELS = {
    "deflated": (deflated, "while decompressing data"),
    "PK and junk": (lambda: b"PK\x03\x04 and junk", "it is no archive of arrays"),
    "NaN": (lambda: archive(**{"2": np.full((3, 2, 2), np.nan, np.float16)}), "the level of 2 px has NaN or infinity"),
    "infinity": (lambda: archive(**{"2": np.full((3, 2, 2), np.inf, np.float16)}), "has NaN or infinity"),
    "two channels": (lambda: zeros(2, 2, 2, 2), "expected numbers (3, 2, 2), got float16 (2, 2, 2)"),
    "another side": (lambda: zeros(4, 3, 2, 2), "expected numbers (3, 4, 4), got float16 (3, 2, 2)"),
    "flat": (lambda: zeros(2, 12), "expected numbers (3, 2, 2), got float16 (12,)"),
    "whole numbers": (lambda: zeros(2, dtype=np.int16), "expected numbers (3, 2, 2), got int16"),
    "objects": (lambda: archive(**{"2": np.array([None])}), "expected numbers (3, 2, 2), got object (1,)"),
    "a name in words": (lambda: archive(two=np.zeros((3, 2, 2))), "expected levels of 1 to 8192 px, got 'two.npy'"),
    "too many pixels": (lambda: zeros(9000, 1), "expected levels of 1 to 8192 px, got '9000.npy'"),
    "bomb": (bomb, "the level of 48 px is larger than its side allows"),
    "huge header": (huge_header, "expected numbers (3, 48, 48), got float16 (3, 10000000, 100000000)"),
    "one array": (lambda: np.lib.format.magic(1, 0), "cannot read the levels"),
}


@pytest.mark.parametrize("name", LEVELS)
def test_levels_of_another_form_are_named(store, name):
    make, said = LEVELS[name]
    path = folder_of(store) / "levels.npz"
    path.write_bytes(make())
    (record, _), _ = store.records()
    with pytest.raises(UserError) as told:
        store.read_levels(record)
    assert str(told.value).startswith(f"{path}: cannot read the levels of the pyramid (")
    assert said in str(told.value)


def test_an_image_of_900_megapixels_is_named_before_it_is_unpacked(store, recwarn):
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b""), b"IEND": b""}
    packed = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks.items()]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(packed)
    (folder_of(store) / "image.png").write_bytes(data)
    rewrite(folder_of(store) / "sample.json", lambda e: e.update(image_sha256=hashlib.sha256(data).hexdigest()))
    (record, _), _ = store.records()
    with pytest.raises(
        UserError, match=r"image\.png: the image is missing or damaged \(.*pixels.*\); delete its folder"
    ):
        store.read_image(record.image)
    assert not recwarn.list


TRACES = {
    "no rows": "step,loss\n",
    "no loss": "step,aesthetic\n0,1\n",
    "words": "step,loss\n0,high\n",
    "true": "step,loss\n0,True\n",
    "a hole": "step,loss\n0,\n",
    "a step twice": "step,loss\n0,1\n0,2\n",
    "empty": "",
    "a row too long": "step,loss\n0,1\n1,2,3\n",
}


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_of_another_form_is_named_by_plot_gallery_and_demo(store, name):
    path = folder_of(store) / "trace.csv"
    path.write_text(TRACES[name])
    records, _ = store.records()
    said = f"{path}: cannot read the trace ("
    table, (told,) = trace_table(store, records)
    assert set(table["prompt_id"]) == {"star"}
    assert told.startswith(said)
    page, _ = page_content(store.root, {"": store}, read_scores(store.root).scores, "Tiny judge", "")
    assert [sample["trace"] for sample in page["samples"] if sample["prompt_id"] == "heart"] == [{}]
    assert page["left_out"] == [told.replace(f"{store.root}/", "")]
    (entry,) = (entry for entry in entries(store)[0] if entry.sample.prompt_id == "heart")
    with pytest.raises(UserError, match="cannot read the trace"):
        entry.trace(store)


def test_an_evaluator_that_only_recognises_has_no_score_in_the_history(store):
    record, _ = store.records()[0]
    store.write_score(record, "tiny", None, "d" * 64, recognised=True, rank=1)
    assert [dict(entry.scores) for entry in entries(store)[0] if entry.sample == record.sample] == [{}]


@pytest.mark.parametrize("error", [7, None, {}, ["got NaN"]])
def test_a_failure_of_another_type_says_so(store, sample_of, error):
    store.failures.write(sample_of("ring"), "got NaN")
    (path,) = (store.root / "failures").iterdir()
    path.write_text(json.dumps({"error": error, **sample_of("ring").identity()}))
    assert store.failures.errors() == {
        path.name: f"could not be read (error: expected a text, got {error!r}); delete it"
    }
    path.unlink()
    path.symlink_to("nowhere")
    (said,) = store.failures.errors().values()
    assert said.startswith("could not be read (")


def test_the_description_of_a_sample_must_be_whole(sample_of):
    for name in sample_of().identity():
        identity = sample_of().identity()
        identity[name] = 0.5
        with pytest.raises(SchemaError, match=f"^{name}: expected "):
            Sample.from_identity(identity)
