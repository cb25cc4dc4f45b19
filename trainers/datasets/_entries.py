"""What zip and tar files say of their entries, one after another; none of it is believed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_HEADERS = 32 << 10  # bytes of a tar file between two contents
_PADDING = 1 << 20  # bytes behind the end of a tar file; usually at most 10,240
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OPENERS: dict[bytes, Callable[[Path], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"": lambda path: path.open("rb"),
}
# What the standard library says of damaged archives; an OSError may be the disk's, too
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError,
    EOFError, ValueError, LookupError, RuntimeError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """An entry; `fault` says what it is when it is neither a file nor a folder."""

    name: str
    size: int
    is_folder: bool
    fault: str
    open: Callable[[], IO[bytes] | None]


def read(archive: Path, folder: Path) -> Iterator[Entry]:
    """The entries of a zip or tar file, told apart by content; each is to be read before the next.

    Args:
        archive: The file.
        folder: Where the entries are going to.

    Raises:
        DAMAGE: One of these, where the file is none or is damaged.
    """
    with archive.open("rb") as file:
        head = file.read(8)
    return _zip(archive) if head.startswith(_ZIP) else _tar(archive, head, folder)


def _zip(archive: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            name = info.orig_filename  # `filename` ends at a zero byte
            content = partial(opened.open, info)
            yield Entry(name, info.file_size, info.is_dir(), _zip_fault(info), content)


def _zip_fault(info: zipfile.ZipInfo) -> str:
    if info.flag_bits & 0x41:  # encrypted, strongly encrypted
        return "is encrypted"
    kind = stat.S_IFMT(info.external_attr >> 16)
    ordinary = (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG)
    return "" if kind in ordinary else "is a link or a device"


@dataclass
class _Forward:
    """A stream that `tarfile` reads once, from the beginning to the end.

    It reads headers of any length into memory, and goes back as often as an archive tells it to.
    """

    stream: IO[bytes]
    allowed: int = _HEADERS
    at: int = 0
    last: bytes = b""

    def tell(self) -> int:
        return self.at

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.allowed:
            raise tarfile.ReadError(f"{size} bytes of headers")
        self.last = self.stream.read(size)
        self.allowed -= size
        self.at += len(self.last)
        return self.last

    def seek(self, position: int) -> None:
        self.read(position - self.at)


def _tar(archive: Path, head: bytes, folder: Path) -> Iterator[Entry]:
    opener = next(opener for magic, opener in _OPENERS.items() if head.startswith(magic))
    with cast("IO[bytes]", opener(archive)) as stream:
        forward = _Forward(stream)
        with tarfile.TarFile(fileobj=cast("IO[bytes]", forward)) as opened:
            for member in opened:
                forward.allowed = _HEADERS + max(member.size, 0)
                content = partial(opened.extractfile, member)
                fault = _tar_fault(member, folder)
                yield Entry(member.name, member.size, member.isdir(), fault, content)
                forward.allowed = _HEADERS
        if forward.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it ends too early")
        for _ in range(_PADDING // tarfile.BLOCKSIZE):  # a compressed stream's checksum comes last
            rest = stream.read(tarfile.BLOCKSIZE)
            if rest.strip(b"\0"):
                raise tarfile.ReadError("something follows its end")


def _tar_fault(member: tarfile.TarInfo, folder: Path) -> str:
    if not (member.isdir() or member.isreg()):
        return "is a link, a device or a pipe"
    if member.issparse():
        return "is a sparse file"
    if member.size < 0:
        return "has a size below zero"
    # The library's own opinion too; Python 3.11.3 had none yet.
    judge = getattr(tarfile, "data_filter", None)
    try:
        return "" if judge is None or judge(member, str(folder)) else "is not safe"
    except tarfile.FilterError as error:
        return f"is not safe ({error})"
