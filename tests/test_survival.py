"""Runs that are killed, and runs that share their work: whatever happens, the store comes to the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_server import Run, RunServer

pytestmark = pytest.mark.slow

METHODS = ("das", "das_ag", "das_rag")
STEPS = 150
KILLS = 20
EARLY = 4
"""One kill of so many strikes while a process starts."""
LINES = 5
"""A process has taken fewer lines of progress when it is killed; a batch has four."""
FILES = {"image.png", "trace.csv", "sample.json", "levels.npz"}

# The worst moments: a process dies as soon as this call has ended. With it the number of finished samples of four, and
# what the process leaves behind: half-written things by the end of their names, and whether a checkpoint and a claim.
WORST = (
    ("das_ag.store.atomic:write_synced", ".pt", 0, {"pt"}, False),
    ("das_ag.store.atomic:AtomicFolder.write", ".pt", 0, set(), True),
    ("das_ag.store.atomic:write_synced", "image.png", 0, {"heart-seed1"}, True),
    ("das_ag.store.atomic:write_synced", "levels.npz", 0, {"heart-seed1"}, True),
    ("das_ag.store.atomic:sync_folder", "samples/das'", 1, set(), True),
    ("das_ag.store.store:Store.write", "prompt_id='star'", 2, set(), True),
    ("das_ag.generation.generate:_Worker._make", "", 4, set(), False),
    ("das_ag.store.store:Store.write_score", "", 4, set(), False),
)

STOP = ("das_ag.generation.checkpoints:Checkpoint.write", "", signal.SIGSTOP)
"""A process stops itself in the middle of a batch, which nobody can be too late to see."""


@pytest.fixture(scope="module")
def settings(tiny):
    return (
        *(override for override in tiny if not override.startswith("steps")),
        "prompts=own",
        "prompts.positive={heart: a red heart, star: a yellow star}",
        "seeds=[1,2]",
        f"steps={STEPS}",
        "runtime.samples_per_batch=2",
        "runtime.checkpoint_steps=5",
        "runtime.threads=1",
    )


@pytest.fixture(scope="module")
def sweep(settings):
    return ("-m", f"method={','.join(METHODS)}", *settings)


@dataclass
class Kill:
    """One start that was killed.

    Attributes:
        moment: for people.
        status: of the process.
        at_work: whether it had begun a batch and not ended it.
        problems: with samples that could be seen then, in words.
        finished: files of finished samples then, by path, with their times.
        said: by the process.
    """

    moment: str
    status: int
    at_work: bool
    problems: list[str]
    finished: dict[Path, int]
    said: str


@dataclass
class Story:
    """A store and the processes that worked on it.

    Attributes:
        last: the run that completed it.
        others: that worked at the same time.
    """

    folder: Path
    kills: list[Kill] = field(default_factory=list)
    last: Run | None = None
    others: list[Run] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "outputs" / "tiny"

    def __str__(self) -> str:
        return "\n".join(
            f"{n:2}. {k.moment}: status {k.status}, {len(k.finished)} files" for n, k in enumerate(self.kills)
        )


def problems_of(root: Path) -> list[str]:
    """What is wrong with the samples that can be seen in a store."""
    found = []
    for folder in sorted((root / "samples").glob("*/*")):
        missing = FILES - {path.name for path in folder.iterdir()}
        if missing or folder.name.startswith("."):
            found.append(f"{folder}: {sorted(missing)} missing")
            continue
        entry = json.loads((folder / "sample.json").read_text())
        for name in ("image.png", "trace.csv"):
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != entry[f"{Path(name).stem}_sha256"]:
                found.append(f"{folder / name}: damaged")
        with np.load(folder / "levels.npz") as levels:
            found += [f"{folder}: level {side}" for side in levels.files if levels[side].shape[-1] != int(side)]
    return found


def finished_of(root: Path) -> dict[Path, int]:
    """Times of all files of finished samples by path."""
    paths = [path for name in FILES for path in (root / "samples").glob(f"*/*/{name}")]
    return {path.relative_to(root): path.stat().st_mtime_ns for path in paths}


def claims_of(run: Run, root: Path) -> list[str]:
    """Names of the claims that a process holds, or held when it died."""
    held = []
    for path in (root / "claims").glob("*.claim"):
        try:
            if f"pid={run.pid}\n" in path.read_text():
                held.append(path.stem)
        except FileNotFoundError:
            continue  # released meanwhile
    return held


def bytes_of(root: Path, method: str = "*") -> dict[Path, Any]:
    """Everything about finished samples but how long they took, by path."""
    contents: dict[Path, Any] = {}
    for path in sorted((root / "samples").glob(f"{method}/*/*")):
        contents[path.relative_to(root)] = path.read_bytes()
        if path.name == "sample.json":
            entry = contents[path.relative_to(root)] = json.loads(path.read_bytes())
            del entry["provenance"]["duration_s"]
    return contents


def left_behind(root: Path) -> list[Path]:
    """What should be gone when all is done."""
    return [path for name in (".unfinished", "claims", "checkpoints") for path in (root / name).iterdir()]


def killed(run: Run, moment: str, root: Path) -> Kill:
    """What a process that was killed has left."""
    at_work = any(name != "report" for name in claims_of(run, root))
    return Kill(moment, run.status, at_work, problems_of(root), finished_of(root), run.said)


@pytest.fixture(scope="module")
def stories(run_server, settings, sweep, tmp_path_factory):
    """All of them, two at a time."""

    def folder(name: str) -> Path:
        return tmp_path_factory.mktemp(name)

    def random_kills() -> dict[str, Story]:
        return {
            "whole": undisturbed(run_server, sweep, folder("whole")),
            "random": random_moments(run_server, sweep, folder("random")),
        }

    def the_others() -> dict[str, Story]:
        das = ("method=das", *settings)
        return {
            "worst": worst_moments(run_server, das, folder("worst")),
            "together": together(run_server, sweep, folder("together")),
            "takeover": takeover(run_server, das, folder("takeover")),
        }

    with ThreadPoolExecutor(2) as pool:
        parts = [pool.submit(part) for part in (random_kills, the_others)]
        return {name: story for part in parts for name, story in part.result().items()}


def undisturbed(server: RunServer, command: tuple[str, ...], folder: Path) -> Story:
    story = Story(folder)
    story.last = server.start(folder, *command)
    story.last.wait()
    return story


def random_moments(server: RunServer, command: tuple[str, ...], folder: Path) -> Story:
    """A sweep that is killed again and again, together after about as much work as it takes, and then let go on.

    A moment lies so many lines of progress after the first batch is begun, so that it strikes work on a busy machine
    too, and some time after that; of those that come earlier it is a time since the start.
    """
    story, chance = Story(folder), random.Random(20)
    for number in range(KILLS):
        run = server.start(folder, *command)
        if number % EARLY == EARLY - 1:
            lines, pause = None, chance.uniform(0.1, 0.9)
        else:
            lines, pause = chance.randrange(LINES), chance.uniform(0, 0.1)
            run.wait_until(lambda run=run: claims_of(run, story.root))
            run.wait_until(lambda run=run, lines=lines: run.stdout.count(": step ") >= lines or is_made(run))
        time.sleep(pause)
        run.kill()
        since = "its start" if lines is None else f"{lines} lines of progress"
        story.kills.append(killed(run, f"{pause:.3f} s after {since}", story.root))
    story.last = server.start(folder, *command)
    story.last.wait()
    return story


def is_made(run: Run) -> bool:
    """Whether it has come to the report."""
    return re.search(rf"^{METHODS[-1]}: \d+ generated", run.stdout, re.MULTILINE) is not None


def worst_moments(server: RunServer, command: tuple[str, ...], folder: Path) -> Story:
    story = Story(folder)
    for function, text, *_ in WORST:
        run = server.start(folder, *command, signal_after=(function, text, signal.SIGKILL))
        run.wait()
        story.kills.append(killed(run, f"after {function} {text}", story.root))
        shutil.copytree(story.root, folder / f"after-{len(story.kills) - 1}")
    story.last = server.start(folder, *command)
    story.last.wait()
    return story


def together(server: RunServer, command: tuple[str, ...], folder: Path) -> Story:
    """Two starts at once; one stops in its first batch until the other has begun another, so that both have work."""
    story = Story(folder)
    one, other = server.start(folder, *command, signal_after=STOP), server.start(folder, *command)
    other.wait_until(lambda: ": step " in other.stdout)
    while one.poll() is None:
        one.send(signal.SIGCONT)  # it stops at each of its checkpoints
        time.sleep(0.01)
    other.wait()
    story.last, story.others = one, [other]
    return story


def takeover(server: RunServer, command: tuple[str, ...], folder: Path) -> Story:
    """A process sleeps in the middle of its batch until another has nothing to do but to wait for it, then dies."""
    story = Story(folder)
    sleeper = server.start(folder, *command, signal_after=STOP)
    sleeper.wait_until(lambda: list((story.root / "checkpoints").glob("*.pt")))
    story.last = server.start(folder, *command)
    story.last.wait_until(lambda: "Waiting for other processes" in story.last.stdout)
    sleeper.kill()
    story.kills.append(killed(sleeper, "while it was waited for", story.root))
    story.last.wait()
    return story


@pytest.mark.parametrize("name", ["random", "worst", "takeover"])
def test_a_kill_leaves_whole_samples_alone(stories, name):
    story = stories[name]
    assert {kill.moment: kill.problems for kill in story.kills if kill.problems} == {}, story


@pytest.mark.parametrize("name", ["random", "worst", "takeover"])
def test_what_was_finished_before_a_kill_is_never_made_again(stories, name):
    story = stories[name]
    moments = [kill.finished for kill in story.kills] + [finished_of(story.root)]
    for earlier, later in itertools.pairwise(moments):
        assert {path: later.get(path) for path in earlier} == earlier, story


@pytest.mark.parametrize("name", ["whole", "random", "worst", "together", "takeover"])
def test_the_last_start_completes_everything_and_leaves_nothing_else(stories, name):
    story = stories[name]
    assert story.last.status == 0, f"{story.last.said}\n{story}"
    samples = 12 if name in ("whole", "random", "together") else 4
    assert len(finished_of(story.root)) == samples * len(FILES)
    assert problems_of(story.root) == []
    assert left_behind(story.root) == [], story
    assert len((story.root / "scores.csv").read_text().splitlines()) == 1 + samples
    names = {"table.md", "index.html", "plots", "scores.csv", "samples", "store.json"}
    assert names <= {path.name for path in story.root.iterdir()}


@pytest.mark.parametrize("name", ["random", "worst", "together", "takeover"])
def test_neither_kills_nor_company_change_a_byte(stories, name):
    story, methods = stories[name], "*" if name in ("random", "together") else "das"
    expected = bytes_of(stories["whole"].root, methods)
    assert len(expected) == (12 if methods == "*" else 4) * (len(FILES) + 1)  # and the scores
    assert bytes_of(story.root) == expected, story


@pytest.mark.parametrize("name", ["random", "together"])
def test_the_report_is_that_of_an_undisturbed_run(stories, name):
    for file in ("table.md", "table.csv", "scores.csv"):
        assert (stories[name].root / file).read_bytes() == (stories["whole"].root / file).read_bytes()


def test_random_kills_strike_work(stories):
    """Else the tests above prove little."""
    story = stories["random"]
    assert [kill.status for kill in story.kills] == [-signal.SIGKILL] * KILLS, story
    assert sum(kill.at_work for kill in story.kills) >= KILLS / 2, story
    assert len({len(kill.finished) for kill in story.kills}) >= 4, story  # spread over the work
    assert sum("continues after step" in kill.said for kill in story.kills) >= 3, story


@pytest.mark.parametrize("number", range(len(WORST)), ids=[f"{function} {text}" for function, text, *_ in WORST])
def test_what_a_death_at_a_bad_moment_leaves(stories, number):
    """What was half-written is beside the samples, and the next start takes it away."""
    story, (_, _, finished, unfinished, has_checkpoint) = stories["worst"], WORST[number]
    root = story.folder / f"after-{number}"
    assert story.kills[number].status == -signal.SIGKILL
    assert len(list(root.glob("samples/*/*"))) == finished
    assert {re.sub(".*(heart-seed1|pt).*", r"\1", path.name) for path in (root / ".unfinished").iterdir()} == unfinished
    assert bool(list((root / "checkpoints").iterdir())) == has_checkpoint


def test_processes_that_start_together_share_the_work(stories):
    story = stories["together"]
    runs = [story.last, *story.others]
    assert [run.status for run in runs] == [0, 0], "\n".join(run.said for run in runs)
    for method in METHODS:
        said = [re.search(rf"^{method}: (\d+) generated, (\d+) already there, 0 failed", r.stdout, re.M) for r in runs]
        assert sum(int(found[1]) for found in said) == 4
        assert [int(found[1]) + int(found[2]) for found in said] == [4, 4]
    shares = [sum(map(int, re.findall(r"(\d+) generated", run.stdout))) for run in runs]
    assert min(shares) > 0


def test_processes_that_start_together_both_show_the_table(stories):
    story = stories["together"]
    for run in (story.last, *story.others):
        assert (story.root / "table.md").read_text(encoding="utf-8") in run.stdout


def test_a_process_takes_over_from_one_that_died_while_it_waited(stories):
    story = stories["takeover"]
    (kill,) = story.kills
    assert (kill.status, kill.at_work) == (-signal.SIGKILL, True)
    assert len(kill.finished) == 2 * len(FILES)  # which the other had made meanwhile
    said = story.last.stdout
    assert said.count("Waiting for other processes to finish 1 of these batches") == 1
    assert f"das, 2 samples: continues after step 5 of {STEPS}" in said
    assert "das: 4 generated, 0 already there, 0 failed, of 4 samples" in said
