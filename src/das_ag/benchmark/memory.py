"""Memory of this process."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import psutil

if sys.platform != "win32":
    import resource


def peak_rss_mb() -> float:
    """Peak memory of this process, in units of 10⁶ bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage also counts memory of the parent from before the start
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024 / 1e6
    if sys.platform != "win32":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return psutil.Process().memory_info().peak_wset / 1e6
