"""Scores of finished images by the real judge."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import TinyJudge, TinyJudgeChoice, picture

from das_ag.errors import UserError
from das_ag.evaluation.evaluate import evaluate
from das_ag.models.contracts import Recognition
from das_ag.models.evaluators.aesthetic_v2_5 import AestheticV25Choice
from das_ag.report import method_summary, score_table
from das_ag.settings.choices import choose_evaluators
from das_ag.store.store import Store

CPU = torch.device("cpu")
JUDGE = {"tiny": TinyJudgeChoice()}
JUDGE_BY_NAME = {"kind": "tiny_models.TinyJudgeChoice"}


def scores_of(store):
    return {r.sample.seed: r.scores["tiny"]["score"] for r in store.records()[0] if "tiny" in r.scores}


def edit_scores(store, sample, **changes):
    path = store.root / sample.folder / "scores.json"
    scores = json.loads(path.read_text())
    scores["tiny"].update(changes)
    path.write_text(json.dumps(scores))


def test_scores_are_the_judges_of_the_stored_pixels(store, judge):
    assert evaluate(store, JUDGE, CPU) == []
    expected = {}
    for record in store.records()[0]:
        with Image.open(store.root / record.image) as image:
            expected[record.sample.seed] = float(judge.rate_images([np.array(image)])[0])
        entry = record.scores["tiny"]
        assert entry["digest"] == judge.digest == JUDGE["tiny"].digest()
        assert entry["image_sha256"] == record.image_sha256
    assert scores_of(store) == expected
    assert len(set(expected.values())) == 3
    assert all(1 <= score <= 10 for score in expected.values())


def test_an_image_is_scored_once(store, sample_of, monkeypatch):
    evaluate(store, JUDGE, CPU)
    edit_scores(store, sample_of(seed=2), score=1.25)  # shows whether it is computed anew
    before = scores_of(store)
    monkeypatch.setattr(TinyJudgeChoice, "load", lambda *_: pytest.fail("loaded for nothing"))
    assert evaluate(store, JUDGE, CPU) == []
    assert scores_of(store) == before
    assert before[2] == 1.25


def test_only_new_images_are_scored(store, sample_of, put, caplog):
    evaluate(store, JUDGE, CPU)
    put(store, sample_of(seed=4), image=picture(4))
    caplog.clear()
    with caplog.at_level(logging.INFO):
        evaluate(store, JUDGE, CPU)
    assert set(scores_of(store)) == {1, 2, 3, 4}
    assert "Tiny judge: 1 image scored" in caplog.text


def test_scores_by_other_weights_are_made_again(store, sample_of):
    evaluate(store, JUDGE, CPU)
    before = scores_of(store)
    edit_scores(store, sample_of(seed=2), score=1.25, digest="0" * 64)
    edit_scores(store, sample_of(seed=3), score=1.25, image_sha256="0" * 64)
    assert evaluate(store, JUDGE, CPU) == []
    assert scores_of(store) == before


def test_a_changed_image_does_not_keep_its_score(store, sample_of, judge):
    """Either the new image is scored, or the change is told: never the old score beside the new image."""
    evaluate(store, JUDGE, CPU)
    path = store.root / sample_of(seed=2).folder / "image.png"
    Image.fromarray(picture(7)).save(path)
    told = evaluate(store, JUDGE, CPU)
    told += store.damage(store.records()[0])
    right = float(judge.rate_images([picture(7)])[0])
    assert scores_of(store).get(2) == right or str(sample_of(seed=2).folder) in " ".join(told)


def test_an_unreadable_image_is_named_and_does_not_stop_the_others(store, sample_of):
    path = store.root / sample_of(seed=2).folder / "image.png"
    path.write_bytes(path.read_bytes()[:100])
    (sentence,) = evaluate(store, JUDGE, CPU)
    assert str(path) in sentence
    assert "delete its folder and run again" in sentence
    assert set(scores_of(store)) == {1, 3}


def test_a_score_does_not_depend_on_company(store, sample_of, put, tmp_path):
    evaluate(store, JUDGE, CPU)
    alone = Store(tmp_path / "alone")
    put(alone, sample_of(seed=3), image=picture(3))
    evaluate(alone, JUDGE, CPU)
    assert scores_of(alone)[3] == scores_of(store)[3]


def test_a_score_says_by_whom(store):
    evaluate(store, JUDGE, CPU)
    for record in store.records()[0]:
        entry = record.scores["tiny"]
        assert entry["title"] == "Tiny judge"
        assert entry["version"] == JUDGE["tiny"].version()
        assert entry["weights"] == {"judge": JUDGE["tiny"].digest()}
        assert not set(entry["weights"].values()) & set(record.sample.settings.get("weights", {}).values())


def test_force_scores_again(store, sample_of):
    evaluate(store, JUDGE, CPU)
    before = scores_of(store)
    edit_scores(store, sample_of(seed=2), score=1.25)
    evaluate(store, JUDGE, CPU, force=True)
    assert scores_of(store) == before


def test_a_damaged_sample_is_named(store, sample_of):
    (store.root / sample_of(seed=2).folder / "trace.csv").unlink()
    (sentence,) = evaluate(store, JUDGE, CPU)
    assert str(sample_of(seed=2).folder) in sentence
    assert set(scores_of(store)) == {1, 3}


def test_scores_that_are_given_at_the_same_time_are_all_kept(store):
    """By evaluators of two processes, whose scores of an image stand in one file."""
    names = ("one", "other")
    for _ in range(5):
        both = [
            threading.Thread(target=evaluate, args=(store, {n: JUDGE["tiny"]}, CPU), kwargs={"force": True})
            for n in names
        ]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert all(set(names) <= set(record.scores) for record in store.records()[0])
        for record in store.records()[0]:
            (store.root / record.folder / "scores.json").unlink()


def test_the_script_says_that_there_was_nothing_to_score(store, run_script):
    evaluate(store, JUDGE, CPU)
    done = run_script("--force", store.root, "runtime.device=cpu")
    assert "Tiny judge: 3 images scored" in done.stdout + done.stderr
    done = run_script(store.root, "runtime.device=cpu")
    assert "Tiny judge: all 3 images already scored" in done.stdout + done.stderr


def test_arguments_that_do_not_fit_are_told_before_anything_is_scored(store, pictures, tmp_path, run_script):
    for arguments, said in (
        ([store.root, "--csv", "x.csv"], f"--csv: expected a folder of pictures, got the experiment {store.root}"),
        ([pictures, "--force"], f"--force: expected an experiment, got {pictures}. All pictures"),
        ([pictures, "--csv", tmp_path / "no/x.csv"], "--csv: expected a file in an existing folder, got "),
    ):
        done = run_script(*arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith(f"Error: {said}")
    assert scores_of(store) == {}


def test_the_script_scores_a_store_and_a_folder(store, pictures, tmp_path, run_script):
    done = run_script(store.root, "runtime.device=cpu")
    assert (done.returncode, set(scores_of(store))) == (0, {1, 2, 3})
    done = run_script(pictures, "runtime.device=cpu", "--csv", tmp_path / "out.csv")
    assert done.returncode == 1
    assert "broken.jpeg" in done.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "image,tiny"
    done = run_script(tmp_path / "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("Error: ")


def test_a_v2_5_score_is_made_again_when_any_of_its_files_or_options_changes(tmp_path):
    siglip, head = tmp_path / "siglip", tmp_path / "head.pth"
    siglip.mkdir()
    for path in (siglip / "config.json", siglip / "model.safetensors", head):
        path.write_bytes(b"first")
    choice = AestheticV25Choice("google/siglip", str(siglip), str(head), "sdpa", "float32")
    digests = {choice.digest()}
    for path in (siglip / "config.json", siglip / "model.safetensors", head):
        path.write_bytes(b"second")
        digests.add(choice.digest())
    digests.add(dataclasses.replace(choice, attention="math").digest())
    digests.add(dataclasses.replace(choice, precision="bfloat16").digest())
    assert len(digests) == 6
    (siglip / "config.json").unlink()
    with pytest.raises(
        UserError, match=r"SigLIP: expected a file at .*config\.json, found none; point SIGLIP_MODEL_PATH"
    ):
        choice.digest()


def test_several_evaluators_stand_side_by_side(compose):
    config = compose("evaluator=[tiny,aesthetic_v2_5]")
    assert list(choose_evaluators(config.evaluator)) == ["tiny", "aesthetic_v2_5"]


def test_one_kind_of_evaluator_may_have_several_names(compose):
    options = compose("evaluator=aesthetic_v2_5").evaluator.aesthetic_v2_5
    chosen = choose_evaluators({"usual": {**options, "kind": "aesthetic_v2_5"}, "tiny": JUDGE_BY_NAME})
    assert chosen == {"usual": choose_evaluators({"aesthetic_v2_5": options})["aesthetic_v2_5"], **JUDGE}


class Recogniser(TinyJudge):
    """Also recognises: the rank is the length of the text, and it knows no heart."""

    def recognise(self, _, texts):
        if "heart" in texts[0]:
            return None
        return Recognition(rank=len(texts[0]), recognised=len(texts[0]) == 1)


class Silent(Recogniser):
    """Rates nothing."""

    def rate_images(self, images):
        return np.full(len(images), np.nan, dtype=np.float32)


@pytest.mark.parametrize(("evaluator", "rates"), [(Recogniser, True), (Silent, False)])
def test_what_an_evaluator_recognises_stands_beside_its_score(tmp_path, sample_of, put, evaluator, rates):
    store = Store(tmp_path / "outputs")
    store.prepare()
    for text in ("x", "xx", "a heart"):
        put(store, sample_of(text.replace(" ", "_"), positive=(text,)), image=picture(1))
    assert evaluate(store, JUDGE, CPU, load=lambda *_: evaluator()) == []
    records = store.records()[0]
    found = {r.sample.positive[0]: r.scores["tiny"] for r in records}
    assert {text: entry.get("rank") for text, entry in found.items()} == {"x": 1, "xx": 2, "a heart": None}
    assert {text: entry.get("recognised") for text, entry in found.items()} == {"x": True, "xx": False, "a heart": None}
    assert all((entry["score"] is not None) == rates for entry in found.values())
    table = score_table(records, "tiny").set_index("prompt")
    assert table["recognised"].to_dict() == pytest.approx({"x": 1, "xx": 0, "a heart": np.nan}, nan_ok=True)
    assert table["aesthetic_score"].notna().all() == rates
    (summary,) = method_summary(table).to_dict("records")
    assert (summary["recognised"], summary["recognisable"], summary["n"]) == (1, 2, 3 if rates else 2)
