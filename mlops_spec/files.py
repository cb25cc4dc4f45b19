"""Files that are never half-written, and JSON documents that name their version.

The engine and the steps' own processes both keep state on disk; whatever one of them leaves behind
after a crash the other must be able to read, so every write goes through here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_VERSION = 1
_ORDINARY = 0o644  # who may read what is no secret
_UNKNOWN_TO_MOUNTS = (errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EPERM)


def write_bytes(path: Path, content: bytes, mode: int = _ORDINARY) -> None:
    """Replaces `path` in one move: readers see the old content or the new, never a part of it.

    Args:
        path: What is replaced.
        content: What it holds then.
        mode: Who may read it; 0o600 for what is secret.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            with _where_possible():
                os.fsync(file.fileno())
        with _where_possible(public=mode == _ORDINARY):
            temporary.chmod(mode)  # mkstemp makes files private; most of these are ordinary ones
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _where_possible(*, public: bool = True) -> Iterator[None]:
    """Does without what a mounted store of objects, such as a job's output, does not know.

    A file that has to be private is not written where that is not possible.
    """
    try:
        yield
    except OSError as error:
        if not public or error.errno not in _UNKNOWN_TO_MOUNTS:
            raise


def write_text(path: Path, content: str, mode: int = _ORDINARY) -> None:
    """Replaces a text file (UTF-8) in one move."""
    write_bytes(path, content.encode(), mode)


def json_text(document: dict[str, Any]) -> str:
    """A JSON document for people too.

    Raises:
        StateError: A number in it is not finite; JSON has no word for that.
    """
    try:
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        message = f"what is to be recorded can not be: {error}"
        raise StateError(
            message, "NaN and infinity are no numbers that anything can follow from"
        ) from error


def versioned(document: dict[str, Any]) -> dict[str, Any]:
    """A JSON document with its schema version, as `read_json` takes it."""
    return {"schema_version": SCHEMA_VERSION, **document}


def write_json(path: Path, document: dict[str, Any], mode: int = _ORDINARY) -> None:
    """Replaces a JSON document, adding its schema version."""
    write_text(path, json_text(versioned(document)), mode)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON document that `write_json` wrote.

    Raises:
        StateError: It is damaged, or a newer version of this program wrote it.
        FileNotFoundError: There is none.
    """
    try:
        document = json.loads(path.read_bytes())
        version = int(document["schema_version"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise StateError(
            f"{path} is damaged ({type(error).__name__}: {error})",
            "restore it, or delete it and run the same command again",
        ) from error
    if version > SCHEMA_VERSION:
        raise NewerStateError(path, version)
    return dict(document)


class NewerStateError(StateError):
    """State of a newer version of this program: to be left alone, not repaired."""

    def __init__(self, path: Path, version: int, known: int = SCHEMA_VERSION) -> None:
        super().__init__(
            f"{path} was written by a newer mlops_spec"
            f" (schema version {version}, this one reads up to {known})",
            "upgrade mlops_spec, or work in another folder",
        )


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256_of(value: object) -> str:
    """The digest of a JSON value."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
