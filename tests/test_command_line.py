"""The real run.py, on settings that take seconds; survival and launchers have tests of their own."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

METHODS = ("das", "das_ag", "das_rag")
TWO = ("prompts=own", "prompts.positive={heart: a red heart, star: a yellow star}")
LONG = ("steps=24", "runtime.samples_per_batch=1", "runtime.threads=1")
FAILING = ("views.noise.start=1e38", "steps=2", "seeds=[1]")
"""Noise beyond what a float32 can hold: the first loss is not a number."""


@pytest.fixture(scope="module")
def command(tiny):
    """The sweep that the README opens with, in small: six samples, one after the other."""
    return ("-m", f"method={','.join(METHODS)}", *(o for o in tiny if not o.startswith("steps")), *TWO, *LONG)


@dataclass
class Run:
    """A run that has ended.

    Attributes:
        folder, pid: where it ran, and its process.
        process: its exit status, stdout and stderr.
        before, after: what its store held when it began and when it had ended, as `held` gives it.
        unfinished: what its store held half-written when it had ended.
        extra: a folder of a sample, where the story has one.
    """

    folder: Path
    pid: int
    process: subprocess.CompletedProcess[str]
    before: dict[Path, tuple[int, bytes]]
    after: dict[Path, tuple[int, bytes]]
    unfinished: list[Path]
    extra: Any = None

    @property
    def root(self) -> Path:
        return self.folder / "outputs" / "tiny"


def held(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Time and bytes of every image and trace of a store, by path."""
    root = folder / "outputs" / "tiny" / "samples"
    paths = sorted(path for name in ("image.png", "trace.csv") for path in root.glob(f"*/[!.]*/{name}"))
    return {path.relative_to(root): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def bytes_of(found: dict[Path, tuple[int, bytes]]) -> dict[Path, bytes]:
    return {path: data for path, (_, data) in found.items()}


@pytest.fixture(scope="module")
def go(run_server):
    """Runs run.py; `during` is a line of its progress and a signal that it sends itself when it has said this."""

    def go(folder: Path, *arguments: str, during: tuple[str, signal.Signals] | None = None, **variables: str) -> Run:
        before = held(folder)
        signal_after = ("das_ag.generation.progress:log.info", *during) if during else None
        run = run_server.start(folder, *arguments, signal_after=signal_after, **variables)
        done = subprocess.CompletedProcess(arguments, run.wait(), run.stdout, run.stderr)
        unfinished = list(folder.glob("outputs/*/.unfinished/*"))
        return Run(folder, run.pid, done, before, held(folder), unfinished)

    return go


@pytest.fixture
def imports_of(start_program, tmp_path):
    """Runs run.py as a program of its own; gives its stdout and the modules that it has imported."""

    def imports_of(*arguments: str) -> tuple[str, set[str]]:
        with start_program(tmp_path, *arguments, python=("-X", "importtime")) as process:
            stdout, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        lines = [line for line in stderr.splitlines() if line.startswith("import time:")]
        return stdout, {line.rpartition("|")[2].strip() for line in lines}

    return imports_of


def whole_story(go, command, folder: Path) -> dict[str, Run]:
    """The sweep in an empty folder, and what comes before and after it."""
    asked = go(folder, *command, "dry_run=true")
    is_empty = not list(folder.iterdir())
    first = go(folder, *command)
    # Every new sample fails, in the store that is there and in a new one.
    failing = go(folder, *command, "name=tiny,other", "method=das", *FAILING)
    for path in folder.glob("outputs/*/failures/*.json"):
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 60))  # the next start comes a while later
    second = go(folder, *command)
    (gone,) = (second.root / "samples" / "das_ag").glob("star-*")
    shutil.rmtree(gone)
    asked_again = go(folder, *command, "dry_run=true")
    mended = dataclasses.replace(go(folder, *command), before=second.after, extra=gone)
    return {
        "asked": dataclasses.replace(asked, extra=is_empty),
        "first": first,
        "failing": failing,
        "second": second,
        "asked_again": asked_again,
        "mended": mended,
    }


