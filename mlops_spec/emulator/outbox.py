"""What a job writes, on its way into blob storage: while it runs, and once more at its end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from mlops_spec.emulator.blobs import Blobs
    from mlops_spec.emulator.locations import Place

_FIRST, _MOST = 0.5, 5.0  # seconds between two looks at what a job has written


class Outbox:
    """A folder whose files are kept as blobs.

    Args:
        blobs: Where they are kept.
        folder: What is kept.
        place: Under which names.
        is_mounted: Whether the folder is that place: what lies there already is in it, and a file
            that is gone is removed there too.
    """

    def __init__(self, blobs: Blobs, folder: Path, place: Place, *, is_mounted: bool) -> None:
        self._blobs, self._folder, self._place, self.is_mounted = blobs, folder, place, is_mounted
        self._kept: dict[str, tuple[int, int]] = {}

    async def fetch(self) -> None:
        """Gets what lies there already, as in a folder that is mounted."""
        await self._blobs.fetch_folder(self._place.container, self._place.name, self._folder)
        self._kept = dict(self._files())

    async def sync(self) -> None:
        """Keeps what has changed since."""
        found = dict(self._files())
        for name, state in found.items():
            if self._kept.get(name) != state:
                with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
                    await self._blobs.put(*self._blob(name), self._folder / name)
                    self._kept[name] = state
        for name in self._kept.keys() - found.keys() if self.is_mounted else ():
            await self._blobs.delete(*self._blob(name))
            del self._kept[name]

    def _blob(self, name: str) -> tuple[str, str]:
        prefix = self._place.name.rstrip("/")
        return self._place.container, f"{prefix}/{name}" if prefix else name

    def _files(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """Names with when they changed and how long they are; links are not followed."""
        for path in sorted(self._folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink():
                    known = path.stat()
                    name = path.relative_to(self._folder).as_posix()
                    yield name, (known.st_mtime_ns, known.st_size)


class LogTail:
    """A file that grows, kept as a blob that grows.

    Args:
        blobs: Where it is kept.
        path: The file.
        place: The blob.
    """

    def __init__(self, blobs: Blobs, path: Path, place: Place) -> None:
        self._blobs, self._path, self._place = blobs, path, place
        self._kept = 0

    async def sync(self) -> None:
        """Keeps what was added since."""
        if not self._kept:
            await self._blobs.start_log(self._place.container, self._place.name)
        with self._path.open("rb") as file:
            file.seek(self._kept)
            added = file.read()
        await self._blobs.append(self._place.container, self._place.name, added)
        self._kept += len(added)


@contextlib.asynccontextmanager
async def watched(kept: Sequence[Outbox | LogTail]) -> AsyncIterator[None]:
    """Keeps what is written meanwhile, less often the longer it takes."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def watch() -> None:
        pause = _FIRST
        while not (await asyncio.wait([over], timeout=pause))[0]:
            for part in kept:
                await part.sync()
            pause = min(pause * 1.05, _MOST)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        over.set_result(None)  # not cancelled: what is being added to a log would be added again
        await asyncio.gather(watching, return_exceptions=True)
