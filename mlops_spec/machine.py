"""What a machine is, as far as it decides whether a training gives the same numbers twice.

Looked up in files that are read in no time: no driver, and no library of one, is loaded.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/gpus")
_CPUS = Path("/proc/cpuinfo")
_THREADS = "OMP_NUM_THREADS"


def describe() -> dict[str, str]:
    """Name -> what there is: without what is unknown."""
    found = {
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": str(_cpus()),
        "gpus": ", ".join(_gpus()),
        _THREADS: os.environ.get(_THREADS, ""),  # a person's choice; else as many as cpus
    }
    return {name: value for name, value in found.items() if value}


def _processor() -> str:
    return next(iter(_values(_CPUS, "model name")), platform.processor())


def _cpus() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[str]:
    """Models of NVIDIA's GPUs, as its driver lists them; others are told by the platform."""
    listed = sorted(_DRIVER.glob("*/information"))
    return [name for path in listed for name in _values(path, "Model")[:1]]


def _values(path: Path, name: str) -> list[str]:
    """What stands behind `name:` in a file of the kernel's; nothing where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [value.strip() for key, _, value in pairs if key.strip() == name]