def broken_story(go, command, folder: Path) -> dict[str, Run]:
    """The sweep in another folder, interrupted in its second sample, killed in its fifth, then let go on."""
    interrupted = go(folder, *command, during=("'das star seed 42', 12, 24", signal.SIGINT))
    killed = go(folder, *command, during=("'das_rag heart seed 42', 12, 24", signal.SIGKILL))
    stray = killed.root / f".unfinished/{socket.gethostname()}-{killed.pid}-01234567-heart-seed42-0123456789ab"
    stray.mkdir()
    (stray / "image.png").write_bytes(b"half")
    completed = go(folder, *command, CUBLAS_WORKSPACE_CONFIG=":16:8")
    return {"interrupted": interrupted, "killed": dataclasses.replace(killed, extra=stray), "completed": completed}


@pytest.fixture(scope="module")
def stories(go, command, tmp_path_factory):
    """Both, side by side to save time."""
    folders = [tmp_path_factory.mktemp(name) for name in ("whole", "broken")]
    with ThreadPoolExecutor(2) as pool:
        whole = pool.submit(whole_story, go, command, folders[0])
        broken = pool.submit(broken_story, go, command, folders[1])
        return {**whole.result(), **broken.result()}


def part(name: str) -> Any:
    @pytest.fixture(scope="module", name=name)
    def run(stories):
        return stories[name]

    return run


first, failing, second, mended = (part(name) for name in ("first", "failing", "second", "mended"))
asked, asked_again = (part(name) for name in ("asked", "asked_again"))
interrupted, killed, completed = (part(name) for name in ("interrupted", "killed", "completed"))


def test_a_sweep_makes_scores_and_reports_every_sample(first):
    assert first.process.returncode == 0, first.process.stderr
    folders = sorted((first.root / "samples").glob("*/*"))
    assert [(f.parent.name, f.name.split("-seed42-")[0]) for f in folders] == [
        (method, prompt_id) for method in METHODS for prompt_id in ("heart", "star")
    ]
    for folder in folders:
        names = {"image.png", "sample.json", "trace.csv", "levels.npz", "scores.json"}
        assert {path.name for path in folder.iterdir()} == names
        assert len((folder / "trace.csv").read_text().splitlines()) == 1 + 24
        scores = json.loads((folder / "scores.json").read_text())
        assert 1 <= scores["tiny"]["score"] <= 10
    for method in METHODS:
        assert f"{method}: 2 generated, 0 already there, 0 failed, of 2 samples in outputs/tiny" in first.process.stdout
    table = (first.root / "table.md").read_text(encoding="utf-8")
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:5]] == ["DAS", "DAS-AG", "DAS-rAG"]
    assert table in first.process.stdout
    assert len((first.root / "scores.csv").read_text().splitlines()) == 1 + 6
    assert len((first.root / "table.csv").read_text().splitlines()) == 1 + 3
    with Image.open(first.root / "plots" / "scores.png") as image:
        assert min(image.size) > 150


def test_the_last_line_of_a_run_names_the_gallery(first):
    assert first.process.stdout.splitlines()[-1] == (
        "All images with their scores, for a browser: outputs/tiny/index.html"
    )
    assert (first.folder / "outputs" / "tiny" / "index.html").is_file()


def test_a_sweep_shows_its_progress(first):
    lines = first.process.stdout.splitlines()
    for method in METHODS:
        shown = [line for line in lines if line.startswith(f"{method} heart seed 42: step ")]
        assert [line.split("step ")[1].split(",")[0] for line in shown] == [f"{n} of 24" for n in (6, 12, 18, 24)]


def test_the_jobs_of_a_sweep_are_named_without_clock_or_level(first):
    lines = first.process.stdout.splitlines()
    assert lines[0] == "Launching 3 jobs locally"
    begun = [line.split()[:2] for line in lines if line.startswith("\t#")]
    assert begun == [[f"#{number}", ":"] for number in range(3)]
    assert first.process.stderr == ""


def test_a_run_leaves_nothing_but_outputs(first):
    assert [path.name for path in first.folder.iterdir()] == ["outputs"]
    assert "tiny" in [path.name for path in (first.folder / "outputs").iterdir()]


def test_a_sweep_needs_no_temporary_folder(go, tmp_path, tiny):
    """A fixed one would be shared: another user may own it, or lead it elsewhere by a link; it may be full."""
    file = tmp_path / "file"
    file.write_text("mine")
    for name, place in (("missing", tmp_path / "missing"), ("a_file", file)):
        here = tmp_path / f"run_{name}"
        here.mkdir()
        sweep = ("-m", "method=das", *tiny, *TWO, "seeds=1,2", "steps=1", "hydra.sweeper.max_batch_size=1")
        run = go(here, *sweep, TMPDIR=str(place), TEMP=str(place), USER="")
        assert run.process.returncode == 0, run.process.stderr
        assert len(run.after) == 2 * 2 * 2
        assert [path.name for path in here.iterdir()] == ["outputs"]
    assert not (tmp_path / "missing").exists()
    assert file.read_text() == "mine"


