"""Requests of many clients, answered together: batches form while the one before is computed.

An image waits for others only while others are on their way, and never longer than `max_delay`: a
single client loses nothing. How much may wait is bounded, and what has waited too long is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np

from deployers.scoring.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Job:
    """The pictures of one request (N, H, W, C), and where their logits go."""

    pictures: np.ndarray
    logits: asyncio.Future[np.ndarray]


class Batcher:
    """Computes logits of pictures that come one by one."""

    def __init__(self, run: Run, max_batch: int, max_delay: float, max_waiting: int) -> None:
        self._run, self._max_batch, self._max_delay = run, max_batch, max_delay
        self._max_waiting = max_waiting
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._computing = ThreadPoolExecutor(1, "engine")
        self.waiting = 0  # images that were let in and are not answered yet

    @contextlib.contextmanager
    def admitted(self, images: int) -> Iterator[None]:
        """Room for some images until they are answered.

        Raises:
            Refusal: Too many others wait.
        """
        if self.waiting + images > self._max_waiting:
            message = f"{self.waiting} images are waiting already"
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, message, retry_after=1)
        self.waiting += images
        try:
            yield
        finally:
            self.waiting -= images

    async def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of pictures (N, H, W, C) that were admitted."""
        job = _Job(pictures, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.logits

    async def work(self) -> None:
        """Answers until it is cancelled."""
        loop = asyncio.get_running_loop()
        async for jobs in self._gathered():
            together = np.concatenate([job.pictures for job in jobs])
            try:
                found = await loop.run_in_executor(self._computing, self._computed, together)
            except Exception as error:  # noqa: BLE001 - whatever an engine raises is theirs who asked
                _fail(jobs, error)
                continue
            begin = 0
            for job in jobs:
                end = begin + len(job.pictures)
                if not job.logits.done():
                    job.logits.set_result(found[begin:end])
                begin = end

    def _computed(self, pictures: np.ndarray) -> np.ndarray:
        starts = range(0, len(pictures), self._max_batch)
        parts = [self._run(pictures[i : i + self._max_batch]) for i in starts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    async def _gathered(self) -> AsyncIterator[list[_Job]]:
        """Batches of jobs that somebody still waits for."""
        while True:
            jobs: list[_Job] = []
            images = 0
            deadline = 0.0
            while images < self._max_batch:
                job = await self._next(jobs, images, deadline)
                if job is None:
                    break
                if job.logits.done():  # nobody waits for it any more
                    continue
                if not jobs:
                    deadline = asyncio.get_running_loop().time() + self._max_delay
                jobs.append(job)
                images += len(job.pictures)
            yield jobs

    async def _next(self, jobs: list[_Job], images: int, deadline: float) -> _Job | None:
        """The next job; of a batch that has some already, none that would be waited for long."""
        if not jobs:
            return await self._jobs.get()
        with contextlib.suppress(asyncio.QueueEmpty):
            return self._jobs.get_nowait()
        left = deadline - asyncio.get_running_loop().time()
        if self.waiting <= images or left <= 0:
            return None
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._jobs.get(), left)
        return None


def _fail(jobs: list[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.logits.done():
            job.logits.set_exception(error)
