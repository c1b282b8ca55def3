"""Ray tasks on machines that share no folder with this one: results come back as return values."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher

from das_ag import sweep
from das_ag.errors import UserError

try:
    from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher
except ImportError:  # Hydra imports all its plugins; without the extra "cluster" this one is not to be had
    RayLauncher = Launcher  # type: ignore[assignment, misc]


class RaySendBackLauncher(RayLauncher):
    """Tells each job which samples are finished here, and takes what it made."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the jobs; see Hydra's `Launcher`."""
        self.task_function: Any = functools.partial(sweep.run_job_away, finished=sweep.finished_here())
        returns = super().launch(job_overrides, initial_job_idx)
        refused: list[str] = []
        for job in returns:
            if job.status == JobStatus.COMPLETED:
                try:
                    sweep.receive(job.return_value)
                except UserError as error:  # the results of the other jobs are kept
                    refused.append(str(error))
        if refused:
            raise UserError("\n".join(dict.fromkeys(refused)))
        return returns