def test_a_verbose_run_tells_nothing_of_fonts_and_png_chunks(go, tmp_path, tiny):
    run = go(tmp_path, *tiny, *TWO, "steps=1", "hydra.verbose=true")
    assert run.process.returncode == 0, run.process.stderr
    said = run.process.stdout + run.process.stderr
    assert [text for text in ("findfont", "STREAM b'", "acquire lock") if text in said] == []


def test_methods_of_a_sweep_start_from_the_same_image(first):
    for prompt_id in ("heart", "star"):
        traces = [next((first.root / "samples" / method).glob(f"{prompt_id}-*")) / "trace.csv" for method in METHODS]
        seen = [path.read_text().splitlines()[1].split(",")[2:] for path in traces]  # all but the step and the loss
        assert seen[0] == seen[1] == seen[2]


def test_each_folder_that_a_sweep_writes_to_is_reported(go, tiny, tmp_path):
    """Whatever gives a job its name."""
    sweep = ("-m", "method=das,das_ag", *tiny, "name=by_${method.name}", *TWO, "steps=1")
    run = go(tmp_path, *sweep)
    assert run.process.returncode == 0, run.process.stderr
    for name, title in (("by_das", "DAS"), ("by_das_ag", "DAS-AG")):
        table = (tmp_path / "outputs" / name / "table.md").read_text(encoding="utf-8")
        assert f"| {title} " in table
        assert table in run.process.stdout
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["by_das", "by_das_ag"]


def test_failures_are_listed_and_give_a_status(failing):
    assert failing.process.returncode == 1
    output = failing.process.stdout + failing.process.stderr
    assert "Traceback" not in output
    assert "das: 0 generated, 0 already there, 2 failed, of 2 samples in outputs/tiny" in output
    assert "das: 0 generated, 0 already there, 2 failed, of 2 samples in outputs/other" in output
    for name in ("das heart seed 1", "das star seed 1"):
        assert f"{name}: expected a finite loss, got NaN or infinity at step 0" in output
    assert "outputs/other: expected scored samples, got none" in output


def test_failures_do_not_cost_the_report_of_what_is_there(failing, first):
    assert (first.root / "table.md").read_text(encoding="utf-8") in failing.process.stdout
    assert len(failing.after) == 12
    assert failing.after == failing.before


def test_a_second_start_makes_nothing(second):
    assert second.process.returncode == 0, second.process.stdout + second.process.stderr
    for method in METHODS:
        assert f"{method}: 0 generated, 2 already there, 0 failed, of 2 samples" in second.process.stdout
    assert " step " not in second.process.stdout
    assert len(second.after) == 12
    assert second.after == second.before
    assert (second.root / "table.md").read_text(encoding="utf-8") in second.process.stdout


def test_a_deleted_sample_is_made_again_and_no_other(mended):
    assert mended.process.returncode == 0
    assert "das: 0 generated, 2 already there" in mended.process.stdout
    assert "das_ag: 1 generated, 1 already there" in mended.process.stdout
    assert "das_rag: 0 generated, 2 already there" in mended.process.stdout
    assert bytes_of(mended.after) == bytes_of(mended.before)
    changed = {path.parent for path, found in mended.after.items() if found != mended.before[path]}
    assert changed == {mended.extra.relative_to(mended.root / "samples")}
    assert (mended.extra / "scores.json").is_file()


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(asked):
    assert asked.process.returncode == 0, asked.process.stderr
    lines = [line for line in asked.process.stdout.splitlines() if not line.startswith("\t#")]
    assert lines == [
        "Launching 3 jobs locally",
        *(
            f"{method}: 2 samples, 0 finished, 2 missing, no estimate before the first is finished, in outputs/tiny"
            for method in METHODS
        ),
    ]
    assert asked.extra is True  # nothing but the folder itself


