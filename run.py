"""Generates, scores and reports: python run.py -m method=das,das_ag,das_rag."""

from __future__ import annotations

import logging
import os
import sys

from das_ag.settings import environment

environment.prepare()  # before anything imports torch
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come through, and `command_line` words them

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from das_ag import sweep
from das_ag.errors import UserError, first_line
from das_ag.settings.configuration import check_choices, describe


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    """One job: the samples of one method."""
    try:
        sweep.run_job(config)
    except UserError as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # a launcher hands it on when the other jobs have ended
        sys.exit(f"Error: {error}")  # Hydra would add a line of its own


def command_line() -> int:
    """Runs Hydra, then what follows its last job; returns the exit status."""
    logging.raiseExceptions = False  # whoever reads what is told here, for instance head, may leave before the end
    remembered = sweep.RememberConfig
    try:
        complaint = _launch()
        jobs, status = remembered.jobs, 0  # no jobs: --help and its like, or a configuration that does not compose
        # One job of several may have come to nothing; what the others made is reported.
        if jobs and (not complaint or (remembered.is_sweep and sweep.has_results(jobs, remembered.started))):
            status = sweep.finish(jobs, remembered.started)
        if not complaint:
            return status
        print(f"Error: {complaint}", file=sys.stderr)
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted: finished samples are kept; start the same command again to go on.", file=sys.stderr)
        return 130
    return 1


def _launch() -> str | None:
    """Runs all jobs; returns a sentence about the first that came to nothing."""
    try:
        check_choices(sys.argv[1:])
        main()
    except UserError as error:
        return str(error)
    except HydraException as error:
        return describe(error)
    except Exception as error:
        launcher = sweep.RememberConfig.launcher
        if launcher == "basic":
            raise  # a defect of this program
        if str(error).startswith("Unknown plugin class"):
            return f"hydra/launcher={launcher}: expected its package, found none; run uv sync --extra cluster."
        return (
            f"hydra/launcher={launcher}: expected every job to end by itself, got {type(error).__name__} "
            f"({first_line(error)}); finished samples are kept; start the same command again."
        )
    return None


if __name__ == "__main__":
    sys.exit(command_line())
