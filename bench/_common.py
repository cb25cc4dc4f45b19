"""What the benchmarks share: timing commands side by side, tracing processes, one JSON line."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[1]
ENGINE = [sys.executable, "-m", "mlops_spec"]
NOTHING = [sys.executable, "-c", "pass"]

# Python imports this by itself at its start; at its end it notes the command and the heavy modules.
_TRACE = """\
import atexit, json, os, sys
HEAVY = "torch lightning pytorch_lightning torchvision azure mlflow flask".split()
@atexit.register
def note():
    with open(os.path.join(os.environ["BENCH_TRACE"], f"{os.getpid()}.json"), "w") as file:
        json.dump({"argv": sys.argv, "heavy": [m for m in HEAVY if m in sys.modules]}, file)
"""


@dataclass(frozen=True)
class Process:
    """A Python process that a traced command started, itself included."""

    argv: list[str]
    heavy: list[str]

    def runs(self, package: str) -> bool:
        """Whether it is `python -m package`."""
        return Path(self.argv[0]).parts[-2:] == (package, "__main__.py")


def run(command: list[str], cwd: Path, extra: Mapping[str, str] | None = None) -> str:
    """What a command prints; the benchmark ends with the command's own words where it fails."""
    environment = {**os.environ, **(extra or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or our modules compile anew at each start
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def traced(command: list[str], cwd: Path) -> tuple[str, list[Process]]:
    """What a command prints, and every Python process that it took."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sitecustomize.py").write_text(_TRACE, "utf-8")
        path = os.pathsep.join(filter(None, (name, os.environ.get("PYTHONPATH"))))
        printed = run(command, cwd, {"PYTHONPATH": path, "BENCH_TRACE": name})
        notes = [json.loads(note.read_bytes()) for note in sorted(folder.glob("*.json"))]
    return printed, [Process(**note) for note in notes]


def repeats(n: int) -> int:
    """How often something is measured: once with BENCH_ONCE=1, just to see that it can be."""
    return 1 if os.environ.get("BENCH_ONCE") == "1" else n


def seconds(work: Callable[[], object]) -> float:
    """Wall time of some work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def medians(sides: Mapping[str, Callable[[], object]], n: int) -> dict[str, float]:
    """Median seconds of each side, measured in turns (A B A B ...) after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(n + 1):
        for name, work in sides.items():
            taken = seconds(work)
            if turn:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Numbers as they are worth reading."""
    return {name: round(value, 4) for name, value in values.items()}


def report(measured: Mapping[str, object]) -> None:
    """Prints a benchmark's one line, named after its script, with the machine it ran on."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    print(json.dumps({"name": Path(sys.argv[0]).stem, "machine": machine, **measured}))
