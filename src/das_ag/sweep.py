"""Runs the jobs of a sweep, then scores and reports their results."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from das_ag.errors import UserError, counted
from das_ag.settings import environment

if TYPE_CHECKING:
    from das_ag.settings.plan import Plan
    from das_ag.store.store import Store

log = logging.getLogger(__name__)

# conf/hydra/launcher/ has our defaults for the launchers. Hydra warns that it validates them against the plugins' types
# of the same names. The filter is here because launchers' processes import this module, but not commands.run.
warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")

MAX_LINES = 20
"""Largest number of complaints to print at the end of a run."""
CLOCK_SLACK_S = 2.0
"""How far a file system's clock may lag behind this machine's clock."""


class RememberConfig(Callback):
    """Records the configurations of all jobs of a run or sweep, for use after the last job.

    Hydra turns an exception in a callback into a warning, so scoring and reporting happen after Hydra has returned.
    """

    jobs: Sequence[DictConfig] = ()
    started: float = 0.0
    """Seconds since the epoch."""
    is_sweep: bool = False
    launcher: str = "basic"
    """The selected `hydra/launcher`."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Records the configuration of a single job."""
        RememberConfig.jobs, RememberConfig.started = [config], time.time()

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Records the configurations of a sweep."""
        self.on_run_start(config)
        RememberConfig.jobs = _jobs_of(config)
        RememberConfig.is_sweep = True
        RememberConfig.launcher = config.hydra.runtime.choices["hydra/launcher"]


def _jobs_of(config: DictConfig) -> list[DictConfig]:
    """A configuration for each folder and `evaluator` in a sweep; the choice of any group may set these."""
    loader = GlobalHydra.instance().config_loader()
    raw: dict[str, Any] = OmegaConf.to_container(config, resolve=False)  # type: ignore[assignment]
    params = config.hydra.sweeper.get("params") or {}
    given = [*(f"{key}={value}" for key, value in params.items()), *raw["hydra"]["overrides"]["task"]]
    is_folder_made_of_others = "${" in f"{raw['name']}{raw['output_dir']}"

    def matters(override: Override) -> bool:
        """Whether an override can change them. Skipping others saves time: composing one of many jobs takes 0.1 s."""
        is_choice = bool(loader.get_group_options(override.key_or_group))
        return (
            not override.is_sweep_override()
            or is_folder_made_of_others
            or is_choice
            or override.key_or_group in ("name", "output_dir")
        )

    try:
        overrides = [o for o in OverridesParser.create(loader).parse_overrides(given) if matters(o)]
        (jobs,) = BasicSweeper.split_arguments(overrides, None)
        return [loader.load_sweep_config(config, job) for job in jobs]
    except (HydraException, OmegaConfBaseException):
        return [config]  # Hydra reports the error later


def run_job(config: DictConfig) -> None:
    """Generates the samples of one composed configuration, in this process or in a launcher's process.

    Raises:
        UserError: the configuration is wrong, or the store cannot be written to.
    """
    environment.prepare()  # for a process that did not start with das-ag
    _enter(Path(HydraConfig.get().runtime.cwd))
    if "torch" not in sys.modules:
        log.info("Loading torch and the networks …")  # this takes seconds, more on a slow disk
    from das_ag.settings.plan import make_plan
    from das_ag.store.store import Store

    plan = make_plan(config, evaluate=True)
    _generate(config, plan, Store(plan.folder))


def run_job_away(config: DictConfig, finished: Mapping[str, frozenset[str]]) -> dict[str, dict[str, bytes]]:
    """Like `run_job`, on a machine that shares no folder with the launching machine.

    Args:
        finished: keys of the samples that are finished on the launching machine, by folder.

    Returns:
        The new samples and failures, packed, by folder.
    """
    environment.prepare()
    from das_ag.settings.plan import make_plan
    from das_ag.store.store import Store

    plan = make_plan(config, evaluate=True)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), elsewhere=finished.get(str(plan.folder), frozenset()))
        _generate(config, plan, store)
        return {str(plan.folder): store.pack()}


def finished_here() -> dict[str, frozenset[str]]:
    """Keys of the finished samples in each folder of the current sweep."""
    from das_ag.store.store import Store

    return {str(folder): Store(folder).finished_keys() for folder in _folders(RememberConfig.jobs)}


def receive(packed: Mapping[str, Mapping[str, bytes]]) -> None:
    """Adds the results of `run_job_away` to the folders of this machine."""
    from das_ag.store.store import Store

    for folder, files in packed.items():
        store = Store(Path(folder))
        store.prepare()
        store.receive(files)


def _enter(folder: Path) -> None:
    """Changes to the folder in which the user started the command, since results are stored below it."""
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: this machine cannot open the folder in which the command was started (“{error.strerror}”); "
            "share it with all machines, or use hydra/launcher=ray_send_back."
        ) from error


def _generate(config: DictConfig, plan: Plan, store: Store) -> None:
    from das_ag.evaluation.evaluate import check_evaluators
    from das_ag.generation.generate import generate, report_lost_words
    from das_ag.generation.outlook import look_ahead

    if plan.dry_run:
        report_lost_words(plan.guide, plan.samples)
        log.info("%s: %s, in %s", config.method.name, look_ahead(plan, store), plan.folder)
        return
    check_evaluators(plan.evaluators, plan.samples)
    if not plan.samples:
        log.info(
            "%s: this shard is empty, since a shard consists of whole batches; lower runtime.samples_per_batch=%d or "
            "shards=%d", config.method.name, plan.samples_per_batch, config.shards,
        )  # fmt: skip
        return
    outcome = generate(plan, store)
    log.info(
        "%s: %d generated, %d already there, %d failed, of %s in %s", config.method.name,
        outcome.made, outcome.found, len(outcome.failed), counted(len(plan.samples), "sample"), plan.folder,
    )  # fmt: skip


def finish(jobs: Sequence[DictConfig], started: float) -> int:
    """Scores and reports all samples in the folders of a run or sweep; returns the exit status.

    Args:
        jobs: configurations of the jobs, at least one.
        started: start of the run in seconds since the epoch; earlier failures are ignored.
    """
    if jobs[0].dry_run:
        return 0
    from das_ag.evaluation.evaluate import evaluate
    from das_ag.generation.guide import release_guide
    from das_ag.generation.machine import set_up
    from das_ag.report import write_report
    from das_ag.settings.choices import choose_evaluators, choose_runtime
    from das_ag.settings.runtime import choose_device
    from das_ag.store.claims import Claims
    from das_ag.store.store import Store

    release_guide()
    runtime = choose_runtime(jobs[0].runtime)
    set_up(runtime)
    complaints: list[str] = []
    for folder, own in _folders(jobs).items():
        evaluators = {name: choice for job in own for name, choice in choose_evaluators(job.evaluator).items()}
        store = Store(folder)
        failures = store.failures.errors(since=started - CLOCK_SLACK_S)
        complaints += [f"Failed: {name}: {error}" for name, error in failures.items()]
        # Two processes that share the work arrive here at the same time; the second has nothing left to do.
        with Claims.of(store).claim("report", wait=True):
            complaints += evaluate(store, evaluators, choose_device(runtime.device))
            try:
                table, left_out = write_report(folder, next(iter(evaluators)))
            except UserError as error:
                complaints.append(str(error))
                continue
        log.info("\n%s\nTable, scores and plots: %s", table, folder)
        if (gallery := folder / "index.html").is_file():
            log.info("All images with their scores, for a browser: %s", gallery)
        complaints += left_out
    return _complain(list(dict.fromkeys(complaints)))


def _complain(complaints: Sequence[str]) -> int:
    for complaint in complaints[:MAX_LINES]:
        log.error("%s", complaint)
    if len(complaints) > MAX_LINES:
        log.error("… and %d more, see failures/", len(complaints) - MAX_LINES)
    return 1 if complaints else 0


def has_results(jobs: Sequence[DictConfig], started: float) -> bool:
    """Whether the folders of these jobs have a sample that was finished after `started`."""
    from das_ag.store.samples import SAMPLE, SAMPLES

    since = started - CLOCK_SLACK_S
    paths = (path for folder in _folders(jobs) for path in (folder / SAMPLES).glob(f"*/*/{SAMPLE}"))
    return any(path.stat().st_mtime >= since for path in paths)


def _folders(jobs: Sequence[DictConfig]) -> dict[Path, list[DictConfig]]:
    """The jobs of each output folder."""
    from das_ag.settings.plan import output_folder

    folders: dict[Path, list[DictConfig]] = {}
    for job in jobs:
        folders.setdefault(output_folder(job.name, job.output_dir), []).append(job)
    return folders