def test_a_dry_run_knows_what_is_finished(asked_again):
    assert asked_again.process.returncode == 0
    lines = [line for line in asked_again.process.stdout.splitlines() if line.startswith("das")]
    assert [re.sub(r"about \d+ s", "about … s", line) for line in lines] == [
        "das: 2 samples, 2 finished, 0 missing, in outputs/tiny",
        "das_ag: 2 samples, 1 finished, 1 missing, about … s to go, in outputs/tiny",
        "das_rag: 2 samples, 2 finished, 0 missing, in outputs/tiny",
    ]
    assert asked_again.after == asked_again.before


def test_an_interrupt_ends_with_its_status_and_a_sentence(interrupted):
    assert interrupted.process.returncode == 130
    assert interrupted.process.stderr.splitlines()[-1] == (
        "Interrupted: finished samples are kept; start the same command again to continue."
    )
    assert "Traceback" not in interrupted.process.stderr


def test_an_interrupt_leaves_whole_samples_alone(interrupted):
    folders = {path.parent for path in interrupted.after}
    assert [(f.parent.name, f.name.split("-seed42-")[0]) for f in folders] == [("das", "heart")]
    assert set(interrupted.after) == {folder / name for folder in folders for name in ("image.png", "trace.csv")}
    for folder in folders:
        with Image.open(interrupted.root / "samples" / folder / "image.png") as image:
            image.load()
        assert json.loads((interrupted.root / "samples" / folder / "sample.json").read_text())["format"] == 1
    assert interrupted.unfinished == []


def test_what_a_broken_run_had_finished_is_kept(interrupted, killed, completed):
    assert killed.process.returncode == -signal.SIGKILL
    assert (len(interrupted.after), len(killed.after)) == (2 * 1, 2 * 4)
    for earlier in (interrupted.after, killed.after):
        assert {path: completed.after[path] for path in earlier} == earlier


def test_after_a_kill_the_rest_is_made_and_the_half_is_cleared(killed, completed):
    assert completed.process.returncode == 0, completed.process.stderr
    assert len(completed.after) == 12
    assert completed.unfinished == []
    assert not killed.extra.exists()
    assert len((completed.root / "scores.csv").read_text().splitlines()) == 1 + 6


def test_processes_and_folders_do_not_change_a_byte(first, completed):
    """The first run went through in one process; the other was made by three, in another folder."""
    assert bytes_of(completed.after) == bytes_of(first.after)


