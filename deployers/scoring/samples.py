"""The folder of samples: images under the digest of their bytes, answers as lines of JSON.

    images/SHA256         an image as it was sent
    answers/DATE.jsonl    a line an image: when, in which request, what which model said of it
    usage                 bytes and files in both; who writes holds a lock on it

Several processes may share a folder and its bounds. All of it is its owner's alone: it holds
photos of people.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import MlopsError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from io import FileIO

    from deployers.scoring.settings import Sampling

SCHEMA_VERSION = 1  # of a line
IMAGES, ANSWERS, USAGE = "images", "answers", "usage"
_BLOCK = 4096  # bytes; a file takes up to one more than it has
_COUNTED_SECONDS = 60.0  # a full folder is counted again so often: somebody may have made room
_MISTAKES = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_README = """\
Images that clients of a scoring service sent, and what it answered: maybe photos of people.
Whoever owns these files can look at them. Everything here may be deleted at any time, also while
the service runs; docs/serving.md, "Samples", says what is what.
"""


class FullError(Exception):
    """There is no room for a sample."""


@dataclass(frozen=True)
class _Usage:
    """What the folder holds."""

    size: int  # bytes
    files: int

    def plus(self, size: int, files: int) -> _Usage:
        """It after more is written."""
        return _Usage(self.size + size, self.files + files)


class Folder:
    """A folder of samples.

    Args:
        how: Where it is, and how much may be in it.

    Raises:
        MlopsError: Nothing can be written there, as far as that is somebody's mistake. A disk that
            is full or broken is none: it may be well again.
    """

    def __init__(self, how: Sampling) -> None:
        self._how, self._path = how, Path(how.folder)
        self._counted = 0.0  # when it was, by a clock that only goes on
        try:
            self._prepare()
        except OSError as error:
            if error.errno not in _MISTAKES:
                return
            message = f"samples can not be written to {how.folder}: {error.strerror}"
            cure = "give the service a folder of its own in sampling.folder, or set share: 0"
            raise MlopsError(message, cure) from error

    def keep(self, images: Sequence[bytes], answers: Sequence[dict[str, Any]]) -> None:
        """Writes a request: its images, then a line for each, which names its image.

        Raises:
            FullError: There is no room for it.
            OSError: The disk does not take it.
        """
        digests = [hashlib.sha256(image).hexdigest() for image in images]
        named = dict(zip(digests, images, strict=True))
        text = "".join(map(_line, answers, digests)).encode()
        today = self._path / ANSWERS / time.strftime("%Y-%m-%d.jsonl", time.gmtime())
        with self._turn() as usage:
            new = {digest: image for digest, image in named.items() if self._is_new(digest)}
            first = not today.exists()
            size = sum(map(_taken, map(len, new.values()))) + len(text) + first * _BLOCK
            self._reserve(usage, size, len(new) + first)
            for digest, image in new.items():
                self._write(digest, image)
            _append(today, text)

    def _prepare(self) -> None:
        """Makes what is missing, and counts what is there."""
        self._make()
        readme = self._path / "README.txt"
        if not readme.exists():
            with open(readme, "w", encoding="utf-8", opener=_private) as file:
                file.write(_README)
        with self._turn() as usage:
            _note(usage, self._count())

    def _make(self) -> None:
        """The folders, for nobody but who runs this."""
        self._path.mkdir(0o700, parents=True, exist_ok=True)
        for name in (IMAGES, ANSWERS):
            (self._path / name).mkdir(0o700, exist_ok=True)
            (self._path / name).chmod(0o700)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[FileIO]:
        """Alone with the folder, which anybody may have deleted meanwhile."""
        self._make()
        with open(self._path / USAGE, "ab+", buffering=0, opener=_private) as usage:
            if sys.platform != "win32":
                fcntl.flock(usage, fcntl.LOCK_EX)  # until the file is closed, or we are killed
            yield usage

    def _is_new(self, digest: str) -> bool:
        """Whether an image is not there yet; one that is was sent today as well."""
        try:
            os.utime(self._path / IMAGES / digest)
        except FileNotFoundError:
            return True
        return False

    def _reserve(self, usage: FileIO, size: int, files: int) -> None:
        """Notes what will be there, before it is.

        Raises:
            FullError: It would be too much.
        """
        known = _noted(usage) or self._count()
        if self._over(known.plus(size, files)):
            if time.monotonic() < self._counted + _COUNTED_SECONDS:
                raise FullError(self._bounds())
            known = self._count()
        after = known.plus(size, files)
        if self._over(after):
            _note(usage, known)
            raise FullError(self._bounds())
        if shutil.disk_usage(self._path).free < self._how.min_free + size:
            raise FullError(f"less than {self._how.min_free} bytes of the disk are free")
        _note(usage, after)

    def _over(self, usage: _Usage) -> bool:
        return usage.size > self._how.max_bytes or usage.files > self._how.max_files

    def _bounds(self) -> str:
        how = self._how
        return f"{how.folder} has {how.max_bytes} bytes or {how.max_files} files, as it may"

    def _count(self) -> _Usage:
        """What is there now."""
        self._counted = time.monotonic()
        sizes = [
            entry.stat().st_size
            for name in (IMAGES, ANSWERS)
            for entry in os.scandir(self._path / name)
        ]
        return _Usage(sum(map(_taken, sizes)), len(sizes))

    def _write(self, digest: str, image: bytes) -> None:
        """An image, all of it or nothing: only one process at a time has a new one."""
        new = self._path / IMAGES / ".new"
        try:
            with open(new, "wb", opener=_private) as file:
                file.write(image)
            new.replace(self._path / IMAGES / digest)
        except OSError:
            new.unlink(missing_ok=True)
            raise


def _private(path: str, flags: int) -> int:
    """Opens a file that nobody else may read."""
    return os.open(path, flags, 0o600)


def _taken(size: int) -> int:
    """Bytes that a file takes on disk, at most."""
    return size + _BLOCK


def _line(answer: dict[str, Any], digest: str) -> str:
    return json.dumps({"schema_version": SCHEMA_VERSION, **answer, "image": digest}) + "\n"


def _noted(usage: FileIO) -> _Usage | None:
    """What was noted last; nothing where the file is new or damaged."""
    usage.seek(0)
    try:
        size, files = map(int, usage.read().split())
    except ValueError:
        return None
    return _Usage(size, files)


def _note(usage: FileIO, value: _Usage) -> None:
    usage.truncate(0)
    usage.write(b"%d %d\n" % (value.size, value.files))


def _append(path: Path, text: bytes) -> None:
    """Adds lines, all of them or none.

    Raises:
        OSError: The disk does not take them.
    """
    with open(path, "ab+", buffering=0, opener=_private) as file:
        end = _end(file)
        if file.write(text) != len(text):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _end(file: FileIO) -> int:
    """Where the last whole line ends; a part of one, left by a power cut, is taken away."""
    size = end = file.seek(0, os.SEEK_END)
    while end:
        file.seek(end - 1)
        if file.read(1) == b"\n":
            break
        end -= 1
    if end < size:
        file.truncate(end)
    return end
