"""What somebody is told who is about to start the published experiment."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from reference import ROOT, find_weights, save_small_clip, save_small_siglip, small_clip
from tiny_models import TinyGuideChoice, TinyJudgeChoice

from das_ag.errors import UserError
from das_ag.evaluation import readiness
from das_ag.evaluation.readiness import RATING_SCORES, is_known_answer, known_answer, look, sources
from das_ag.models.aesthetic import save_random_head
from das_ag.models.evaluators.aesthetic_v2_5 import AestheticV25Choice
from das_ag.models.files import WeightFile
from das_ag.models.guides.openai_clip import OpenAIClipChoice


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A path for each variable, and files of the real formats there."""
    folder = tmp_path_factory.mktemp("weights")
    save_random_head(folder / "head.pth")
    (folder / "v2_5.pth").write_bytes((folder / "head.pth").read_bytes())
    return {
        "CLIP_MODEL_PATH": str(save_small_clip(folder)),
        "AESTHETIC_PREDICTOR_PATH": str(folder / "head.pth"),
        "SIGLIP_MODEL_PATH": str(save_small_siglip(folder / "siglip")),
        "AESTHETIC_PREDICTOR_V2_5_PATH": str(folder / "v2_5.pth"),
    }


def choices(files):
    clip, head, siglip, v2_5 = files.values()
    guide = OpenAIClipChoice("openai_clip", "ViT-L/14", clip, head, "sdpa", False)
    return guide, [AestheticV25Choice("google/siglip-so400m-patch14-384", siglip, v2_5, "sdpa", "float32")]


def test_every_file_of_the_paper_is_looked_for(files):
    guide, evaluators = choices(files)
    findings = [look(source) for source in sources(guide, *evaluators)]
    assert [f.what.split(" (")[0] for f in findings] == [
        "CLIP", "LAION aesthetic head", "SigLIP", "Aesthetic Predictor v2.5 head",
    ]  # fmt: skip
    assert all(f.usable for f in findings)
    assert [f.published for f in findings] == [None, False, None, False]
    assert [f.licence for f in findings[1:]] == ["Apache-2.0", "Apache-2.0", "AGPL-3.0"]
    assert all(len(f.sha256) == 64 and f.size_bytes > 1e5 for f in findings)


def test_a_missing_file_has_a_remedy(files, tmp_path):
    guide, evaluators = choices({**files, "AESTHETIC_PREDICTOR_PATH": str(tmp_path / "nowhere.pth")})
    finding = [look(source) for source in sources(guide, *evaluators)][1]
    assert not finding.usable
    assert finding.sha256 is None
    assert finding.remedy == "point AESTHETIC_PREDICTOR_PATH to it"


def test_an_altered_file_in_its_own_place_is_unusable(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(b"altered")
    finding = look(WeightFile("CLIP X", "CLIP_MODEL_PATH", path, False, "http://nowhere", "0" * 64, "MIT"))
    assert not finding.usable
    assert "expected SHA-256 0000" in finding.problem


def test_models_of_ones_own_need_no_file():
    assert list(sources(TinyGuideChoice("tiny"), TinyJudgeChoice())) == []


def test_openais_answer_is_known_and_another_is_not():
    assert is_known_answer((0.9927937, 0.00421068, 0.00299572))
    assert is_known_answer((0.9930, 0.0041, 0.0029))
    assert not is_known_answer((0.9827, 0.0102, 0.0071))
    assert not is_known_answer((1 / 3, 1 / 3, 1 / 3))


def test_the_answer_is_that_of_clips_own_functions(tmp_path, monkeypatch):
    """On a small model and a made-up picture; the real ones are asked where they are at hand."""
    import clip
    import numpy as np
    import torch
    from PIL import Image

    weights, picture = save_small_clip(tmp_path), tmp_path / "CLIP.png"
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(picture)
    files = tuple(WeightFile("x", "y", path, False, None, None, "MIT") for path in (weights, picture))
    monkeypatch.setattr(readiness, "known_answer_files", lambda: files)
    network = small_clip()
    network.load_state_dict({name: w.float() for name, w in torch.load(weights, weights_only=True).items()})
    network.logit_scale.data.fill_(np.log(100))
    with torch.no_grad(), Image.open(picture) as image:
        prepared = clip.clip._transform(224)(image)[None]
        logits, _ = network(prepared, clip.tokenize(["a diagram", "a dog", "a cat"]))
    assert known_answer() == pytest.approx(logits.softmax(dim=-1)[0].tolist(), abs=1e-5)
    picture.unlink()
    assert known_answer() is None


def test_openais_example_where_the_real_weights_are():
    answer = known_answer()
    if answer is None:
        pytest.skip("needs ViT-B/32 and CLIP.png: das-ag check --download")
    assert is_known_answer(answer)


def check(tmp_path, *arguments, **variables):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
    environment["PYTHONPATH"] = str(ROOT / "src")
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "check_models.py"), *arguments],
        env={**environment, **variables}, capture_output=True, encoding="utf-8", timeout=300, check=False, cwd=tmp_path,
    )  # fmt: skip