def test_the_workspace_of_cublas_is_recorded_and_no_part_of_the_key(killed, completed):
    recorded = {}
    for path in completed.after:
        entry = json.loads((completed.root / "samples" / path.parent / "sample.json").read_text())
        recorded[path.parent] = entry["provenance"]["cublas_workspace_config"]
    earlier = {path.parent for path in killed.after}
    assert recorded == {folder: ":4096:8" if folder in earlier else ":16:8" for folder in recorded}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method=magic", ["method: expected one of das, das_ag, das_rag, got 'magic'", "choose one of them"]),
        ("method=das-ag", ["method: expected one of das, das_ag, das_rag, got 'das-ag'; did you mean 'das_ag'?"]),
        ("method=DAS_AG", ["got 'DAS_AG'; did you mean 'das_ag'?"]),
        (
            "prompts=poems",
            ["prompts: expected one of ", "file", "own", "published", "got 'poems'", "choose one of them"],
        ),
        ("models=large", ["models: expected one of ", "openai_clip", "got 'large'", "choose one of them"]),
        ("evaluator=null", ["evaluator: expected one of aesthetic_v2_5, ", "got null; choose one of them."]),
        ("prompt=", ['prompt: expected a text, got none; write for instance "prompt=a castle and a volcano".']),
        ("prompt=[ ]", ["prompt: expected a text, got none; write for instance "]),
        ("prompt=[a star,, a heart]", ["prompt: expected a text, got ''; write one or remove it."]),
        ("prompt=[a star, 'a star']", ["prompt: expected each text once, got 'a star' more than once; remove"]),
        ("prompt=xyzzy", ["prompt: the guide knows no word of 'xyzzy'; "]),
        ("prompt=[a volcano, xyzzy]", ["prompt, text 2: the guide knows no word of 'xyzzy'; "]),
        ("stepz=3", ["unknown setting 'stepz'. Did you mean 'steps'? See das-ag run --help."]),
        ("views.cuont=3", ["unknown setting 'views.cuont'. Did you mean 'views.count'? "]),
        ("views.noise={knd: constant}", ["unknown setting 'views.noise.knd'. Did you mean 'views.noise.kind'? "]),
        (
            "prompts.positive={mine: a red heart}",
            ["setting 'prompts.positive.mine'. Write your own text as \"prompt=a castle and a volcano\"; "],
        ),
        ("prompts.negatve=[a cross]", ["unknown setting 'prompts.negatve'. Did you mean 'prompts.negative'? "]),
        (
            "prompts.path=prompts.csv",
            ["setting 'prompts.path'. ", "a file of prompts needs prompts=file. See das-ag run"],
        ),
        ("method=[das,das_ag]", ["method: expected one choice, got [das,das_ag]; run all with -m method=das,das_ag."]),
        ("method=das,das_ag", ["method: expected one value, got 'das,das_ag'; add -m to run all of them."]),
        ("steps=range(1,3)", ["steps: expected one value, got 'range(1,3)'; add -m to run all of them."]),
        ("betas=0.5,0.9", ["betas: expected values in brackets, got '0.5,0.9'; write 'betas=[0.5,0.9]'."]),
        ("betas={a: 1}", ["betas: expected values in brackets, got '{a: 1}'; write for instance 'betas=[0.5, 0.99]'."]),
        ("seeds={a: 1}", ["seeds: expected values in brackets, got '{a: 1}'; write for instance 'seeds=[42]'."]),
        ("prompts.negative={b: x}", ["negative: expected values in brackets, got '{b: x}'; write 'prompts.negative=["]),
        ("views=[1]", ["views: expected a group of settings, got '[1]'. See das-ag run --cfg job."]),
        ("++views.noise=[1]", ["views.noise: expected a group of settings, got '[1]'. See das-ag run --cfg job."]),
        (
            "prompts.positive=[a]",
            ["positive: expected a group of settings, got '[a]'. Write your own text as \"prompt=a castle"],
        ),
        ("hydra.run=[1]", ["hydra.run: expected another kind of value, got '[1]'; see das-ag run --hydra-help."]),
        ("prompts.positive={}", ["prompts.positive: expected values in the braces, got none; leave this argument"]),
        ("views={ }", ["views: expected values in the braces, got none; leave this argument out."]),
        ("prompts.positive={a: a ring, b: a star, a: a hat}", ["prompts.positive: the name 'a' occurs more than once"]),
        ("views.noise={kind: constant, start: 1, kind: x}", ["views.noise: the name 'kind' occurs more than once"]),
        (
            "a volcano",
            ["read the argument 'a volcano', expected name=value; put quotes around a text, as in \"prompt=a castle"],
        ),
        ("=5", ["cannot read the argument '=5', expected name=value; "]),
        ("~=5", ["cannot read the argument '~=5', expected name=value; "]),
        ("@a=5", ["cannot read the argument '@a=5', expected name=value; "]),
        ("hydra=5", ["hydra: expected a name, got 5; "]),
        ("hydra/help=null", ["hydra/help: expected a name, got null; "]),
        ("--foo", ["unknown flag '--foo'; see das-ag run --help and --hydra-help."]),
        ("--method=das_ag", ["unknown flag '--method=das_ag'; write method=das_ag."]),
        ("--verison", ["unknown flag '--verison'; ", "Did you mean '--version'?"]),
        ("-mx", ["-m: ignored explicit argument 'x'; see das-ag run --hydra-help."]),
        ("--cfg", ["--cfg", "expected one argument; see das-ag run --hydra-help."]),
        ("--shell-completion", ["--shell-completion: expected one of install=bash, install=fish, install=zsh beside"]),
        ("--resolve", ["--resolve: expected --cfg beside it; add --cfg job."]),
        ("--experimental-rerun=x", ["--experimental-rerun: das-ag keeps no such files; start the same command"]),
        (
            "seeds=[1,",
            ["cannot read the argument 'seeds=[1,', expected name=value; ", "single quotes around the argument"],
        ),
        (
            "name=für alle",
            ["cannot read the argument 'name=für alle', expected name=value; ", "and double quotes around"],
        ),
        (
            "hydra/launcher=pbs",
            ["hydra/launcher: expected one of ", "basic", "joblib", "ray", "got 'pbs'", "choose one"],
        ),
    ],
)
def test_wrong_options_are_told_in_a_sentence(go, tmp_path, override, said):
    process = go(tmp_path, override).process
    assert process.returncode == 1
    assert process.stdout == ""
    assert [part for part in said if part not in process.stderr] == []
    assert process.stderr.startswith("Error: ")
    assert len(process.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_setting_written_as_a_flag_is_told_how_to_write_it(go, tmp_path):
    process = go(tmp_path, "--prompt", "a red heart").process
    assert process.stderr == "Error: unknown flag '--prompt'; write 'prompt=a red heart'.\n"


def test_flags_may_stand_anywhere(go, tmp_path, tiny):
    run = go(tmp_path, *tiny, *TWO, "-m", "method=das,das_ag", "seeds=1,2", "dry_run=true")
    assert run.process.returncode == 0, run.process.stderr
    lines = [line for line in run.process.stdout.splitlines() if line.startswith("das")]
    assert [line.partition(",")[0] for line in lines] == [f"{m}: 2 samples" for m in ("das", "das", "das_ag", "das_ag")]
    shown = go(tmp_path, "steps=7", "--cfg", "job", "name=shown").process
    assert shown.returncode == 0
    assert {"steps: 7", "name: shown"} <= set(shown.stdout.splitlines())


@pytest.fixture
def own(tiny):
    """The tiny settings without prompts and name."""
    return tuple(setting for setting in tiny if not setting.startswith(("prompts=", "name=")))


def texts_of(run: Run, name: str) -> set[tuple[str, ...]]:
    """Method, negative and positive texts of each sample."""
    paths = (run.folder / "outputs" / name / "samples").glob("*/*/sample.json")
    entries = [json.loads(path.read_text()) for path in paths]
    return {(entry["method"], *entry["negative"], *entry["positive"]) for entry in entries}


def test_a_text_is_taken_as_it_is_also_in_a_sweep(go, tmp_path, own):
    text = """a "red" heart, it's {so: [x]} = $1 ${HOME} # \\ range(1,3) \\${half:4}\n心,"""
    run = go(tmp_path, *own, f"prompt={text}", "negative=a blue ring, a star", "-m", "method=das,das_ag", "steps=1")
    assert run.process.returncode == 0, run.process.stderr
    assert texts_of(run, "own") == {(method, "a blue ring, a star", text) for method in ("das", "das_ag")}
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["own"]
    single = go(tmp_path, *own, f"prompt={text}", "negative=a blue ring, a star", "steps=1")
    assert "das: 0 generated, 1 already there" in single.process.stdout


def test_several_texts_are_written_in_brackets(go, tmp_path, own, compose):
    texts = [f"a red heart, {text}" for text in compose("prompts=published").prompts.positive.values()]
    listed = ",".join('"' + text.replace('"', '""') + '"' for text in texts)
    run = go(tmp_path, *own, "-m", f"prompt=[{listed}, a star]", "name=mine", "steps=1", "method=das")
    assert run.process.returncode == 0, run.process.stderr
    assert texts_of(run, "mine") == {("das", text) for text in [*texts, "a star"]}


def test_a_text_from_a_file_does_not_control_the_terminal(go, tmp_path, own):
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "a red heart \x1b[31m\x01 huge"}) + "\n")
    run = go(tmp_path, "-m", "method=das", *own, "prompts=file", "prompts.path=prompts.jsonl", "name=tiny", "steps=1")
    assert run.process.returncode == 0, run.process.stderr
    said = run.process.stdout + run.process.stderr
    assert "ignores these words in “a red heart \\x1b[31m\\x01 huge”: 31, m, huge" in said
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", said)


