"""Whether a finished experiment can be had again, to the byte: the verdict on each sample, and the script's."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from das_ag import __version__, cli
from das_ag.commands import verify as verify_command
from das_ag.errors import UserError
from das_ag.generation import verify as verify_module
from das_ag.generation.generate import generate
from das_ag.generation.regenerate import describe_trace_difference
from das_ag.generation.verify import Verdict, differences, verify
from das_ag.settings import environment
from das_ag.store.files import encode_png
from das_ag.store.store import Store

SCRIPT = Path(__file__).parents[2] / "scripts" / "verify.py"
SAME = "image and trace are the same"
BY = f" (das-ag {__version__})"
CHANGED_TRACE = "trace differs: from step 1 on, by at most 6.0e+00"
CPU = ["runtime.device=cpu"]


@pytest.fixture(scope="module")
def made(plan_of, tiny, tmp_path_factory):
    """A store of three samples, in a full batch and another; tests copy it before they change it."""
    store = Store(tmp_path_factory.mktemp("made") / "outputs")
    prompts = "{heart: a red heart, star: a yellow star, ring: a blue ring}"
    options = ("method=das_ag", "runtime.samples_per_batch=2", "runtime.threads=1")
    generate(plan_of(*tiny, "prompts=own", f"prompts.positive={prompts}", *options), store)
    return store


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "outputs")
    return Store(tmp_path / "outputs")


def record_of(store, prompt_id="heart"):
    (record,) = [record for record in store.records()[0] if record.sample.prompt_id == prompt_id]
    return record


def edit(store, change, prompt_id="heart"):
    """Changes what sample.json says, in place."""
    path = store.root / record_of(store, prompt_id).folder / "sample.json"
    entry = json.loads(path.read_text(encoding="utf-8"))
    change(entry)
    path.write_text(json.dumps(entry), encoding="utf-8")


def put_image(store, pixels):
    """Makes these pixels the stored image of the heart, as if they had been made so."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    (store.root / record_of(store).image).write_bytes(buffer.getvalue())
    edit(store, lambda entry: entry.update(image_sha256=hashlib.sha256(buffer.getvalue()).hexdigest()))


def put_trace(store, data, *, with_sha256):
    (store.root / record_of(store).folder / "trace.csv").write_bytes(data)
    if with_sha256:
        edit(store, lambda entry: entry.update(trace_sha256=hashlib.sha256(data).hexdigest()))


def change_pixel(store):
    """One channel of one pixel by 40."""
    pixels = store.read_image(record_of(store).image)
    value = int(pixels[3, 4, 1])
    pixels[3, 4, 1] = value + 40 if value < 128 else value - 40
    put_image(store, pixels)


def change_trace(store):
    data = (store.root / record_of(store).folder / "trace.csv").read_bytes()
    put_trace(store, data.replace(b"\n1,", b"\n7,"), with_sha256=True)


def forget_row(store):
    edit(store, lambda entry: entry["provenance"].pop("row"))


def test_each_sample_has_its_bytes_again(made):
    records, _ = made.records()
    assert len(records) == 3
    for record in records:
        assert verify(made, record) == Verdict(record.sample.name, True, SAME, [])


def test_looking_changes_nothing(made):
    before = {path: path.stat().st_mtime_ns for path in made.root.rglob("*")}
    verify(made, record_of(made))
    assert {path: path.stat().st_mtime_ns for path in made.root.rglob("*")} == before


def test_other_pixels_are_told_with_their_distance(store):
    change_pixel(store)
    # 10 log₁₀(255² · 28 · 28 · 3 / 40²) = 49.80
    said = "image differs: largest pixel difference 40 of 255, PSNR 49.8 dB"
    assert verify(store, record_of(store), CPU) == Verdict("das_ag heart seed 42", False, said, [])
    assert verify(store, record_of(store, "star"), CPU).is_same is True


