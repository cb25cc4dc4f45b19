"""The scoring service against services as people write them: ResNet-18 at 224 from a JPEG file.

python bench/serve.py          # peers in the project's own environment, 1 and 16 connections
python bench/serve.py --all    # also those of `make bench-peers`, and 4 and 32 connections
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _common import repeats, report, rounded
from _serve_cast import ENVIRONMENTS, HERE_TOO, ORIGIN, Stage, ours, peer, precisions, requests
from _serve_eager import OURS, Given
from _serve_sides import Loader, Measured, Side
from evaluate import model, photographs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deployers.scoring.engines import Precision

FEW, MANY, AT = (1, 16), (1, 4, 16, 32), 16
SECONDS, WARM, TURNS, RUNS = 0.7, 0.3, repeats(3), repeats(15)
BEST = {"fp32": 1.9, "bf16": 3.3, "int8": 5.5}  # times the best peer
GIVEN, OLD, BODY = 1.0, 10.0, 40.0  # times the best with our engine, pixels as JSON, their bytes
ONE, TAIL, READY, MEMORY = 1.6, 2.0, 2.0, 400.0  # at most
BATCH = 16  # of the engine alone, where it computes most images a second


@dataclass
class Taken:
    """What was measured in each turn, by side and connections."""

    loads: dict[tuple[str, int], list[Measured]] = field(default_factory=dict)
    alone: dict[str, list[float]] = field(default_factory=dict)  # ms of the bare engine, by side
    roof: dict[str, list[float]] = field(
        default_factory=dict
    )  # images a second, the same in batches

    def rps(self, name: str, connections: int = AT) -> float:
        """Requests a second, the median."""
        return statistics.median(each.rps for each in self.loads[name, connections])

    def ratio(self, one: str, other: str) -> float:
        """How many times as many requests one answers as another, the median of the turns."""
        pairs = zip(self.loads[one, AT], self.loads[other, AT], strict=True)
        return statistics.median(a.rps / b.rps for a, b in pairs)

    def roof_over(self, one: str, other: str) -> float:
        """The same, if one did nothing but compute, in batches: no service is above."""
        pairs = zip(self.roof[one], self.loads[other, AT], strict=True)
        return round(statistics.median(a / b.rps for a, b in pairs), 3)

    def over_alone(self, name: str) -> float:
        """Milliseconds of one connection against the engine's alone, the median of the turns."""
        pairs = zip(self.loads[name, 1], self.alone[name], strict=True)
        return statistics.median(statistics.median(a.ms) / b for a, b in pairs)

    def cuts(self, name: str, connections: int) -> dict[str, float]:
        """Percentiles of milliseconds."""
        every = [ms for each in self.loads[name, connections] for ms in each.ms]
        p50, p99 = np.percentile(every, (50, 99))
        return {"p50": float(p50), "p99": float(p99)}


def cast(stage: Stage, some: list[Precision], everyone: bool) -> Iterator[Side]:  # noqa: FBT001
    """All servers, each once it answers."""
    bodies = requests(stage.folder)
    for precision in some:
        yield ours(precision, stage, bodies[""])
    given = [f"{HERE_TOO[0]}{OURS}{precision}" for precision in some]
    given += [f"{HERE_TOO[1]}{OURS}fp32"]
    others = [*ENVIRONMENTS, *(f"LitServe{OURS}{precision}" for precision in some)]
    for name in [*HERE_TOO, *given, *(others if everyone else [])]:
        side = peer(name, stage, bodies.get(name.partition(OURS)[0], bodies[""]))
        if side:
            yield side


