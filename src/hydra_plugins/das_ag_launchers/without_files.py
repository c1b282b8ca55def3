"""Hydra's own sweeper without its file: it needs no folder, which other users may own, and which may be full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn


class SweeperWithoutFiles(BasicSweeper):
    """Runs every combination of the values, like `BasicSweeper`, but does not write multirun.yaml."""

    def sweep(self, arguments: list[str]) -> Any:
        """Launches the jobs; raises the error of the first job that failed. Source: hydra-core 1.3."""
        assert self.hydra_context
        assert self.launcher
        parser = OverridesParser.create(self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        returns: list[Sequence[JobReturn]] = []
        for batch in self.split_arguments(overrides, self.max_batch_size):
            self.validate_batch_is_legal(batch)
            returns.append(self.launcher.launch(batch, initial_job_idx=sum(map(len, returns))))
            for job in returns[-1]:
                _ = job.return_value  # raises the job's error
        return returns