@pytest.mark.parametrize("flag", ["--cfg=job", "--info", "--shell-completion"])
def test_what_shows_one_configuration_runs_no_sweep(go, tmp_path, flag):
    process = go(tmp_path, "-m", "method=das,das_ag", flag).process
    assert process.returncode == 1
    name = flag.partition("=")[0]
    assert process.stderr == (
        f"Error: -m and {name}: expected only one of these flags; leave out -m, and give each setting one value.\n"
    )


def test_the_version_is_that_of_the_project(go, tmp_path):
    process = go(tmp_path, "--version").process
    assert (process.returncode, process.stdout) == (0, f"das-ag {metadata.version('das-ag')}\n")


@pytest.mark.parametrize(("method", "got"), [("magic", "'magic'"), ("null", "null")])
def test_a_wrong_method_ends_a_sweep_before_it_begins(go, tmp_path, method, got):
    process = go(tmp_path, "-m", f"method=das,{method}").process
    assert process.returncode == 1
    assert f"method: expected one of das, das_ag, das_rag, got {got}; choose one of them." in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.iterdir())


def test_a_job_that_fails_costs_its_siblings_nothing_and_is_told_once(go, tmp_path, tiny):
    settings = (*(o for o in tiny if not o.startswith("steps")), *TWO, "runtime.threads=1")
    run = go(tmp_path, "-m", "method=das", *settings, "steps=-1,2,-2")
    assert run.process.returncode == 1
    assert "das: 2 generated, 0 already there, 0 failed, of 2 samples in outputs/tiny" in run.process.stdout
    assert (run.root / "table.md").read_text(encoding="utf-8") in run.process.stdout
    assert (
        run.process.stderr.splitlines()[-1] == "Error: steps: expected at least 1, got -1; the published value is 200."
    )
    assert run.process.stderr.count("expected at least 1") == 1
    assert "Traceback" not in run.process.stderr