def test_nothing_is_there(tmp_path):
    done = check(tmp_path, "--no-estimate")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:3] == [
        "weights                            size    licence     checksum",
        "CLIP ViT-L/14                      933 MB  MIT         missing",
        "  from openaipublic.azureedge.net to ~/.cache/clip/ViT-L-14.pt",
    ]
    assert "  from the hub, google/siglip-so400m-patch14-384 to ~/.cache/huggingface/hub" in lines
    assert re.findall(r"  (\S+ [MG]B)  ", done.stdout) == ["933 MB", "3.7 MB", "3.5 GB", "2.6 MB"]
    names = "CLIP ViT-L/14, LAION aesthetic head for ViT-L/14, SigLIP, Aesthetic Predictor v2.5 head"
    assert f"Missing or unusable: {names}; 4.5 GB" in " ".join(done.stdout.split())
    assert "  To get what is missing: das-ag check experiment=paper --download" in lines
    assert done.stdout.count("not here") == 4
    assert "Downloads are in ~/.cache/clip, ~/.cache/das-ag and" in done.stdout
    assert done.stdout.endswith("The experiment cannot start here.\n")


def test_any_experiment_can_be_asked_about(tmp_path):
    done = check(tmp_path, "--no-estimate", "experiment=laptop", "evaluator=clip_score")
    assert done.returncode == 1, done.stderr
    assert re.findall(r"^(\S.*?)  .*missing$", done.stdout, re.MULTILINE) == [
        "CLIP ViT-B/32", "LAION aesthetic head for ViT-B/32", "CLIP ViT-B/16",
    ]  # fmt: skip
    command = "das-ag check experiment=laptop evaluator=clip_score --download"
    assert f"To get what is missing: {command}" in " ".join(done.stdout.split())
    done = check(tmp_path, "--no-estimate", "experiment=large")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0, "Weights   all come with Python packages; nothing to download",
    )  # fmt: skip
    assert "known answers" not in done.stdout


def test_everything_is_there(tmp_path, files):
    """The estimate comes from steps of the real run, here of a small CLIP."""
    done = check(tmp_path, "runtime.device=cpu", "canvas_px=64", "views.max_shift_px=4", **files)
    assert done.returncode == 0, done.stderr
    assert "missing" not in done.stdout
    assert done.stdout.count(", not the published file") == 2
    time = r"Time      (\d+\.\d) s an image \(200 steps of (\d+\.\d\d) s\) 36 images with 3 methods: about (\d+\.\d) h"
    image_s, step_s, hours = map(float, re.search(time, re.sub(r"\n +", " ", done.stdout)).groups())
    assert image_s == pytest.approx(200 * step_s, abs=1.1)
    assert hours == pytest.approx(36 * image_s / 3600, abs=0.06)
    assert float(re.search(r"Memory    (\d+\.\d) GB", done.stdout)[1]) > 0.3
    assert done.stdout.endswith("The experiment can start here.\n")


