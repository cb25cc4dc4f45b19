"""Archives brought into a folder that what they hold can neither leave nor fill.

An archive is somebody else's file: what its headers say is compared and counted while writing,
never believed, and of an archive that has to be refused nothing is kept.
"""

from __future__ import annotations

import re
import shutil
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from filelock import FileLock
from pydantic import AfterValidator, Field

from mlops_spec import files
from mlops_spec.errors import StateError, StepError, from_os_error
from mlops_spec.spec import Int, Shape
from trainers.datasets import _entries
from trainers.datasets._fetch import (
    CHUNK,
    disk_errors,
    fetch,
    is_url,
    local,
    room,
    said_now_and_then,
    shown,
    verified,
)
from trainers.datasets._photographs import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainers.datasets._entries import Entry

CACHE = Path(".mlops/data")  # below the project's folder, where steps run
_LONGEST = 1024  # characters of an entry's path
Sha256 = Annotated[
    str,
    Shape(r"^[0-9a-fA-F]{64}$", "64 hexadecimal digits, as sha256sum prints"),
    AfterValidator(str.lower),
]
Limit = Annotated[Int, Field(ge=1)]


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to."""

    max_files: int
    max_bytes: int
    max_file_bytes: int


def contradictions(key: str, source: str, sha256: str | None) -> Iterator[tuple[str, str]]:
    """A download that could be another one for everybody."""
    if is_url(source) and sha256 is None:
        yield key, f"a URL needs {key}, so that everybody trains on the same images"


def is_there(source: str) -> bool:
    """Whether a source is a file of this machine; of the web nobody knows yet."""
    return is_url(source) or Path(source).expanduser().is_file()


def fingerprint(source: str, sha256: str | None) -> dict[str, str]:
    """What the content of an archive follows from.

    Raises:
        StepError: There is no such file.
    """
    if is_url(source):
        return {"source": shown(source), "sha256": sha256 or ""}
    return {"sha256": files.sha256_file(local(source))}


def bring(source: str, sha256: str | None, limits: Limits) -> Path:
    """The folder of an archive's content, fetched and unpacked unless it is there as it should be.

    Raises:
        StepError: It can not be had, is another than `sha256` says, or is not safe to unpack.
    """
    digest = sha256 if is_url(source) else verified(local(source), sha256)
    assert digest is not None, "contradictions come first"
    place = CACHE / digest[:16]
    content = place / "images"
    with disk_errors():
        place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / "lock"):
        if not _is_complete(content):
            extract(fetch(source, digest, place / "download"), content, limits)
    return content


def extract(archive: Path, folder: Path, limits: Limits) -> None:
    """Unpacks a zip or tar file so that `folder` is all of it, or what it was before.

    Raises:
        StepError: It is damaged, an entry is not safe, or there is too much of it.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with disk_errors():
            temporary.mkdir(parents=True)
            _unpack(archive, temporary, limits)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.replace(folder)
            files.write_json(_record(folder), {"content": _content(folder)})
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _record(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _is_complete(folder: Path) -> bool:
    """Whether a folder is what was unpacked, to the last byte."""
    try:
        return bool(files.read_json(_record(folder)).get("content") == _content(folder))
    except (FileNotFoundError, StateError):
        return False


def _content(folder: Path) -> str:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return files.sha256_of({name_of(path, folder): files.sha256_file(path) for path in found})


@dataclass
class _Writer:
    """Puts entries into a folder, and refuses those that it should not hold."""

    archive: Path
    folder: Path
    limits: Limits
    written: int = 0
    entries: int = 0
    names: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def refusal(self, name: str, what: str, cure: str = "") -> StepError:
        """The error that stops everything."""
        message = f"{self.archive.name}: the entry {name[:_LONGEST]!r} {what}"
        return StepError(message, cure or "take it out: pack the images again without it")

    def take(self, entry: Entry) -> None:
        """Makes a folder, or writes a file."""
        self.entries += 1
        if self.entries > self.limits.max_files:
            most = f"is one more than data.max_files={self.limits.max_files}"
            raise self.refusal(entry.name, most, "set data.max_files higher if it should be so")
        fault = _fault(entry.name, is_folder=entry.is_folder) or entry.fault
        if fault:
            raise self.refusal(entry.name, fault)
        parts = [part for part in entry.name.split("/") if part not in ("", ".")]
        self._claim(parts, is_folder=entry.is_folder)
        path = self.folder.joinpath(*parts)
        if entry.is_folder:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            room(self.folder, min(entry.size, self.limits.max_bytes))
            self._write(entry, path)

    def _claim(self, parts: list[str], *, is_folder: bool) -> None:
        """Keeps names apart, on disks too that take upper and lower case for the same."""
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            mine = (name, is_folder or depth < len(parts))
            known = self.names.setdefault(unicodedata.normalize("NFC", name).casefold(), mine)
            if known[0] != name:
                raise self.refusal(name, f"is {known[0]!r} but for upper and lower case")
            if known != mine or not (mine[1] or known is mine):
                raise self.refusal(name, "is there twice")

    def _write(self, entry: Entry, path: Path) -> None:
        size, opened = 0, entry.open()
        if opened is None:
            raise self.refusal(entry.name, "has no content")
        with opened as source, path.open("xb") as file:
            while chunk := source.read(CHUNK):
                size, self.written = size + len(chunk), self.written + len(chunk)
                self._measure(entry.name, size)
                room(self.folder, len(chunk))
                file.write(chunk)

    def _measure(self, name: str, size: int) -> None:
        sizes = {"max_file_bytes": size, "max_bytes": self.written}
        for limit, reached in sizes.items():
            most = getattr(self.limits, limit)
            if reached > most:
                cure = f"set data.{limit} higher if it should be so large"
                raise self.refusal(name, f"unpacks to more than data.{limit}={most}", cure)


def _fault(name: str, *, is_folder: bool) -> str:
    """Why a name can not be one below a folder; empty for a good one."""
    faults = {
        "has a name of more than 1024 characters": len(name) > _LONGEST,
        "has a zero byte in its name": "\0" in name,
        "has a backslash in its name": "\\" in name,
        "is an absolute path": name.startswith("/"),
        "names a drive": re.match("[A-Za-z]:", name) is not None,
        "leaves its folder": ".." in name.split("/"),
        "has no name": not (is_folder or name.strip("./")),
    }
    return next((fault for fault, found in faults.items() if found), "")


def _unpack(archive: Path, folder: Path, limits: Limits) -> None:
    room(folder, archive.stat().st_size)
    writer = _Writer(archive, folder, limits)
    tell = said_now_and_then(f"unpacking {archive.name}", None)
    try:
        for entry in _entries.read(archive, folder):
            writer.take(entry)
            tell(writer.written)
    except _entries.DAMAGE as error:
        if isinstance(error, OSError) and from_os_error(error):
            raise
        message = f"{archive} is no zip or tar file, or damaged ({type(error).__name__}: {error})"
        raise StepError(message, "fetch it again, or pack the images again") from error