def test_a_file_named_outputs_is_told_once(go, tmp_path, command):
    (tmp_path / "outputs").write_text("mine")
    process = go(tmp_path, *command).process
    assert process.returncode == 1
    job, sentence = process.stderr.splitlines()
    assert job.startswith("Error executing job with overrides: ['method=das', ")  # Hydra names the first that failed
    assert sentence.startswith("Error: outputs/tiny: cannot write here (“Not a directory”); ")
    assert (tmp_path / "outputs").read_text() == "mine"


def test_a_reader_who_leaves_ends_nothing(start_program, tiny, tmp_path):
    with start_program(tmp_path, *tiny, *TWO) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
    assert (tmp_path / "outputs" / "tiny" / "table.md").is_file()


def test_an_environment_that_is_not_deterministic_is_refused(go, tmp_path):
    process = go(tmp_path, CUBLAS_WORKSPACE_CONFIG=":0:0").process
    assert process.returncode == 1
    assert process.stderr == (
        "Error: CUBLAS_WORKSPACE_CONFIG: expected :4096:8 or :16:8 for deterministic results, got ':0:0'; unset it, "
        "or choose runtime=fast.\n"
    )


@pytest.mark.slow
def test_help_names_what_can_be_changed_and_imports_no_torch(imports_of, tmp_path):
    stdout, imported = imports_of("--help")
    lines = stdout.splitlines()
    for name in (
        "method", "prompts", "models", "seeds", "steps", "name", "runtime.device", "runtime.samples_per_batch",
        "dry_run", "hydra/launcher",
    ):  # fmt: skip
        explained = [line for line in lines if line.startswith(f"{name} ")]
        assert len(explained) == 1, name
        assert len(explained[0].removeprefix(name).strip()) > 10, name
    assert "hydra" in imported
    assert imported & {"torch", "numpy", "pandas", "matplotlib", "das_ag.synthesis"} == set()
    assert not list(tmp_path.iterdir())


def test_a_run_needs_no_package_of_an_extra(imports_of, tiny):
    _, imported = imports_of(*tiny, *TWO, "steps=1", "runtime.threads=1")
    assert "torch" in imported
    papers = {"clip", "transformers", "huggingface_hub", "aesthetic_predictor_v2_5", "streamlit", "flash_attn"}
    clusters = {"joblib", "submitit", "ray"}
    assert not imported & (papers | clusters)


def test_results_go_to_output_dir_under_the_same_keys(go, tiny, tmp_path):
    one = ("prompts=own", "prompts.positive={star: a yellow star}", "steps=2")
    runs = [go(tmp_path, *tiny, *one, *more) for more in ((f"output_dir={tmp_path / 'elsewhere'}",), ())]
    assert [run.process.returncode for run in runs] == [0, 0]
    first, second = (sorted((tmp_path / place / "tiny" / "samples").glob("*/*")) for place in ("elsewhere", "outputs"))
    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) == 1
    assert (tmp_path / "elsewhere" / "tiny" / "table.md").is_file()


@pytest.mark.parametrize("value", ["''", "[a]", "null", "3"])
def test_an_output_dir_that_is_no_path_is_told(go, tiny, tmp_path, value):
    process = go(tmp_path, *tiny, f"output_dir={value}").process
    assert process.returncode == 1
    assert "output_dir: expected the path of a folder, got" in process.stderr
    assert list(tmp_path.iterdir()) == []