def test_the_time_of_a_missing_guide_is_that_of_random_weights(tmp_path):
    """Of DAS alone, for a CLIP without a head."""
    fast = ("canvas_px=64", "views.max_shift_px=4", "views.count=1", "runtime.device=cpu", "runtime.threads=1")
    done = check(tmp_path, "experiment=laptop", "models.name=RN50", *fast)
    assert "  18 images" not in done.stdout
    assert "6 images with 1 method: about" in done.stdout
    assert "measured with random weights of the size of RN50" in done.stdout


def test_a_head_at_hand_answers_as_known_and_a_head_for_another_clip_is_told(tmp_path, files):
    names = {name: find_weights(name, variable="X") for name in RATING_SCORES}
    (tmp_path / ".cache" / "das-ag").mkdir(parents=True)
    for path in names.values():
        shutil.copy(path, tmp_path / ".cache" / "das-ag")
    wrong = str(names["sa_0_4_vit_l_14_linear.pth"])
    clips = {f"CLIP_MODEL_PATH_VIT_B_{patch}": files["CLIP_MODEL_PATH"] for patch in (32, 16)}
    done = check(
        tmp_path, "--no-estimate", "experiment=laptop", **clips, AESTHETIC_PREDICTOR_PATH_VIT_B_16=wrong
    )  # fmt: skip
    assert done.returncode == 1
    assert re.findall(r"(\S+)  +ten real features   right", done.stdout) == list(RATING_SCORES)
    said = "evaluator.laion.head: expected a file for ViT-B/16, got the published one for ViT-L/14; choose"
    assert said in " ".join(done.stdout.split())
    assert done.stdout.endswith("The experiment cannot start here.\n")


def test_a_wrong_option_is_told(tmp_path):
    done = check(tmp_path, "models.name=ViT-Z/1")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: models.name: expected one of RN50, ")


def test_download_goes_on_after_what_cannot_be_had(tmp_path):
    """Without a network: each model has its own sentence, nothing half-written is taken for a file."""
    nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    done = check(tmp_path, "--download", "--no-estimate", **nowhere)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert [line.split(":")[1].strip() for line in errors] == [
        "CLIP ViT-L/14", "LAION aesthetic head for ViT-L/14", "SigLIP", "Aesthetic Predictor v2.5 head",
        "CLIP ViT-B/32", "CLIP.png",
    ]  # fmt: skip
    assert all("connect to the network" in line for line in errors)
    where = ["CLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_PATH", "SIGLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_V2_5_PATH"]
    assert [line.split("or point ")[1] for line in errors[:4]] == [f"{variable} to a copy." for variable in where]
    assert errors[4].endswith("or point CLIP_MODEL_PATH_VIT_B_32 to a copy.")
    assert errors[5].endswith(f"or put a copy at {tmp_path}/.cache/das-ag/CLIP.png.")
    assert len(re.findall("missing$", done.stdout, re.MULTILINE)) == 4


def test_unusable_weights_are_no_reason_to_stop_looking(tmp_path, files):
    with pytest.raises(UserError):
        OpenAIClipChoice("openai_clip", "none", None, None, "sdpa", False).files()
    folder = tmp_path / ".cache" / "clip"
    folder.mkdir(parents=True)
    (folder / "ViT-L-14.pt").write_bytes(b"cut off")
    done = check(tmp_path, "--no-estimate", **{**files, "CLIP_MODEL_PATH": ""})
    assert done.returncode == 1
    assert re.search(r"^CLIP ViT-L/14 .* unusable$", done.stdout, re.MULTILINE)
    assert "truncated or altered; delete it" in " ".join(done.stdout.split())
    assert "missing" not in done.stdout.split("known answers")[0]
