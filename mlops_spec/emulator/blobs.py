"""What the emulator itself does with blobs: fetching inputs of jobs, keeping outputs and logs."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from mlops_spec.emulator import sas
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import ClientResponse, ClientSession

_CHUNK = 1 << 20
_AT_A_TIME = 8  # files that are fetched
_IS_FOLDER = "hdi_isfolder"


class Blobs:
    """Blob storage as the emulator uses it.

    Args:
        session: Whoever asks.
        account: Whose blobs.
        port: Where Azurite listens.
    """

    def __init__(self, session: ClientSession, account: sas.Account, port: int) -> None:
        self.session, self.account, self.port = session, account, port

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, more: Mapping[str, str], data: object = None, **headers: str
    ) -> AsyncIterator[ClientResponse]:
        from yarl import URL

        query = "&".join(filter(None, [urlencode(more), self.account.for_all()]))
        url = URL(f"http://127.0.0.1:{self.port}/{quote(path)}?{query}", encoded=True)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Host": self.account.host, "x-ms-version": sas.VERSION, **named}
        async with self.session.request(method, url, data=data, headers=sent) as answer:
            yield answer

    async def make_container(self, name: str) -> None:
        """Makes a container unless there is one."""
        async with self._asked("PUT", name, {"restype": "container"}) as answer:
            _expect(answer, HTTPStatus.CREATED, HTTPStatus.CONFLICT)

    async def put(self, container: str, name: str, content: bytes | Path) -> None:
        """Makes or replaces a blob from bytes or a file."""
        file = content.open("rb") if isinstance(content, Path) else None
        try:
            path, kind = f"{container}/{name}", {"x_ms_blob_type": "BlockBlob"}
            async with self._asked("PUT", path, {}, file or content, **kind) as answer:
                _expect(answer, HTTPStatus.CREATED)
        finally:
            if file:
                file.close()

    async def delete(self, container: str, name: str) -> None:
        """Removes a blob, if there is one."""
        async with self._asked("DELETE", f"{container}/{name}", {}) as answer:
            _expect(answer, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND)

    async def start_log(self, container: str, name: str) -> None:
        """Makes a blob that grows, unless there is one."""
        path, once = f"{container}/{name}", {"If_None_Match": "*", "x_ms_blob_type": "AppendBlob"}
        async with self._asked("PUT", path, {}, **once) as answer:
            _expect(answer, HTTPStatus.CREATED, HTTPStatus.CONFLICT)

    async def append(self, container: str, name: str, content: bytes) -> None:
        """Adds to a blob that grows."""
        for start in range(0, len(content), _CHUNK):
            part = content[start : start + _CHUNK]
            path, append = f"{container}/{name}", {"comp": "appendblock"}
            async with self._asked("PUT", path, append, part) as answer:
                _expect(answer, HTTPStatus.CREATED)

    async def names(self, container: str, prefix: str) -> list[str]:
        """Names of blobs that begin so."""
        found: list[str] = []
        query = {"restype": "container", "comp": "list", "prefix": prefix, "include": "metadata"}
        while True:
            async with self._asked("GET", container, query) as answer:
                _expect(answer, HTTPStatus.OK, HTTPStatus.NOT_FOUND)
                if answer.status == HTTPStatus.NOT_FOUND:
                    return found
                tree = ET.fromstring(await answer.text())  # noqa: S314 - our own child wrote it
            found += [
                blob.findtext("Name", "")
                for blob in tree.iter("Blob")
                if blob.find(f"Metadata/{_IS_FOLDER}") is None
            ]
            query["marker"] = tree.findtext("NextMarker") or ""
            if not query["marker"]:
                return found

    async def fetch(self, container: str, name: str, path: Path) -> None:
        """Writes a blob into a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        async with self._asked("GET", f"{container}/{name}", {}) as answer:
            _expect(answer, HTTPStatus.OK)
            with path.open("wb") as file:
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    await asyncio.to_thread(file.write, chunk)

    async def fetch_folder(self, container: str, prefix: str, folder: Path) -> int:
        """Writes the blobs under a prefix into a folder; says how many there were."""
        start = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        names = await self.names(container, start)
        slots = asyncio.Semaphore(_AT_A_TIME)

        async def fetch(name: str, path: Path) -> None:
            async with slots:
                await self.fetch(container, name, path)

        paths = {name: inside(folder, name.removeprefix(start)) for name in names}
        async with asyncio.TaskGroup() as group:
            for name, path in paths.items():
                group.create_task(fetch(name, path))
        return len(names)


def inside(folder: Path, name: str) -> Path:
    """A path below a folder from a blob's name, which anybody may have chosen.

    Raises:
        StateError: The name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    strange = not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name
    path = folder.joinpath(*parts)
    if strange or not path.resolve().is_relative_to(folder.resolve()):
        raise StateError(f"a blob is named {name!r}, which leads out of the folder it belongs in")
    return path


def _expect(answer: ClientResponse, *wanted: HTTPStatus) -> None:
    if answer.status not in wanted:
        code = answer.headers.get("x-ms-error-code", "")
        raise StateError(f"blob storage answered {answer.status} {code} to {answer.method}")
