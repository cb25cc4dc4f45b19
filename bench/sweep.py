"""Composing and validating a sweep that changes values only, against Hydra's own compose().

python bench/sweep.py
"""

from __future__ import annotations

import tempfile
from contextlib import chdir
from functools import partial

from _common import medians, repeats, report, rounded
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from mlops_spec.compose import Composer
from mlops_spec.conf_files import installed
from mlops_spec.validate import parse

REPEATS = repeats(3)
SIZES = (250, 500, 1000)
SAMPLE = 30  # members that Hydra composes; it is as fast for each of them
MOST = 30.0
LINEAR = 1.25  # a member of the largest sweep may cost this many times one of the smallest
RATES = "training.lr=0.01,0.003"


def ours(members: int) -> None:
    """A sweep as `-m` begins: all members composed and validated, none run."""
    composer = Composer()
    words = ["+experiment=quickstart", RATES, f"seed=range(0,{members // 2})"]
    specs = set()
    for member in composer.members(words):
        composed = composer.compose(member)
        spec = parse(composed.values, composed.origins, composed.problems)
        specs.add((spec.seed, getattr(spec.training, "lr")))  # noqa: B009 - its kind declares it
    if len(specs) != members:
        message = f"{len(specs)} different members, not {members}"
        raise AssertionError(message)


def hydras(members: int) -> None:
    """The same members composed by Hydra, and validated by nobody."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(installed()), version_base="1.3"):
        for seed in range(members // 2):
            for rate in RATES.partition("=")[2].split(","):
                compose("config", ["+experiment=quickstart", f"training.lr={rate}", f"seed={seed}"])


def main() -> None:
    """Measures in an empty folder, in this process."""
    sides = {f"{size} members": partial(ours, size) for size in SIZES}
    sides[f"hydra, {SAMPLE} members"] = partial(hydras, SAMPLE)
    with tempfile.TemporaryDirectory() as name, chdir(name):
        taken = medians(sides, REPEATS)
    each = {size: taken[f"{size} members"] / size for size in SIZES}
    hydra = taken[f"hydra, {SAMPLE} members"] / SAMPLE
    largest, growth = SIZES[-1], each[SIZES[-1]] / each[SIZES[0]]
    report(
        {
            "n": REPEATS,
            "seconds": rounded(taken),
            "milliseconds_a_member": rounded(
                {**{str(size): 1000 * taken for size, taken in each.items()}, "hydra": 1000 * hydra}
            ),
            "ratios": rounded(
                {
                    "hydra / ours, a member": hydra / each[largest],
                    f"a member of {largest} / of {SIZES[0]}": growth,
                }
            ),
            "target": f"{largest} members < {MOST} s, growth of a member <= {LINEAR}",
            "met": taken[f"{largest} members"] < MOST and growth <= LINEAR,
        }
    )


if __name__ == "__main__":
    main()
