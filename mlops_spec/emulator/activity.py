"""Whether anybody still needs the emulator: work that goes on, and when the last of it ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Activity:
    """Requests that are answered and jobs that wait or run."""

    def __init__(self) -> None:
        self._going_on = 0
        self._last = time.monotonic()

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Something goes on as long as the block does."""
        self._going_on += 1
        try:
            yield
        finally:
            self._going_on -= 1
            self._last = time.monotonic()

    async def rest(self, seconds: float) -> None:
        """Waits until from now on nothing has gone on for so long; for ever with 0."""
        if not seconds:
            await asyncio.Event().wait()
        self._last = time.monotonic()
        while (left := self._left(seconds)) > 0:  # noqa: ASYNC110 - only time can tell
            await asyncio.sleep(left)

    def _left(self, seconds: float) -> float:
        return seconds if self._going_on else self._last + seconds - time.monotonic()