def test_an_image_of_another_sample_is_far_off(store):
    ours, theirs = (store.read_image(record_of(store, name).image) for name in ("heart", "star"))
    put_image(store, theirs)
    apart = np.abs(ours.astype(float) - theirs.astype(float))
    decibel = 20 * np.log10(255) - 10 * np.log10((apart**2).mean())
    assert decibel < 25
    verdict = verify(store, record_of(store), CPU)
    assert verdict.is_same is False
    assert verdict.sentence == (
        f"image differs: largest pixel difference {apart.max():.0f} of 255, PSNR {decibel:.1f} dB"
    )


def test_the_same_pixels_in_other_bytes_are_not_the_same(store):
    put_image(store, store.read_image(record_of(store).image))
    verdict = verify(store, record_of(store), CPU)
    assert (verdict.is_same, verdict.sentence) == (False, "image differs: same pixels, different bytes in the file")


def test_other_words_beside_the_same_recipe_are_told_and_do_not_count(store):
    """Another version may write the command otherwise."""
    path = store.root / record_of(store).image
    with Image.open(path) as image:
        reworded = encode_png(np.array(image), image.text | {"Command": "uv run das-ag run …"})
    path.write_bytes(reworded)
    edit(store, lambda entry: entry.update(image_sha256=hashlib.sha256(reworded).hexdigest()))
    said = f"{SAME}; only the wording of the text in the PNG differs"
    assert verify(store, record_of(store), CPU) == Verdict("das_ag heart seed 42", True, said, [])


def test_an_image_of_another_size_is_told(store):
    put_image(store, np.zeros((14, 21, 3), np.uint8))
    verdict = verify(store, record_of(store), CPU)
    assert (verdict.is_same, verdict.sentence) == (False, "image differs: 28 × 28 px instead of 21 × 14 px")


@pytest.mark.parametrize("with_sha256", [True, False], ids=["as if made so", "behind its back"])
def test_another_trace_is_told(store, with_sha256):
    data = (store.root / record_of(store).folder / "trace.csv").read_bytes()
    put_trace(store, data + b"3,0,0,0,0,0,0\n", with_sha256=with_sha256)
    said = "trace differs: 3 steps instead of 4"
    assert verify(store, record_of(store), CPU) == Verdict("das_ag heart seed 42", False, said, [])


def test_how_far_a_trace_is_off_is_told(store):
    lines = (store.root / record_of(store).folder / "trace.csv").read_text().splitlines()
    step, loss, *others = lines[2].split(",")
    lines[2] = ",".join([step, str(float(loss) + 0.25), *others])
    put_trace(store, ("\n".join(lines) + "\n").encode(), with_sha256=True)
    assert verify(store, record_of(store), CPU).sentence == "trace differs: from step 1 on, by at most 2.5e-01"


def test_a_sum_of_another_trace_is_told(store):
    edit(store, lambda entry: entry.update(trace_sha256="0" * 64))
    assert verify(store, record_of(store), CPU).sentence == "trace differs"


def test_all_that_differs_is_told(store):
    change_pixel(store)
    change_trace(store)
    verdict = verify(store, record_of(store), CPU)
    assert verdict.is_same is False
    assert verdict.sentence == f"image differs: largest pixel difference 40 of 255, PSNR 49.8 dB; {CHANGED_TRACE}"


@pytest.mark.parametrize("name", ["samples_per_batch", "row", "views_per_pass", "threads"])
def test_a_sample_of_an_earlier_version_cannot_be_judged(store, monkeypatch, name):
    edit(store, lambda entry: entry["provenance"].pop(name))
    monkeypatch.setattr(verify_module, "regenerate", None)  # nothing is made in vain
    assert verify(store, record_of(store)) == Verdict(
        "das_ag heart seed 42", None, "cannot be made again: an earlier version did not record its row in the batch", ()
    )


