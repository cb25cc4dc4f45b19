"""What keeping every request costs: one service that keeps nothing, one that keeps all.

python bench/sampling.py    # ResNet-18 at 224 from JPEG files, each another one
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import yaml
from _common import ROOT, repeats, report, rounded
from _serve_sides import Asked, Side, free_port, started
from evaluate import model, photographs

if TYPE_CHECKING:
    from collections.abc import Iterator

PAIRS, TURNS, MANY, SECONDS = repeats(300), repeats(7), 16, 1.5
SIDES = {"nothing is kept": 0.0, "all is kept": 1.0}
RATIO = 1.1


def service(share: float, folder: Path, bundle_dir: Path, photo: Path) -> Side:
    """A service that keeps a share of its requests."""
    local = yaml.safe_load((ROOT / "conf" / "target" / "local.yaml").read_text("utf-8"))
    kept = {**local["serving"]["sampling"], "share": share, "folder": str(folder / "samples")}
    settings, port = folder / f"{share}.json", free_port()
    settings.write_text(json.dumps({**local["serving"], "sampling": kept}), "utf-8")
    words = [
        sys.executable,
        "-m",
        "deployers.scoring",
        "--bundle",
        str(bundle_dir),
        "--settings",
        str(settings),
    ]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    return started(f"{share}", words, port, Asked(photo, "image/jpeg"))


def different(photo: bytes) -> Iterator[bytes]:
    """The photo again and again, each another file: what follows its end is no part of it."""
    return (photo + number.to_bytes(8, "little") for number in itertools.count())


async def one(session: aiohttp.ClientSession, side: Side, body: bytes) -> float:
    """Seconds of a request."""
    begin = time.perf_counter()
    async with session.post(side.url, data=body) as answer:
        answer.raise_for_status()
        await answer.read()
    return time.perf_counter() - begin


async def many(session: aiohttp.ClientSession, side: Side, bodies: Iterator[bytes]) -> float:
    """Requests a second at many connections."""
    begin, count = time.perf_counter(), 0

    async def client() -> None:
        nonlocal count
        while time.perf_counter() - begin < SECONDS:
            await one(session, side, next(bodies))
            count += 1

    await asyncio.gather(*(client() for _ in range(MANY)))
    return count / (time.perf_counter() - begin)


async def measured(sides: list[Side], bodies: Iterator[bytes]) -> tuple[list[float], list[float]]:
    """Median milliseconds, and median requests a second, of each side in turns."""
    alone: list[list[float]] = [[] for _ in sides]
    crowd: list[list[float]] = [[] for _ in sides]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MANY)) as session:
        for number in range(PAIRS + 20):
            for each in (0, 1) if number % 2 else (1, 0):
                taken = await one(session, sides[each], next(bodies))
                if number >= PAIRS / 10:  # before that it gets warm
                    alone[each].append(taken * 1000)
        for turn in range(TURNS + 1):
            for each in (0, 1) if turn % 2 else (1, 0):
                found = await many(session, sides[each], bodies)
                if turn:
                    crowd[each].append(found)
    return [*map(statistics.median, alone)], [*map(statistics.median, crowd)]


def main() -> None:
    """Measures both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = photographs(folder / "data", 10, 10)
        photo = data.root / data.split("test")[0].path
        bundle_dir = model(folder / "bundle", data)
        sides = [service(share, folder, bundle_dir, photo) for share in SIDES.values()]
        try:
            ms, rps = asyncio.run(measured(sides, different(photo.read_bytes())))
        finally:
            for side in sides:
                side.stop()
        kept = len([*(folder / "samples" / "images").iterdir()])
        size = photo.stat().st_size
    ratios = {"ms at one connection": ms[1] / ms[0], f"seconds at {MANY}": rps[0] / rps[1]}
    report(
        {
            "n": PAIRS,
            "ms": rounded(dict(zip(SIDES, ms, strict=True))),
            f"requests a second at {MANY}": rounded(dict(zip(SIDES, rps, strict=True))),
            "kept": kept,
            "bytes": size,
            "ratios": rounded(ratios),
            "target": f"both <= {RATIO}",
            "met": max(ratios.values()) <= RATIO,
        }
    )


if __name__ == "__main__":
    main()
