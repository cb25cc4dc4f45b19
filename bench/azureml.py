"""Plans for Azure, and a run of which nothing is left to do in an emulated workspace.

python bench/azureml.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from _common import ENGINE, medians, repeats, report, rounded, run, traced

if TYPE_CHECKING:
    from collections.abc import Iterator

REPEATS = repeats(9)
MOST_PLAN, MOST_RUN = 1.0, 5.0
EXPERIMENT = "+experiment=quickstart"
AZURE = (
    *("compute=azureml_gpu", "workspace=azure"),
    "workspace.subscription_id=11111111-2222-3333-4444-555555555555",
)
EMULATED = (
    *("compute=azureml_cpu", "workspace=emulator", "target=none"),
    *("training.epochs=1", "evaluation.gate.floors.accuracy=0.0"),  # a first run that is soon over
)
EMULATOR = [sys.executable, "-m", "mlops_spec.emulator"]
AZURITE = Path(sys.prefix) / "azurite"  # installed by npm the first time


@contextmanager
def emulator(state: Path) -> Iterator[None]:
    """The emulator of a project's workspace, which writes down what it is asked."""
    state.mkdir(parents=True)
    with (state / "log.txt").open("wb") as log:
        words = [*EMULATOR, "--state", str(state), "--azurite", str(AZURITE), "--record"]
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        while not (state / "emulator.json").exists():
            if process.poll() is not None:
                sys.exit((state / "log.txt").read_text("utf-8"))
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def requests(state: Path) -> int:
    """How many an emulator has answered."""
    return len((state / "traffic.jsonl").read_bytes().splitlines())


def main() -> None:
    """Measures in an empty folder, whose first run is not counted."""
    plan = [*ENGINE, "plan", EXPERIMENT]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        state = here / ".mlops" / "azure"
        again = [*ENGINE, EXPERIMENT, *EMULATED]
        commands = {"plan, local": plan, "plan, Azure": [*plan, *AZURE], "run again": again}
        _, processes = traced(commands["plan, Azure"], here)
        with emulator(state):
            run(again, here)
            before = requests(state)
            run(again, here)
            asked = requests(state) - before
            sides = {side: partial(run, command, here) for side, command in commands.items()}
            taken = medians(sides, REPEATS)
    heavy = sorted({name for process in processes for name in process.heavy})
    report(
        {
            "n": REPEATS,
            "seconds": rounded(taken),
            "ratios": rounded({"plan": taken["plan, Azure"] / taken["plan, local"]}),
            "requests of run again": asked,
            "heavy_imports of plan": heavy,
            "target": f"plan < {MOST_PLAN} s, run again < {MOST_RUN} s",
            "met": taken["plan, Azure"] < MOST_PLAN and taken["run again"] < MOST_RUN,
        }
    )


if __name__ == "__main__":
    main()
