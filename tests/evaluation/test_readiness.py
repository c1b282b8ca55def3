"""What somebody is told who is about to start the published experiment."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from reference import ROOT, save_small_clip, save_small_siglip, small_clip
from tiny_models import TinyGuideChoice, TinyJudgeChoice

from das_ag.errors import UserError
from das_ag.evaluation import readiness
from das_ag.evaluation.readiness import is_known_answer, known_answer, look, sources
from das_ag.models.aesthetic import save_random_head
from das_ag.models.evaluators.aesthetic_v2_5 import AestheticV25Choice
from das_ag.models.guides.openai_clip import OpenAIClipChoice
from das_ag.models.sources import WeightFile


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
    findings = [look(source) for source in sources(*choices(files))]
    assert [f.what.split(" (")[0] for f in findings] == [
        "CLIP", "LAION aesthetic head", "SigLIP", "Aesthetic Predictor v2.5 head",
    ]  # fmt: skip
    assert all(f.usable for f in findings)
    assert [f.published for f in findings] == [None, False, None, False]
    assert [f.licence for f in findings[1:]] == ["Apache-2.0", "Apache-2.0", "AGPL-3.0"]
    assert all(len(f.sha256) == 64 and f.size_bytes > 1e5 for f in findings)


def test_a_missing_file_has_a_remedy(files, tmp_path):
    guide, evaluators = choices({**files, "AESTHETIC_PREDICTOR_PATH": str(tmp_path / "nowhere.pth")})
    finding = [look(source) for source in sources(guide, evaluators)][1]
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
    assert list(sources(TinyGuideChoice("tiny"), [TinyJudgeChoice()])) == []


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
    assert done.stdout.count(": missing") == 4
    assert "run das-ag check --download, or point CLIP_MODEL_PATH to it" in done.stdout
    assert re.findall(r"  size     (.*)", done.stdout) == ["932.8 MB", "3.7 MB", "3,512.0 MB", "2.6 MB"]
    names = "CLIP ViT-L/14, LAION aesthetic head for ViT-L/14, SigLIP, Aesthetic Predictor v2.5 head"
    assert f"\nMissing or unusable: {names}; 4,451.1 MB in total\n" in done.stdout
    assert "ViT-B-32.pt (354 MB) and " in done.stdout
    assert done.stdout.endswith("The experiment cannot start here.\n")


def test_everything_is_there(tmp_path, files):
    """The estimate comes from steps of the real run, here of a small CLIP."""
    done = check(tmp_path, "runtime.device=cpu", "canvas_px=64", "views.max_shift_px=4", **files)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": found") == 4
    assert "not the published file" in done.stdout
    time = r"Time: (\d+\.\d\d) s per step, 200 steps, 36 batches: about (\d+\.\d) h\n"
    step_s, hours = re.search(time, done.stdout).groups()
    assert float(hours) == pytest.approx(float(step_s) * 200 * 36 / 3600, abs=0.07)
    assert float(re.search(r"Memory needed: (\d+\.\d) GB", done.stdout)[1]) > 0.3
    assert done.stdout.endswith("The experiment can start here.\n")


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
    # A variable would give the guide another network; only the files of the known answer have none.
    where = ["CLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_PATH", "SIGLIP_MODEL_PATH", "AESTHETIC_PREDICTOR_V2_5_PATH"]
    assert [line.split("or point ")[1] for line in errors[:4]] == [f"{variable} to a copy." for variable in where]
    assert errors[4].endswith(f"or put a copy at {tmp_path}/.cache/clip/ViT-B-32.pt.")
    assert errors[5].endswith(f"or put a copy at {tmp_path}/.cache/das-ag/CLIP.png.")
    assert done.stdout.count(": missing") == 4


def test_unusable_weights_are_no_reason_to_stop_looking(tmp_path, files):
    with pytest.raises(UserError):
        OpenAIClipChoice("openai_clip", "none", None, None, "sdpa", False).files()
    folder = tmp_path / ".cache" / "clip"
    folder.mkdir(parents=True)
    (folder / "ViT-L-14.pt").write_bytes(b"cut off")
    done = check(tmp_path, "--no-estimate", **{**files, "CLIP_MODEL_PATH": ""})
    assert done.returncode == 1
    assert "CLIP ViT-L/14: unusable" in done.stdout
    assert "truncated or altered; delete it" in done.stdout
    assert done.stdout.count(": found") == 3