def bare(stage: Stage, precision: Precision) -> Callable[[int], float]:
    """Median milliseconds of the engine alone on a batch of one decoded image, when called."""
    given = Given(stage.bundle, precision)
    one = given.picture((stage.folder / "photo.jpg").read_bytes())[None]

    def run(batch: int) -> float:
        several, taken = one.repeat(batch, axis=0), []
        for _ in range(RUNS):
            begin = time.perf_counter()
            given.engine.logits(np.array(several))
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken[RUNS // 5 :]) * 1000

    return run


def measured(
    sides: list[Side], alone: dict[str, Callable[[int], float]], asked: tuple[tuple[int, ...], int]
) -> Taken:
    """Asks all sides in turns, at each number of connections; the first turn is to get warm.

    Whoever has no turn is stopped, so that the bare engine and the others have all cores.
    """
    found, (many, turns) = Taken(), asked
    for side in sides:
        side.send(signal.SIGSTOP)
    with Loader() as loader:
        for turn in range(turns + 1):
            for connections in many if turn else (AT,):
                for side in sides[:: -1 if turn % 2 else 1]:
                    with side.turn():
                        load = loader.load(side, connections, SECONDS if turn else WARM)
                    if not turn:
                        continue
                    found.loads.setdefault((side.name, connections), []).append(load)
                    if connections == 1 and side.name in alone:
                        found.alone.setdefault(side.name, []).append(alone[side.name](1))
                    if connections == AT and side.name in alone:
                        most = BATCH / alone[side.name](BATCH) * 1000
                        found.roof.setdefault(side.name, []).append(most)
    return found


def judged(found: Taken, sides: list[Side], stage: Stage) -> dict[str, dict[str, object]]:
    """Each target with what came of it."""
    targets: dict[str, dict[str, object]] = {}

    def least(what: str, value: float, bound: float, **more: float) -> None:
        said = {"is": round(value, 3), "target": f">= {bound:g}", "met": value >= bound}
        targets[what] = {**said, **more}

    def times(one: str, other: str, bound: float) -> None:
        roof = found.roof_over(one, other)
        least(f"{one} / {other}", found.ratio(one, other), bound, roof=roof)

    def most(what: str, value: float, bound: float) -> None:
        said = {"is": round(value, 3), "target": f"<= {bound:g}", "met": value <= bound}
        targets[what] = said

    names = [side.name for side in sides]
    eager = [n for n in names if not n.startswith("ours") and OURS not in n and ORIGIN not in n]
    best = max(eager, key=found.rps)
    old = max((name for name in names if ORIGIN in name), key=found.rps)
    for side in sides:
        _, mine, precision = side.name.partition("ours ")
        if not mine:
            continue
        given = max((n for n in names if n.endswith(f"{OURS}{precision}")), key=found.rps)
        times(side.name, best, BEST[precision])
        times(side.name, given, GIVEN)
        if precision == "bf16":
            times(side.name, old, OLD)
        most(f"{side.name}, 1 connection: p50 / engine alone", found.over_alone(side.name), ONE)
        cuts = found.cuts(side.name, AT)
        most(f"{side.name}, {AT} connections: p99 / p50", cuts["p99"] / cuts["p50"], TAIL)
        most(f"{side.name}: ready, s", side.ready, READY)
        most(f"{side.name}: memory, MB", side.memory(), MEMORY)
    sizes = [(stage.folder / name).stat().st_size for name in ("pixels.json", "photo.jpg")]
    least("bytes of pixels as JSON / of JPEG", sizes[0] / sizes[1], BODY)
    return targets


def main() -> None:
    """Measures all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("turns", type=int, nargs="?", default=TURNS)
    parser.add_argument("--all", action="store_true", help="all peers, and all connections")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # servers end with it
    many = MANY if args.all else FEW
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        data = photographs(folder / "data", 10, 10)
        stage = Stage(folder, model(folder / "bundle", data), {})
        if not args.all:
            stage.left_out.update(dict.fromkeys(ENVIRONMENTS, "--all measures it"))
        some, sides = precisions(stage, data), []
        for side in cast(stage, some, args.all):
            ends.callback(side.stop)
            sides.append(side)
        alone = {f"ours {each}": bare(stage, each) for each in some}
        found = measured(sides, alone, (many, args.turns))
        targets = judged(found, sides, stage)
        memory = {side.name: side.memory() for side in sides}
    report(
        {
            "n": args.turns,
            "left out": stage.left_out,
            "requests a second": {
                side.name: {n: round(found.rps(side.name, n), 1) for n in many} for side in sides
            },
            "ms": {
                side.name: {n: rounded(found.cuts(side.name, n)) for n in many} for side in sides
            },
            "engine alone, ms": rounded(
                {name: statistics.median(each) for name, each in found.alone.items()}
            ),
            "ready, s": rounded({side.name: side.ready for side in sides}),
            "memory, MB": rounded(memory),
            "targets": targets,
            "met": all(each["met"] for each in targets.values()),
        }
    )


if __name__ == "__main__":
    main()
