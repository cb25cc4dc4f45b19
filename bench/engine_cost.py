"""What the engine adds to the quickstart: all of it, less what its steps took.

A step's seconds are those its run recorded; they hold the start of the step's own process. The
rest, Python's start, composing, planning and recording, is the engine's.

python bench/engine_cost.py
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path

from _common import ENGINE, NOTHING, Process, repeats, report, rounded, run, seconds, traced

REPEATS = repeats(3)
MOST = 1.0
COMMAND = [*ENGINE, "+experiment=quickstart"]


def quickstart() -> tuple[float, dict[str, float], list[Process]]:
    """Wall time of a first quickstart, the seconds of its steps, and its processes."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        start = time.perf_counter()
        _, processes = traced(COMMAND, here)
        wall = time.perf_counter() - start
        (recorded,) = here.glob("runs/*/results.jsonl")
        results = [json.loads(line) for line in recorded.read_text("utf-8").splitlines()]
    return wall, {result["id"]: result["seconds"] for result in results}, processes


def main() -> None:
    """Measures first runs, each in an empty folder."""
    walls, engines, pythons, steps = [], [], [], []
    for _ in range(REPEATS):
        wall, taken, processes = quickstart()
        walls.append(wall)
        engines.append(wall - sum(taken.values()))
        pythons.append(seconds(lambda: run(NOTHING, Path.cwd())))
        steps.append(taken)
    started = [process for process in processes if process.runs("trainers")]
    torch = sorted(process.argv[1] for process in started if "torch" in process.heavy)
    engine = statistics.median(engines)
    report(
        {
            "n": REPEATS,
            "seconds": rounded(
                {
                    "quickstart": statistics.median(walls),
                    "engine": engine,
                    "python": statistics.median(pythons),
                    **{id_: statistics.median(s[id_] for s in steps) for id_ in steps[0]},
                }
            ),
            "ratios": rounded({"engine / quickstart": engine / statistics.median(walls)}),
            "step_processes": len(started),
            "with_torch": torch,
            "target": f"engine < {MOST} s, torch in training and its report alone",
            "met": engine < MOST and torch == ["report", "train"],
        }
    )


if __name__ == "__main__":
    main()
