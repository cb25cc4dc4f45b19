"""Asks servers over some connections for a while, each time a line of its input says so.

python bench/_serve_load.py < LINES

A line is JSON: host, port, path, file, kind (the content type), connections, seconds. It is
answered by one: how many were answered, in how many seconds, the milliseconds of each, how many
failed. A client of a framework would take as much of the processor as a fast server does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_OK = b"200"


@dataclass
class Load:
    """One server that is asked the same again and again."""

    host: str
    port: int
    request: bytes
    end: float
    taken: list[float] = field(default_factory=list)
    failed: int = 0

    async def client(self) -> None:
        """Asks over one connection; one that the server closed is opened again."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        while (begin := time.perf_counter()) < self.end:
            try:
                writer.write(self.request)
                status, stays = await answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                status, stays = b"", False
            self.taken.append((time.perf_counter() - begin) * 1000)
            self.failed += status != _OK
            if not stays:
                writer.close()
                reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """The status of an answer that was read to its end, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status, lines = head.split(b" ", 2)[1], head.split(b"\r\n")[1:]
    headers = dict(line.split(b": ", 1) for line in lines if b": " in line)
    if b"content-length" in headers:
        await reader.readexactly(int(headers[b"content-length"]))
    elif headers.get(b"transfer-encoding") == b"chunked":
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\r\n")
    return status, headers.get(b"connection") != b"close"


async def asked(  # noqa: PLR0913 - the keys of a line
    *, host: str, port: int, path: str, file: str, kind: str, connections: int, seconds: float
) -> dict[str, Any]:
    """Asks one server."""
    body = await asyncio.to_thread(Path(file).read_bytes)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {kind}\r\n"
    head += f"Content-Length: {len(body)}\r\nAccept: */*\r\n\r\n"
    begin = time.perf_counter()
    load = Load(host, port, head.encode() + body, begin + seconds)
    await asyncio.gather(*(load.client() for _ in range(connections)))
    whole = time.perf_counter() - begin
    return {"answered": len(load.taken), "seconds": whole, "ms": load.taken, "failed": load.failed}


if __name__ == "__main__":
    for words in sys.stdin:
        print(json.dumps(asyncio.run(asked(**json.loads(words)))), flush=True)
