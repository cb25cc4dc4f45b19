"""`show` and `plan` against a bare Hydra application that composes the same groups.

python bench/start.py
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from _common import ENGINE, medians, repeats, report, rounded, run, traced

from mlops_spec.conf_files import installed

REPEATS = repeats(15)
MOST = 1.5
EXPERIMENT = "+experiment=quickstart"
VERBS = ("show", "plan")

BARE = """\
import hydra
from omegaconf import DictConfig, OmegaConf

@hydra.main(config_path={conf!r}, config_name="config", version_base="1.3")
def main(config: DictConfig) -> None:
    print(OmegaConf.to_yaml(config, resolve=True))

main()
"""
QUIET = ["hydra.output_subdir=null", "hydra.run.dir=.", "hydra/job_logging=disabled"]


def heavy_imports(command: list[str], here: Path) -> list[str]:
    """The heavy packages that a command loads, in any of its processes."""
    _, processes = traced(command, here)
    return sorted({name for process in processes for name in process.heavy})


def main() -> None:
    """Measures in an empty folder."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        (here / "bare.py").write_text(BARE.format(conf=str(installed())), "utf-8")
        commands = {verb: [*ENGINE, verb, EXPERIMENT] for verb in VERBS}
        commands["hydra"] = [sys.executable, "bare.py", EXPERIMENT, *QUIET]
        heavy = {verb: heavy_imports(commands[verb], here) for verb in VERBS}
        sides = {side: partial(run, command, here) for side, command in commands.items()}
        taken = medians(sides, REPEATS)
    ratios = {verb: taken[verb] / taken["hydra"] for verb in VERBS}
    report(
        {
            "n": REPEATS,
            "seconds": rounded(taken),
            "ratios": rounded(ratios),
            "heavy_imports": heavy,
            "target": f"ratio <= {MOST}, no heavy imports",
            "met": max(ratios.values()) <= MOST and not any(heavy.values()),
        }
    )


if __name__ == "__main__":
    main()
