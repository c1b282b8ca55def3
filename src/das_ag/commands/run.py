"""Generates, scores and reports images: das-ag run -m method=das,das_ag,das_rag."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra passes errors on, and `main` prints them

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from das_ag import sweep
from das_ag.errors import UserError, first_line, refusal
from das_ag.settings.arguments import arrange
from das_ag.settings.configuration import CONFIGURATION, check_choices, describe


@hydra.main(config_path=str(CONFIGURATION), config_name="config", version_base="1.3")
def run_job(config: DictConfig) -> None:
    """Runs one job: the samples of one method."""
    try:
        sweep.run_job(config)
    except Exception as error:
        sentence = str(error) if isinstance(error, UserError) else refusal(error)
        if sentence is None or HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # a bug in this program; or the launcher raises it again after the other jobs
        sys.exit(f"Error: {sentence}")  # Hydra would print an extra line


def main(argv: Sequence[str]) -> int:
    """Runs Hydra's jobs, then scores and reports; returns the exit status."""
    remembered = sweep.RememberConfig
    try:
        complaint = _launch(argv)
        jobs, status = remembered.jobs, 0  # no jobs: --help or a similar flag, or an invalid configuration
        # If a job of a sweep fails, the results of the others are still reported.
        if jobs and (not complaint or (remembered.is_sweep and sweep.has_results(jobs, remembered.started))):
            status = sweep.finish(jobs, remembered.started)
        if not complaint:
            return status
        print(f"Error: {complaint}", file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted: finished samples are kept; start the same command again to continue.", file=sys.stderr)
        return 130
    return 1


def _launch(argv: Sequence[str]) -> str | None:
    """Runs all jobs; returns the error of the first failed job, None if all succeed."""
    try:
        sys.argv[1:] = arrange(argv)  # Hydra reads them there
        check_choices(sys.argv[1:])
        run_job()
    except UserError as error:
        return str(error)
    except HydraException as error:
        return describe(error)
    except Exception as error:
        launcher = sweep.RememberConfig.launcher
        if launcher == "basic":
            raise  # a bug in this program
        return f"hydra/launcher={launcher}: {_launcher_error(launcher, error)}"
    return None


def _launcher_error(launcher: str, error: Exception) -> str:
    if str(error).startswith("Unknown plugin class"):
        return "its package is not installed; run uv sync --extra cluster."
    if launcher == "submitit_slurm" and shutil.which("srun") is None:
        return (
            "expected Slurm's command srun, found none; start on a machine of a Slurm cluster, or use "
            "hydra/launcher=submitit_local."
        )
    return (
        f"a job stopped with {type(error).__name__} ({first_line(error)}). Finished samples are kept; start the same "
        "command again."
    )
