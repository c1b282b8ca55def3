"""How many cores this process may use."""

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
    """Cores that this process may use, each once, however many threads it runs at a time; at least 1.

    A container often sees all cores of its machine and is held back after its share of their time, to which more
    threads add nothing but waiting. A share of 1.5 cores counts as 2.
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
    except OSError:  # hidden, as in some sandboxes
        return _cores_by_number()


def _cores_by_number() -> int:
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _shares() -> Iterator[float]:
    """Cores' time that each limited control group of this process may take, its own group and those above it."""
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    mounts = _ROOT / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, one tree for all
            yield from _shares_below(mounts, path)
        elif "cpu" in controllers.split(","):
            # Systems that mount several together link this name to them, and do not agree on the order of theirs.
            yield from _shares_below(mounts / "cpu" if (mounts / "cpu").exists() else mounts / controllers, path)


def _shares_below(mount: Path, path: str) -> Iterator[float]:
    # In a container the path may be the host's, of which only the mount itself is to be seen.
    group = mount / path.lstrip("/")
    for folder in (group, *group.parents):
        if (share := _share(folder)) is not None:
            yield share
        if folder == mount:
            return


def _share(group: Path) -> float | None:
    """What one control group may take; None where it is not limited."""
    try:
        if (of_version_2 := group / "cpu.max").exists():
            quota, period = of_version_2.read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or the word “max”
        return None
