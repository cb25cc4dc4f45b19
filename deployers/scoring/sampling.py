"""A share of the requests is kept, with their answers, to see later what a model is asked.

Writing has a thread of its own. A request that it has no time for, or that the disk does not take,
is not kept: nobody ever waits for a sample.
"""

from __future__ import annotations

import base64
import io
import queue
import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from deployers.scoring import log
from deployers.scoring.samples import Folder, FullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deployers.scoring.served import Served
    from deployers.scoring.settings import Sampling

KEPT, DROPPED, FULL, FAILED, GOLDEN = "kept", "dropped", "full", "failed", "golden"
_LAST_SECONDS = 2.0  # for what waits when the service ends
_PLACES = 7  # digits of a probability


@dataclass(frozen=True)
class _Sample:
    """A request that was answered."""

    moment: str
    request: str
    images: list[bytes] | np.ndarray  # files, or what the network took (N, H, W, C)
    probabilities: np.ndarray  # (N, classes)
    size: int  # bytes of its images


class Sampler:
    """Keeps some requests.

    Args:
        how: How many, where, and up to which bounds.
        model: What answers them.
        count: Is told how each ended: kept, dropped (others wait), full (no room), failed, or
            golden: what a deployment is asked at its start was asked by no client.

    Raises:
        MlopsError: Nothing can be written there.
    """

    def __init__(self, how: Sampling, model: Served, count: Callable[[str], None]) -> None:
        self._how, self._model, self._count = how, model, count
        self._golden = {base64.b64decode(each.image) for each in model.card.golden}
        self._waiting, self._change = 0, threading.Lock()  # bytes
        self._problem = ""  # that was said last
        self._queue: queue.SimpleQueue[_Sample | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="samples", daemon=True)
        if how.share:
            self._folder = Folder(how)
            self._thread.start()

    def offer(self, request: str, images: list[bytes] | np.ndarray, answer: np.ndarray) -> None:
        """Has a request written, if it is drawn and others leave it room; waits for nothing.

        Args:
            request: Its name.
            images: Files, or what the network took (N, H, W, C).
            answer: Probabilities (N, classes).
        """
        if random.random() >= self._how.share:  # noqa: S311 - no secret
            return
        size = images.nbytes if isinstance(images, np.ndarray) else sum(map(len, images))
        with self._change:
            fits = self._waiting + size <= self._how.max_waiting
            self._waiting += size if fits else 0
        if fits:
            self._queue.put(_Sample(log.now(), request, images, answer, size))
        else:
            self._count(DROPPED)

    def close(self) -> None:
        """Writes what waits, unless the disk takes long."""
        if self._how.share:
            self._queue.put(None)
            self._thread.join(_LAST_SECONDS)

    def _work(self) -> None:
        while (sample := self._queue.get()) is not None:
            self._count(self._ended(sample))
            with self._change:
                self._waiting -= sample.size

    def _ended(self, sample: _Sample) -> str:
        """Writes one; how that ended."""
        if isinstance(sample.images, list) and self._golden.issuperset(sample.images):
            return GOLDEN
        try:
            self._folder.keep(_files(sample.images), self._answers(sample))
        except FullError as error:
            return self._said(FULL, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a disk does, the next one is tried
            return self._said(FAILED, f"{type(error).__name__}: {error}")
        return self._said(KEPT, "")

    def _said(self, outcome: str, problem: str) -> str:
        """Has a line in the log whenever there is news, not for each sample."""
        if problem != self._problem:
            self._problem = problem
            level = "warning" if problem else "info"
            why = {"why": problem} if problem else {}
            log.line(level=level, samples=outcome, **why)
        return outcome

    def _answers(self, sample: _Sample) -> list[dict[str, Any]]:
        """What is noted of each image."""
        model, labels = self._model.named(), self._model.card.labels
        kind = "pixels" if isinstance(sample.images, np.ndarray) else "file"
        shares = np.round(sample.probabilities.astype(np.float64), _PLACES).tolist()
        return [
            {
                "time": sample.moment,
                "request": sample.request,
                "number": number,
                "model": model["name"],
                "version": model["version"],
                "digest": model["digest"],
                "kind": kind,
                "probabilities": dict(zip(labels, row, strict=True)),
            }
            for number, row in enumerate(shares, 1)
        ]


def _files(images: list[bytes] | np.ndarray) -> list[bytes]:
    """Images as files: as they were sent, or pixels as PNG."""
    return [_png(each) for each in images] if isinstance(images, np.ndarray) else images


def _png(picture: np.ndarray) -> bytes:
    """A picture (H, W, C) without loss, in little time."""
    buffer = io.BytesIO()
    Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(
        buffer, "PNG", compress_level=1
    )
    return buffer.getvalue()
