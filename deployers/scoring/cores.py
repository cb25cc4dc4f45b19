"""How many threads an engine may have: a container often has less than its machine.

An engine that knows the machine alone starts a thread for each of its cores; many on a small share
take turns, and wait for each other.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_SHARE = Path("/sys/fs/cgroup/cpu.max")  # microseconds of work in so many, or `max`


def threads(share: Path = _SHARE) -> int:
    """Threads for this process's part of the machine.

    Args:
        share: The kernel's file about the container.

    Returns:
        0 where it has all of the machine: an engine knows best then.
    """
    there = os.cpu_count() or 1
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    most = min(ours, _share(share))
    return 0 if most >= there else max(1, math.ceil(most))


def _share(path: Path) -> float:
    """Cores' worth of time that a container gets; infinite where nothing bounds it."""
    try:
        work, period = path.read_text("ascii").split()
        return float(work) / float(period)
    except (OSError, ValueError):  # no such file, or `max`
        return math.inf