def test_an_image_that_is_not_the_one_that_was_made_cannot_be_judged(store):
    (store.root / record_of(store).image).write_bytes(b"no picture")
    verdict = verify(store, record_of(store), CPU)
    assert verdict.is_same is None
    assert "image.png: the image is missing or damaged" in verdict.sentence


def test_a_sample_that_cannot_be_made_here_cannot_be_judged(store):
    verdict = verify(store, record_of(store), ["steps=4"])
    assert verdict.is_same is None
    assert verdict.environment == ()
    assert " (settings.ascent.steps 4 instead of 3); use the version " in verdict.sentence


def elsewhere(provenance):
    provenance["versions"] |= {"torch": "2.6.0", "flash-attn": "2.7.4"}
    provenance |= {"python": "3.9.1", "processor": "Elbrus", "duration_s": 9999.0, "published_figures": True}
    del provenance["platform"]


def test_another_environment_is_told_though_the_bytes_are_the_same(store):
    edit(store, lambda entry: elsewhere(entry["provenance"]))
    here = record_of(store, "star").provenance
    verdict = verify(store, record_of(store), CPU)
    assert (verdict.is_same, verdict.sentence) == (True, SAME)
    assert sorted(verdict.environment) == sorted(
        [
            f"torch: now {here['versions']['torch']}, originally 2.6.0",
            "flash-attn: now None, originally 2.7.4",
            f"python: now {platform.python_version()}, originally 3.9.1",
            f"processor: now {here['processor']}, originally Elbrus",
            f"platform: now {platform.platform()}, originally None",
        ]
    )


def test_threads_are_those_of_the_record(store):
    edit(store, lambda entry: entry["provenance"].update(threads=2))
    verdict = verify(store, record_of(store), CPU)
    assert torch.get_num_threads() == 2
    assert verdict.environment == []
    # The PNG carries their number, so this one was never made with two.
    assert verdict.sentence.startswith("image differs: ")


def test_threads_that_are_asked_for_are_told(store):
    assert torch.get_num_threads() != 3
    assert verify(store, record_of(store), [*CPU, "runtime.threads=3"]).environment == ["threads: now 3, originally 1"]


@pytest.mark.parametrize("name", ["duration_s", "published_figures"])
def test_what_says_nothing_of_the_machine_is_not_compared(name):
    assert differences({name: 1, "device": "cpu"}, {name: 2, "device": "cpu"}) == []
    assert differences({name: 1, "device": "cpu"}, {"device": "mps"}) == ["device: now mps, originally cpu"]


def test_a_verdict_is_printed_with_what_is_different_here():
    name, environment = "das heart seed 42", ["torch: now 2.7, originally 2.6", "device: now cpu, originally mps"]
    assert str(Verdict(name, True, SAME, [])) == f"{name}: {SAME}"
    assert str(Verdict(name, False, "trace differs", environment)) == (
        f"{name}: trace differs\n  torch: now 2.7, originally 2.6\n  device: now cpu, originally mps"
    )


@pytest.mark.parametrize(
    ("recorded", "is_cuda_here", "asked", "expected"),
    [
        ("cpu", True, [], ["runtime.device=cpu"]),
        ("NVIDIA H200", True, [], ["runtime.device=cuda"]),
        ("NVIDIA H200", False, [], []),
        ("cpu", True, ["runtime.device=cuda"], ["runtime.device=cuda"]),
        ("NVIDIA H200", True, ["runtime.device=cpu", "models.path=x"], ["runtime.device=cpu", "models.path=x"]),
        ("NVIDIA H200", True, ["models.path=x"], ["runtime.device=cuda", "models.path=x"]),
    ],
)
def test_it_is_made_on_the_kind_of_device_that_made_it(store, monkeypatch, recorded, is_cuda_here, asked, expected):
    edit(store, lambda entry: entry["provenance"].update(device=recorded))
    seen = []

    def regenerate(recipe, overrides, *, allow):
        seen.append((recipe.sample, recipe.placement, overrides))
        raise UserError("no")

    monkeypatch.setattr(verify_module, "regenerate", regenerate)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_cuda_here)
    record = record_of(store)
    assert verify(store, record, asked) == Verdict(record.sample.name, None, "no", ())
    assert seen == [(record.sample, record.placement, expected)]


