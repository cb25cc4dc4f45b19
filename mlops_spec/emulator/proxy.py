"""The way in: a proxy that takes CONNECT for emulated names and leads to the one TLS server here.

Nothing goes further than this machine: a name that is not emulated is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOPBACK = "127.0.0.1"
_CONNECT = re.compile(rb"CONNECT ([A-Za-z0-9.-]+):443 HTTP/1\.[01]\r\n")
_REFUSED = "HTTP/1.1 {} Forbidden\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{}\n"
_HEAD_SECONDS = 30
_CHUNK = 65536


async def start(is_emulated: Callable[[str], bool], server: int, port: int) -> asyncio.Server:
    """Listens on loopback.

    Args:
        is_emulated: Whether a host name is one that is answered here.
        server: The port of the TLS server.
        port: Where to listen; 0 for any.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broken = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError)
        # Cancelled when the emulator ends: asyncio would report that as an error of its own
        with contextlib.suppress(*broken, asyncio.CancelledError):
            await _serve(reader, writer)
        writer.close()

    async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        match = _CONNECT.match(head)
        host = match[1].decode().lower() if match else ""
        if not is_emulated(host):
            name = host or "what is not CONNECT to port 443"
            writer.write(_REFUSED.format(403, f"mlops_spec emulator: {name} is not here").encode())
            await writer.drain()
            return
        there = await asyncio.open_connection(_LOOPBACK, server)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _pipe((reader, writer), there)

    return await asyncio.start_server(serve, _LOOPBACK, port)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pipe(client: Ends, server: Ends) -> None:
    """Copies both ways until either side has nothing more to say."""
    ways = [asyncio.create_task(_copy(client[0], server[1]))]
    ways.append(asyncio.create_task(_copy(server[0], client[1])))
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        server[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
