"""Sweeps whose jobs run elsewhere than in the process that was started: the same bytes as one after the other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
METHODS = ("das", "das_ag")
RAY = ("+hydra.launcher.ray.init.num_cpus=2",)
LAUNCHERS = {
    "joblib": (),
    "submitit_local": (),
    "submitit_slurm": ("hydra.launcher.partition=night",),
    "ray": RAY,
    "ray_send_back": RAY,
}
"""With further options."""

# What the launcher asks of Slurm, in small: one array of tasks, which run at once on this machine.
SLURM = {
    "sbatch": r"""#!/bin/bash
cp "$1" "$SLURM_FOLDER/submitted.sh"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\)%.*/\1/p' "$1")
for task in $(seq 0 "$last"); do
    (
        export SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task
        bash "$SLURM_FOLDER/submitted.sh"
        while rm "$SLURM_FOLDER/requeued-7_$task"; do bash "$SLURM_FOLDER/submitted.sh"; done
    ) < /dev/null > /dev/null 2>&1 &
done
echo "Submitted batch job 7"
""",
    "srun": r"""#!/bin/bash
place() { echo "$1" | sed "s/%A/$SLURM_ARRAY_JOB_ID/g; s/%a/$SLURM_ARRAY_TASK_ID/g; s/%t/0/g"; }
while [[ $1 == --* ]]; do
    case $1 in
        --unbuffered) shift ;;
        --output) output=$(place "$2"); shift 2 ;;
        --error) error=$(place "$2"); shift 2 ;;
        *) exit 1 ;;
    esac
done
mkdir -p "$(dirname "$output")"
if [ "$SLURM_ARRAY_TASK_ID" = 0 ] && [ ! -e "$SLURM_FOLDER/preempted" ]; then
    touch "$SLURM_FOLDER/preempted"
    set -- "$1" "$SLURM_FOLDER/preempted_task.py" "${@:2}"
fi
exec "$@" >> "$output" 2>> "$error"
""",
    "sacct": """#!/bin/bash
echo "JobID|State|NodeList"
for task in 0 1; do echo "7_$task|RUNNING|here"; done
""",
    "scontrol": """#!/bin/bash
[ "$1" = requeue ] && touch "$SLURM_FOLDER/requeued-$2"
""",
    # Stands before "-u -m module …". As Slurm does before it takes a node away, in the middle of the first sample: as
    # soon as its first checkpoint is written, which no busy machine can miss.
    "preempted_task.py": f"""
