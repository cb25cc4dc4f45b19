"""Rendering the variables of the infrastructure, and Terraform's tests of it, offline.

python bench/infra.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from _common import ENGINE, medians, repeats, report, rounded, run

ROOT = Path(__file__).resolve().parents[1]
REPEATS = repeats(9)
RENDER_MOST, TESTS_MOST = 1.0, 30.0  # seconds
WORDS = [
    *("+experiment=quickstart", "compute=azureml_cpu", "workspace=azure"),
    "workspace.subscription_id=11111111-2222-3333-4444-555555555555",
]
SIDES = {
    "none": ["infra=none"],
    "terraform": ["infra=terraform"],
    "terraform_all": [
        *("infra=terraform_all", "infra.devops.organization=https://dev.azure.com/photos"),
    ],
}
TESTS = [
    *("-m", "pytest", "-q", "-m", "slow", "-p", "no:cacheprovider"),
    *("tests/test_infra.py", "tests/test_infra_rules.py"),
]


def tests() -> float | None:
    """Seconds that Terraform takes for everything it can say of `infra/`; None where it can not."""
    schemas = ROOT.parent / "shared" / "terraform" / "schemas.json"
    if not shutil.which("terraform") or not schemas.exists():
        sys.stderr.write("LOUD: no terraform, or no provider schemas: its tests are not measured\n")
        return None
    start = time.perf_counter()
    subprocess.run([sys.executable, *TESTS], cwd=ROOT, check=True, stdout=sys.stderr)
    return time.perf_counter() - start


def main() -> None:
    """Measures in an empty folder, in which the first render lays down everything."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        sides = {
            side: partial(run, [*ENGINE, "render", *WORDS, *more], here)
            for side, more in SIDES.items()
        }
        taken = medians(sides, REPEATS)
    seconds = tests()
    worst = max(taken.values())
    report(
        {
            "n": REPEATS,
            "seconds": rounded(taken),
            "ratio_to_none": rounded({k: taken[k] / taken["none"] for k in taken}),
            "tests_seconds": seconds and round(seconds, 1),
            "target": f"render < {RENDER_MOST} s, Terraform's tests < {TESTS_MOST} s",
            "met": worst < RENDER_MOST and (seconds is None or seconds < TESTS_MOST),
        }
    )


if __name__ == "__main__":
    main()
