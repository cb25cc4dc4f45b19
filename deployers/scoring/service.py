"""One model that answers: images are decoded beside each other and computed together."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np

from deployers.scoring import cores, pictures, wire
from deployers.scoring.batching import Batcher
from deployers.scoring.refusal import Refusal

if TYPE_CHECKING:
    from deployers.scoring.sampling import Sampler
    from deployers.scoring.served import Served
    from deployers.scoring.settings import Serving
    from deployers.scoring.telemetry import Telemetry


class Service:
    """One model in a process of its own."""

    def __init__(
        self, served: Served, how: Serving, telemetry: Telemetry, sampler: Sampler
    ) -> None:
        self.served, self.how, self.ready = served, how, False
        self.sampler, self._telemetry = sampler, telemetry
        self._decoding = ThreadPoolExecutor(cores.threads() or os.cpu_count() or 1, "decode")
        self._batcher = Batcher(self._computed, how.max_batch, how.max_delay, how.max_waiting)
        telemetry.waiting.set_function(lambda: self._batcher.waiting)
        pictures.limit(how.max_pixels)

    async def work(self) -> None:
        """Gets ready, then answers until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._batcher.work())
            await self._warm()
            self.ready = True

    async def _warm(self) -> None:
        """The first answers of an engine take longer: nobody shall wait for them."""
        for images in (self.how.max_batch, 1):  # the largest first takes less memory
            await self._batcher.logits(self.served.blank(images))

    async def _images_of(self, content_type: str, body: bytes) -> list[bytes] | np.ndarray:
        """The images of a request; a text is read beside what others wait for."""
        how = self.served.card.preprocessing
        asked = (content_type, body, self.how.max_images, how)
        if not wire.takes_reading(content_type):
            return wire.images_of(*asked)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoding, wire.images_of, *asked)

    async def answer(
        self, content_type: str, body: bytes, top: int, request: str
    ) -> dict[str, Any]:
        """What a request, which has a name, is answered.

        Raises:
            Refusal: It is not what the contract says, has what is no image, too many wait, or it
                takes too long.
        """
        if not self.ready:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "not ready yet", retry_after=1)
        try:
            async with asyncio.timeout(self.how.answer_seconds):
                images = await self._images_of(content_type, body)
                with self._batcher.admitted(len(images)):
                    logits = await self._batcher.logits(await self._decoded(images))
        except TimeoutError as error:
            message = f"no answer in {self.how.answer_seconds:g} s"
            raise Refusal(HTTPStatus.GATEWAY_TIMEOUT, message) from error
        probabilities = self.served.probabilities(logits)
        self.sampler.offer(request, images, probabilities)
        return self.served.document(probabilities, top)

    async def _decoded(self, images: list[bytes] | np.ndarray) -> np.ndarray:
        """What the network takes (N, H, W, C)."""
        if isinstance(images, np.ndarray):
            return images
        loop, how = asyncio.get_running_loop(), self.served.card.preprocessing
        coming = [
            loop.run_in_executor(self._decoding, pictures.decoded, *each, how)
            for each in pictures.numbered(images)
        ]
        try:
            return np.stack(await asyncio.gather(*coming))
        finally:
            for one in coming:
                one.cancel()

    def _computed(self, batch: np.ndarray) -> np.ndarray:
        self._telemetry.batch.observe(len(batch))
        return self.served.engine.logits(batch)