@pytest.fixture
def script(monkeypatch, tmp_path, capsys):
    """Runs das-ag verify in this process: exit status, lines of stdout, stderr."""
    monkeypatch.setattr(environment, "DOTENV", tmp_path / "no.env")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # which would else be set for good

    def run(*arguments):
        status = cli.main(["verify", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err

    return run


def test_the_script_ends_with_0_if_all_are_the_same(script, made):
    status, lines, err = script(made.root)
    assert (status, err) == (0, "")
    assert sorted(lines[:3]) == [f"das_ag {name} seed 42: {SAME}" for name in ("heart", "ring", "star")]
    assert lines[3:] == [f"Same as the stored files: 3 of 3 samples{BY}"]


def test_the_script_ends_with_1_if_one_differs(script, store):
    change_trace(store)
    edit(store, lambda entry: entry["provenance"].pop("row"), "ring")  # another cannot be judged
    edit(store, lambda entry: entry["provenance"].update(processor="Elbrus"))
    status, lines, _ = script(store.root, *CPU)
    assert status == 1
    assert lines[-1] == f"Same as the stored files: 1 of 3 samples{BY}"
    place = lines.index(f"das_ag heart seed 42: {CHANGED_TRACE}")
    assert lines[place + 1].endswith(", originally Elbrus")
    assert lines[place + 1].startswith("  processor: now ")


def test_samples_of_one_name_are_told_apart_by_their_keys(script, store, plan_of, tiny):
    """They differ in their settings."""
    options = ("prompts=own", "prompts.positive={heart: a red heart}", "method=das_ag", "steps=2")
    plan = plan_of(*tiny, *options)
    generate(plan, store)
    status, lines, _ = script(store.root, "--samples", 4)
    hearts = [record.sample.key[:12] for record in store.records()[0] if record.sample.prompt_id == "heart"]
    assert (status, len(set(hearts))) == (0, 2)
    assert sorted(lines[:4]) == sorted(
        [f"das_ag {name} seed 42: {SAME}" for name in ("ring", "star")]
        + [f"das_ag heart seed 42, key {key}: {SAME}" for key in hearts]
    )


def test_a_large_sample_is_not_made_without_a_word(script, store, monkeypatch, capsys):
    """Its recipe is a file of somebody else's."""
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr("das_ag.generation.cost.PUBLISHED_VIEWS", 0.001)
    for options, expected, same in (([], 2, 0), (["--yes"], 0, 3)):
        status, lines, err = script(store.root, *options)
        assert (status, lines[-1]) == (expected, f"Same as the stored files: {same} of 3 samples{BY}")
        assert err.count("3 steps, ") == 3
    asks = "asks for more than the published experiment; add --yes to make it all the same."
    assert sorted(script(store.root)[1][:3]) == [f"das_ag {name} seed 42: {asks}" for name in ("heart", "ring", "star")]


@pytest.mark.parametrize("what", ["row", "override"])
def test_the_script_ends_with_2_if_one_could_not_be_made(script, store, what):
    if what == "row":
        forget_row(store)
    status, lines, _ = script(store.root, *(["runtime.devise=cpu"] if what == "override" else []))
    assert status == 2
    assert lines[-1] == f"Same as the stored files: {2 if what == 'row' else 0} of 3 samples{BY}"


def test_samples_of_models_that_are_gone_are_told_in_a_sentence_each(script, old_store):
    status, lines, err = script(old_store.root)
    assert (status, err) == (2, "")
    why = "only version 0.1.0 of das-ag has the models that made this sample; use that version."
    assert sorted(lines[:3]) == [f"{name} heart seed 42: {why}" for name in ("das", "das_ag", "das_rag")]
    assert lines[3:] == [f"Same as the stored files: 0 of 3 samples{BY}"]


def test_the_script_ends_with_2_if_a_sample_is_damaged(script, store):
    (store.root / record_of(store).folder / "trace.csv").unlink()
    status, lines, err = script(store.root)
    assert status == 2
    assert lines[-1] == f"Same as the stored files: 2 of 2 samples{BY}"
    assert "left out, since the sample is damaged (FileNotFoundError" in err


@pytest.mark.parametrize("name", ["image.png", "levels.npz", "scores.json"])
def test_the_script_ends_with_2_if_a_file_is_damaged(script, store, name):
    """Also a file of a sample that is not drawn."""
    path = store.root / record_of(store).folder / name
    path.write_bytes(b"PK and no more")
    status, lines, err = script(store.root, "--samples", 1, "--draw", 5)
    assert (status, lines) == (2, [f"das_ag star seed 42: {SAME}", f"Same as the stored files: 1 of 1 sample{BY}"])
    assert err.startswith(f"{path}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("data", [b"", b"\n", b"step,loss\n", b"\xff\x00junk", b"step,loss\n0,1\n0,1,2\n"])
def test_a_trace_of_another_form_differs_without_a_warning(store, data):
    put_trace(store, data, with_sha256=True)
    assert verify(store, record_of(store), CPU).sentence == "trace differs"


def test_a_value_that_was_not_recorded_is_no_difference():
    before, after = b"step,loss,l1\n0,1,nan\n1,2,3\n", b"step,loss,l1\n0,1,nan\n1,2,5\n"
    assert describe_trace_difference(before, before) == ""
    assert describe_trace_difference(before, after) == "from step 1 on, by at most 2.0e+00"


def test_the_script_ends_with_2_where_there_is_nothing_to_verify(script, tmp_path):
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    status, lines, err = script(nowhere)
    assert (status, lines) == (2, [])
    assert err.startswith(f"Error: {nowhere}: found no such folder, expected the folder of an experiment. ")
    assert not nowhere.exists()
    Store(empty).prepare()
    said = "expected at least one finished sample, found none; make some with das-ag run."
    assert script(empty) == (2, [], f"Error: {empty}: {said}\n")


def test_the_script_needs_a_number_of_samples(script, made, capsys):
    with pytest.raises(SystemExit, match="2"):
        script(made.root, "--samples", 0)
    assert capsys.readouterr().err.endswith("error: --samples: expected at least 1, got 0\n")


def test_the_script_draws_as_many_as_it_is_told(script, made, monkeypatch):
    seen = []

    def verify(store, record, overrides, *, allow):
        seen.append((record.sample.prompt_id, overrides))
        return Verdict(record.sample.name, True, SAME, [])

    monkeypatch.setattr(verify_command, "verify", verify)
    draws = set()
    for draw in range(8):
        for _ in range(2):
            assert script(made.root, "--samples", 2, "--draw", draw, "steps=3")[0] == 0
        first, second = seen[:2], seen[2:]
        assert first == second
        assert {overrides for _, (overrides,) in first} == {"steps=3"}
        assert len({name for name, _ in first}) == 2
        draws.add(tuple(name for name, _ in first))
        seen.clear()
    assert len(draws) > 2  # of 6 that there are
    assert {name for names in draws for name in names} == {"heart", "star", "ring"}
    assert script(made.root, "--samples", 9)[1][-1] == f"Same as the stored files: 3 of 3 samples{BY}"


def test_a_fresh_process_has_the_bytes_again(made, tmp_path):
    """Which has nothing of the one that made them, not even what its environment was told."""
    inherited = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(made.root)],
        cwd=tmp_path,
        env=inherited | {"OMP_NUM_THREADS": "2", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"Same as the stored files: 3 of 3 samples{BY}"
