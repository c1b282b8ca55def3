"""Generates, scores and reports: python run.py -m method=das,das_ag,das_rag."""

from __future__ import annotations

import os
import sys

from das_ag.errors import UserError
from das_ag.experiment import environment

try:
    environment.prepare()  # before anything imports torch
except UserError as error:
    sys.exit(f"Error: {error}")

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come through, and `command_line` words them

import hydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig

from das_ag import sweep


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    """One job: the samples of one method."""
    try:
        sweep.run_job(config)
    except UserError as error:
        sys.exit(f"Error: {error}")  # ends a sweep too: what is wrong here is wrong in the next job


def command_line() -> int:
    """Runs Hydra, then what follows its last job; returns the exit status."""
    try:
        main()
        remembered = sweep.RememberConfig
        if remembered.config is None:
            return 0  # --help and its like
        return sweep.finish(remembered.config, remembered.started)
    except (UserError, HydraException) as error:
        print(f"Error: {describe(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: finished samples are kept; start the same command again to go on.", file=sys.stderr)
        return 130


def describe(error: Exception) -> str:
    """One sentence about an error of the configuration."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, got = error.missing_cfg_file.rpartition("/")
        return f"{group}: expected one of {', '.join(error.options)}, got {got!r}; choose one of them."
    if isinstance(error, HydraException):
        return f"{str(error).splitlines()[0].rstrip('.')}; see python run.py --help."
    return str(error)


if __name__ == "__main__":
    sys.exit(command_line())