import runpy, signal, sys
from das_ag.settings import environment
environment.prepare()
sys.path.insert(0, {str(ROOT / "tests")!r})
from run_server import signal_after
signal_after("das_ag.generation.checkpoints:Checkpoint.write", "", signal.SIGUSR2)
assert sys.argv[1:3] == ["-u", "-m"], sys.argv
sys.argv = sys.argv[3:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
""",
}


@dataclass
class Launched:
    """A sweep that has ended.

    Attributes:
        root: of its store.
        before: times of the samples that stood there when it began.
    """

    root: Path
    process: subprocess.CompletedProcess[str]
    before: dict[Path, int]

    @property
    def output(self) -> str:
        return self.process.stdout + self.process.stderr


@pytest.fixture(scope="module")
def settings(tiny):
    return (
        *(override for override in tiny if not override.startswith("steps")),
        "prompts=own",
        "prompts.positive={heart: a red heart, star: a yellow star}",
        "runtime.samples_per_batch=1",
        "runtime.checkpoint_steps=3",
        "runtime.threads=1",
    )


@pytest.fixture(scope="module")
def sweep(settings):
    return ("-m", f"method={','.join(METHODS)}", *settings, "steps=24")


@pytest.fixture(scope="module")
def failing_sweep(settings):
    """Four jobs under joblib: one that works, one whose samples fail, and two with a wrong setting."""
    fitting = (override for override in settings if not override.startswith("views.noise"))
    noise = "views.noise.start=0.4,1e38"  # the larger is beyond what a float32 can hold
    return ("-m", "method=das", *fitting, noise, "steps=2,-1", "hydra/launcher=joblib")


@pytest.fixture(scope="module")
def serial(run_server, sweep, tmp_path_factory):
    """The store of the same sweep in one process."""
    folder = tmp_path_factory.mktemp("serial")
    run = run_server.start(folder, *sweep)
    assert run.wait() == 0, run.said
    return folder / "outputs" / "tiny"


@pytest.fixture(scope="module")
def launch(start_program):
    def launch(folder: Path, *arguments: str, **variables: str) -> Launched:
        root = folder / "outputs" / "tiny"
        before = times_of(root)
        # Two threads, had the jobs no number of their own.
        with start_program(folder, *arguments, OMP_NUM_THREADS="2", **variables) as process:
            try:
                stdout, stderr = process.communicate(timeout=300)
            except subprocess.TimeoutExpired:
                process.terminate()  # so that Ray ends what it has started
                raise
        done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
        return Launched(root, done, before)

    return launch


@pytest.fixture(scope="module")
def launched(launch, sweep, failing_sweep, serial, tmp_path_factory):
    """Each launcher's sweep and one that fails, two of them at a time."""
    folders = {name: tmp_path_factory.mktemp(name) for name in (*LAUNCHERS, "failing")}
    for path in serial.glob("samples/*/heart-*"):  # one sample of each method is there already
        shutil.copytree(path, folders["ray_send_back"] / "outputs" / "tiny" / path.relative_to(serial))
    programs = slurm_in_small(tmp_path_factory.mktemp("slurm"))
    with ThreadPoolExecutor(3) as pool, tempfile.TemporaryDirectory(dir="/tmp") as short:  # Ray has sockets below it
        variables = {
            "ray": {"RAY_TMPDIR": short},
            "ray_send_back": {"RAY_TMPDIR": short},
            "submitit_slurm": {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "SLURM_FOLDER": str(programs)},
        }
        pair = threading.Semaphore(2)

        def start(name: str, *command: str) -> Launched:
            with pair:
                return launch(folders[name], *command, **variables.get(name, {}))

        def submit(name: str) -> Future[Launched]:
            return pool.submit(start, name, *sweep, f"hydra/launcher={name}", *LAUNCHERS[name])

        jobs = {name: submit(name) for name in ("submitit_slurm", "ray", "ray_send_back", "joblib")}
        jobs["failing"] = pool.submit(start, "failing", *failing_sweep)
        jobs["submitit_local"] = submit("submitit_local")
        return {name: job.result() for name, job in jobs.items()}


def slurm_in_small(folder: Path) -> Path:
    for name, text in SLURM.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def times_of(root: Path) -> dict[Path, int]:
    return {path.relative_to(root): path.stat().st_mtime_ns for path in root.glob("samples/*/*/*")}


def bytes_of(root: Path) -> dict[Path, bytes]:
    paths = sorted(path for name in ("image.png", "trace.csv") for path in root.glob(f"samples/*/*/{name}"))
    return {path.relative_to(root): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def failing(launched):
    return launched["failing"]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_ends_well_and_completes_the_table(launched, serial, name):
    sweep = launched[name]
    assert sweep.process.returncode == 0, sweep.output
    assert "Traceback" not in sweep.output
    assert len(list(sweep.root.glob("samples/*/*/sample.json"))) == 4
    table = (sweep.root / "table.md").read_text(encoding="utf-8")
    assert table == (serial / "table.md").read_text(encoding="utf-8")
    assert table in sweep.process.stdout
    assert (sweep.root / "index.html").is_file()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_changes_no_byte(launched, serial, name):
    expected = bytes_of(serial)
    assert len(expected) == 8
    assert bytes_of(launched[name].root) == expected


@pytest.mark.parametrize("name", LAUNCHERS)
def test_jobs_compute_as_the_settings_ask(launched, name):
    expected = {"threads": 1, "deterministic_algorithms": True, "cublas_workspace_config": ":4096:8"}
    paths = launched[name].root.glob("samples/*/*/sample.json")
    provenances = [json.loads(path.read_text())["provenance"] for path in paths]
    assert [{option: found[option] for option in expected} for found in provenances] == [expected] * 4


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_leaves_nothing_half_done(launched, name):
    root = launched[name].root
    for folder in (".unfinished", "claims", "checkpoints"):
        assert list(root.glob(f"{folder}/*")) == []
    assert {path.name for path in root.parent.iterdir()} - {".submitit"} == {"tiny"}
    assert {path.name for path in root.parents[1].iterdir()} == {"outputs"}


def test_what_is_sent_back_is_only_what_was_missing(launched):
    sweep = launched["ray_send_back"]
    for method in METHODS:
        assert f"{method}: 1 generated, 1 already there, 0 failed, of 2 samples" in sweep.process.stdout
    after = times_of(sweep.root)
    assert len(sweep.before) == 2 * 5
    assert {path: after[path] for path in sweep.before} == sweep.before


def test_a_job_that_slurm_preempts_is_queued_again_and_goes_on(launched):
    log = launched["submitit_slurm"].root.parent / ".submitit/7_0/7_0_0_log.out"
    lines = log.read_text().splitlines()
    assert any("Requeued job 7_0" in line for line in lines)
    assert [line for line in lines if "continues after" in line] == ["das heart seed 42: continues after step 3 of 24"]
    assert "das: 2 generated, 0 already there, 0 failed, of 2 samples in outputs/tiny" in lines


def test_slurm_is_asked_for_what_the_configuration_says(launched):
    (script,) = (launched["submitit_slurm"].root.parent / ".submitit").glob("*/*_submission.sh")
    asked = {line.removeprefix("#SBATCH --") for line in script.read_text().splitlines() if line.startswith("#SBATCH")}
    expected = {
        "array=0-1%2", "cpus-per-task=4", "gpus-per-node=1", "mem=16GB", "nodes=1", "ntasks-per-node=1",
        "partition=night", "time=1440",
    }  # fmt: skip
    assert expected <= asked


def test_a_failing_job_costs_its_siblings_nothing(failing):
    assert len(list(failing.root.glob("samples/das/*/sample.json"))) == 2
    assert "das: 2 generated, 0 already there, 0 failed, of 2 samples in outputs/tiny" in failing.output
    assert (failing.root / "table.md").read_text(encoding="utf-8") in failing.process.stdout


def test_failing_samples_of_a_job_are_listed(failing):
    for name in ("das heart seed 42", "das star seed 42"):
        assert f"Failed: {name}: expected a finite loss, got NaN or infinity at step 0; lower " in failing.output


def test_a_wrong_setting_of_some_jobs_is_told_once_in_a_sentence(failing):
    assert failing.process.returncode == 1
    assert "Traceback" not in failing.output
    assert failing.output.count("expected at least 1, got -1") == 1
    last = failing.process.stderr.splitlines()[-1]
    assert last == "Error: steps: expected at least 1, got -1; the published value is 200."


def test_a_launcher_without_its_package_names_the_remedy(tmp_path):
    site, installed = tmp_path / "site", Path(hydra.__file__).parents[1]
    site.mkdir()
    for path in installed.iterdir():
        if not path.name.startswith(("hydra_plugins", "joblib", "submitit", "ray")):
            (site / path.name).symlink_to(path)
    done = subprocess.run(
        [sys._base_executable, str(ROOT / "run.py"), "-m", "method=das,das_ag", "hydra/launcher=joblib"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    sentence = "hydra/launcher=joblib: its package is not installed; run uv sync --extra cluster."
    assert done.stderr == f"Error: {sentence}\n"


def test_slurm_without_its_commands_is_told(run_server, settings, tmp_path):
    pytest.importorskip("submitit", reason="needs the extra cluster")
    launcher = ("hydra/launcher=submitit_slurm", "steps=1")
    run = run_server.start(tmp_path, "-m", "method=das", *settings, *launcher, PATH=str(tmp_path))
    assert run.wait() == 1
    assert run.stderr.splitlines()[-1] == (
        "Error: hydra/launcher=submitit_slurm: expected Slurm's command srun, found none; start on a machine of a "
        "Slurm cluster, or use hydra/launcher=submitit_local."
    )
    assert list(tmp_path.glob("outputs/*/samples/*")) == []


@pytest.fixture
def hydra_of(conf_folder):
    """Hydra's own part of the configuration with a launcher."""

    def hydra_of(name: str) -> DictConfig:
        with hydra.initialize_config_dir(str(conf_folder), version_base="1.3"):
            return hydra.compose("config", [f"hydra/launcher={name}"], return_hydra_config=True)

    return hydra_of


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/\w+' is validated")  # as das_ag.sweep does
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("joblib", {"n_jobs": 2}),
        ("submitit_local", {"timeout_min": 1440, "submitit_folder": "{start}/outputs/.submitit/%j"}),
        (
            "submitit_slurm",
            {
                "gpus_per_node": 1,
                "tasks_per_node": 1,
                "max_num_timeout": 3,
                "array_parallelism": 64,
                "submitit_folder": "{start}/outputs/.submitit/%j",
            },
        ),
        ("ray", {"ray.init.address": None, "ray.init.include_dashboard": False, "ray.remote.max_retries": 3}),
        ("ray_send_back", {"ray.init.address": None, "ray.init.include_dashboard": False, "ray.remote.max_retries": 3}),
    ],
)
def test_the_options_of_a_launcher_are_those_of_its_file(hydra_of, tmp_path, monkeypatch, name, expected):
    monkeypatch.chdir(tmp_path)
    config = hydra_of(name)
    found = {option: OmegaConf.select(config.hydra.launcher, option) for option in expected}
    assert found == {o: v.format(start=tmp_path) if isinstance(v, str) else v for o, v in expected.items()}


@pytest.mark.filterwarnings(r"ignore:\s*'hydra/launcher/\w+' is validated")
def test_every_launcher_file_is_launched_here(conf_folder, hydra_of):
    assert {path.stem for path in (conf_folder / "hydra/launcher").iterdir()} == set(LAUNCHERS)
    for name in LAUNCHERS:
        hydra.utils.get_class(hydra_of(name).hydra.launcher._target_)
