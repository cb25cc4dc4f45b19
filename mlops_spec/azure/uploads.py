"""A folder of many files in the blob storage of a workspace, sent by several threads at once.

The SDK's own upload keeps a few requests under way, begins anew after an interruption, and waits
for the last file when somebody presses Ctrl-C. This one goes on where another one ended.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_spec.azure import content

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_THREADS = 32  # each waits for the storage most of the time
_BLOCK = 4 * 2**20  # bytes of a file in memory; larger ones are sent in blocks
_MEGABYTE = 10**6
_SAY_SECONDS = 5.0


def folder(ml: Any, source: Path, address: str, say: Callable[[str], None]) -> None:
    """Makes a folder of a datastore hold the same files as one here.

    Args:
        ml: Azure's SDK.
        source: The folder here.
        address: The folder there, as Azure ML writes it. Files that lie there already are not sent
            again, and those that are not here are removed.
        say: Hears how far it is.
    """
    container, prefix = content.opened(ml, address, **_options())
    with container:
        there = {
            blob.name: bytes(blob.content_settings.content_md5 or b"")
            for blob in container.list_blobs(prefix)
        }
        here = sorted(path for path in source.rglob("*") if path.is_file())
        names = [f"{prefix}{path.relative_to(source).as_posix()}" for path in here]
        for name in there.keys() - set(names):
            container.delete_blob(name)
        total = sum(path.stat().st_size for path in here)
        sending = _Sending(container, there, _Progress(len(here), total, say))
        sending.all(zip(here, names, strict=True))


def _options() -> dict[str, Any]:
    """One connection a thread, and little of a file in memory."""
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=_THREADS))
    transport = RequestsTransport(session=session)
    return {"transport": transport, "max_single_put_size": _BLOCK, "max_block_size": _BLOCK}


@dataclass
class _Progress:
    """How far an upload is; told now and then, and at its end."""

    files: int
    total: int
    say: Callable[[str], None]
    done: int = 0
    sent: int = 0
    next: float = field(default_factory=lambda: time.monotonic() + _SAY_SECONDS)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        """Another file is there."""
        with self.lock:
            self.done, self.sent = self.done + 1, self.sent + size
            if self.done < self.files and time.monotonic() < self.next:
                return
            self.next = time.monotonic() + _SAY_SECONDS
            size_text = f"{self.sent / _MEGABYTE:,.1f} of {self.total / _MEGABYTE:,.1f} MB"
            self.say(f"uploaded {self.done:,} of {self.files:,} files, {size_text}")


@dataclass
class _Sending:
    """Threads that each take the next file, until there is none or one of them failed."""

    container: Any
    there: dict[str, bytes]  # name of a blob -> MD5 of what is in it
    progress: _Progress
    stop: threading.Event = field(default_factory=threading.Event)

    def all(self, pairs: Any) -> None:
        """Sends files under names, or raises what stopped the first that failed."""
        waiting: queue.SimpleQueue[tuple[Path, str]] = queue.SimpleQueue()
        for pair in pairs:
            waiting.put(pair)
        with ThreadPoolExecutor(_THREADS) as threads:
            try:
                for done in [threads.submit(self._work, waiting) for _ in range(_THREADS)]:
                    done.result()
            finally:  # also of Ctrl-C: what is under way is finished, nothing else is begun
                self.stop.set()

    def _work(self, waiting: queue.SimpleQueue[tuple[Path, str]]) -> None:
        try:
            while not self.stop.is_set():
                self._send(*waiting.get_nowait())
        except queue.Empty:
            return
        except BaseException:
            self.stop.set()
            raise

    def _send(self, path: Path, name: str) -> None:
        from azure.storage.blob import ContentSettings

        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
            if self.there.get(name) != digest:
                file.seek(0)
                settings = ContentSettings(content_md5=bytearray(digest))
                self.container.upload_blob(name, file, overwrite=True, content_settings=settings)
        self.progress.add(path.stat().st_size)
