"""The same `run` a second time: nothing is done again, and hardly more than Python starts.

python bench/second_run.py
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path

from _common import ENGINE, NOTHING, medians, repeats, report, rounded, run, traced

REPEATS = repeats(15)
MOST = 1.0
COMMAND = [
    *(*ENGINE, "+experiment=quickstart"),
    *("training.epochs=1", "evaluation.gate.floors.accuracy=0.0"),  # a first run that is soon over
]


def outputs(folder: Path) -> dict[str, int]:
    """All that runs and steps leave, with the time of its writing; locks are touched by design."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lock" not in str(path))
    return {str(path): path.stat().st_mtime_ns for path in files}


def main() -> None:
    """Measures in a folder where the first run is over."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        run(COMMAND, here)
        before = outputs(here)
        sides = {"run": partial(run, COMMAND, here), "python": partial(run, NOTHING, here)}
        taken = medians(sides, REPEATS)
        printed, processes = traced([*COMMAND, "--json"], here)
        unchanged = outputs(here) == before
    events = [json.loads(line) for line in printed.splitlines()]
    statuses = {event["id"]: event["status"] for event in events if event["event"] == "result"}
    nothing_ran = unchanged and len(processes) == 1 and set(statuses.values()) == {"reused"}
    own = taken["run"] - taken["python"]
    report(
        {
            "n": REPEATS,
            "seconds": rounded({**taken, "run - python": own}),
            "ratios": rounded({"run / python": taken["run"] / taken["python"]}),
            "steps": statuses,
            "nothing_ran": nothing_ran,
            "heavy_imports": processes[0].heavy,
            "target": f"run - python < {MOST} s, nothing ran",
            "met": own < MOST and nothing_ran,
        }
    )


if __name__ == "__main__":
    main()
