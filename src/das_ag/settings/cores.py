"""The number of cores that this process may use."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_ROOT = Path("/")


@functools.cache
def count_cores() -> int:
    """Number of physical cores that this process may use, at least 1; hardware threads of a core do not count.

    A container often sees all cores of its machine, but may use only a share of their time. More threads than that
    share only wait. A share of 1.5 cores counts as 2.
    """
    return max(1, min([_cores_of_machine(), *map(math.ceil, _shares())]))


def _cores_of_machine() -> int:
    if sys.platform != "linux":
        return _cores_by_number()
    topology = _ROOT / "sys/devices/system/cpu"
    names = ("physical_package_id", "core_id")
    try:
        return len(
            {
                tuple((topology / f"cpu{cpu}" / "topology" / name).read_text() for name in names)
                for cpu in os.sched_getaffinity(0)
            }
        )
    except OSError:  # some sandboxes hide these files
        return _cores_by_number()


def _cores_by_number() -> int:
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _shares() -> Iterator[float]:
    """The limit, in cores, of each limited control group of this process: its own group and all parent groups."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    mounts = _ROOT / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2 has one tree for all controllers
            yield from _shares_below(mounts, path)
        elif "cpu" in controllers.split(","):
            # If a system mounts several controllers together, "cpu" is a link; the order in the joint name varies.
            yield from _shares_below(mounts / "cpu" if (mounts / "cpu").exists() else mounts / controllers, path)


def _shares_below(mount: Path, path: str) -> Iterator[float]:
    # In a container the path may be the host's; then only the mount itself is visible.
    group = mount / path.lstrip("/")
    for folder in (group, *group.parents):
        if (share := _share(folder)) is not None:
            yield share
        if folder == mount:
            return


def _share(group: Path) -> float | None:
    """The limit of one control group, in cores; None if it has no limit."""
    try:
        if (of_version_2 := group / "cpu.max").exists():
            quota, period = of_version_2.read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # the file is missing, or has the word “max”
        return None
