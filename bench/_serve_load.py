"""Asks one address for a while over some connections, from a process of its own.

python bench/_serve_load.py URL FILE CONTENT_TYPE CONNECTIONS SECONDS
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

import aiohttp


async def main(url: str, body: bytes, kind: str, connections: int, seconds: float) -> None:
    """Prints requests a second, and milliseconds of the answers."""
    headers = {"Content-Type": kind}
    taken: list[float] = []
    failed = 0
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:
        begin = time.perf_counter()

        async def client() -> None:
            nonlocal failed
            while time.perf_counter() - begin < seconds:
                start = time.perf_counter()
                async with session.post(url, data=body, headers=headers) as answer:
                    await answer.read()
                    failed += answer.status != 200  # noqa: PLR2004 - HTTP's OK
                taken.append(time.perf_counter() - start)

        await asyncio.gather(*(client() for _ in range(connections)))
        whole = time.perf_counter() - begin
    cuts = statistics.quantiles(taken, n=100)
    found = {"rps": len(taken) / whole, "p50": cuts[49] * 1000, "p99": cuts[98] * 1000}
    print(json.dumps({**found, "failed": failed}))


if __name__ == "__main__":
    url, file, kind, connections, seconds = sys.argv[1:]
    asyncio.run(main(url, Path(file).read_bytes(), kind, int(connections), float(seconds)))
