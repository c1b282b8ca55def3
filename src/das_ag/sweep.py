"""One job of a sweep, and what happens when the last one has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from das_ag.errors import UserError

log = logging.getLogger(__name__)

CLOCK_SLACK_S = 2.0
"""How far the clock of a file system may lag behind that of this machine."""


class RememberConfig(Callback):
    """Keeps the configuration that a run or sweep was started with, for after its last job.

    Hydra turns an exception in a callback into a warning, so the work itself waits until Hydra has returned.
    """

    config: DictConfig | None = None
    started: float = 0.0
    """Seconds since the epoch."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """A single job begins."""
        RememberConfig.config, RememberConfig.started = config, time.time()

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """A sweep begins."""
        self.on_run_start(config)


def run_job(config: DictConfig) -> None:
    """Generates the samples of one composed configuration.

    Raises:
        UserError: the configuration is wrong, or the store cannot be written to.
    """
    from das_ag.experiment.generate import generate
    from das_ag.experiment.plan import make_plan
    from das_ag.experiment.store import Store

    plan = make_plan(config)
    for choice in plan.evaluators.values():
        choice.digest()  # an evaluator that is not to be had is better known now than after hours
    outcome = generate(plan, Store(plan.folder))
    log.info(
        "%s: %d generated, %d already there, %d failed, of %d samples in %s",
        config.method.name, outcome.made, outcome.found, len(outcome.failed), len(plan.samples), plan.folder,
    )  # fmt: skip


def finish(config: DictConfig, started: float) -> int:
    """Scores and reports everything in the folders that a run or sweep wrote to; returns the exit status.

    Args:
        config: what the run was started with, Hydra's own part included.
        started: when, in seconds since the epoch; earlier failures are not this run's.
    """
    from das_ag.experiment.evaluate import evaluate
    from das_ag.experiment.guides import release_guide
    from das_ag.experiment.plan import choose_evaluators
    from das_ag.experiment.runtime import choose_device
    from das_ag.experiment.store import Store
    from das_ag.report import write_report

    release_guide()
    evaluators = choose_evaluators(config.evaluator)
    first = next(iter(evaluators))
    complaints: list[str] = []
    for folder in _folders(config):
        store = Store(folder)
        failures = store.failures(since=started - CLOCK_SLACK_S)
        complaints += [f"Failed: {name}: {error}" for name, error in failures.items()]
        complaints += evaluate(store, evaluators, choose_device(config.runtime.device))
        try:
            table, left_out = write_report(folder, first)
        except UserError as error:
            complaints.append(str(error))
            continue
        log.info("\n%s\nTable, scores and plots: %s", table, folder)
        complaints += left_out
    for complaint in dict.fromkeys(complaints):
        log.error("%s", complaint)
    return 1 if complaints else 0


def _folders(config: DictConfig) -> Iterator[Path]:
    """One folder for each value of `name`, which may itself be swept over."""
    from das_ag.experiment.plan import output_folder

    overrides = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    swept = [o for o in overrides if o.key_or_group == "name" and o.is_sweep_override()]
    names = [str(value) for value in swept[-1].sweep_string_iterator()] if swept else [config.name]
    for name in names:
        yield output_folder(name)
