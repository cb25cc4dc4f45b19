"""A file from this machine or from the web; a download that was cut goes on where it stopped."""

from __future__ import annotations

import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from mlops_spec import files
from mlops_spec.errors import StateError, StepError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 1 << 20  # bytes read at once
_SPARE = 256 << 20  # bytes that stay free on the disk
_TIMEOUT = 30  # seconds without a byte
_PAUSES = (1, 2, 4, 8, 16, 30)  # seconds before a download that was cut goes on
_EVERY = 5  # seconds between two lines of progress
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what a URL may hold; the rest of it is quoted
_BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers that another attempt may change


class _CutError(Exception):
    """A download that may go on later."""


class _UnreachableError(_CutError):
    """A server that did not even take the question."""


class _NoRestError(Exception):
    """A server whose file is not the one that a part was taken of, or ends before it."""


def fetch(source: str, sha256: str | None, folder: Path) -> Path:
    """A file of this machine, or one of the web once it is in `folder`.

    Raises:
        StepError: It can not be had, or is another than `sha256` says.
    """
    if not is_url(source):
        verified(local(source), sha256)
        return local(source)
    path = folder / _file_name(source)
    part = path.with_name(f"{path.name}.part")
    with disk_errors():
        folder.mkdir(parents=True, exist_ok=True)
        if not _is(path, sha256):
            if not _is(part, sha256):
                _download(source, part)
                _note(part).unlink(missing_ok=True)
                part = part.replace(path.with_name(f"{path.name}.unverified"))
                verified(part, sha256, f"{shown(source)} (kept as {part})")
            part.replace(path)
    return path


def is_url(source: str) -> bool:
    """Whether a source is on the web."""
    return re.match("https?://", source, re.IGNORECASE) is not None


def local(source: str) -> Path:
    """The path of a source on this machine.

    Raises:
        StepError: There is no such file.
    """
    path = Path(source).expanduser()
    if not path.is_file():
        raise StepError(f"there is no file {path}", "name one, or a URL that begins with http")
    return path


def shown(url: str) -> str:
    """A URL that may be printed and kept: no password, and no query, which may be a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what data names"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def verified(path: Path, sha256: str | None, name: str = "") -> str:
    """The digest of a file.

    Raises:
        StepError: It is not the one expected.
    """
    found = files.sha256_file(path)
    if sha256 not in (None, found):
        message = f"{name or path} has the sha256 {found}, not {sha256} as the spec says"
        raise StepError(message, "it is damaged or another file: find out which digest is right")
    return found


def room(folder: Path, needed: int) -> None:
    """Makes sure that a disk has room for so many bytes, and some to spare.

    Raises:
        StepError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE:
        message = f"the disk has {_mb(free)} MB left, {_mb(needed + _SPARE)} MB are needed"
        raise StepError(message, "free some space, then run the same command again")


@contextmanager
def disk_errors() -> Iterator[None]:
    """A full or read-only disk in words."""
    try:
        yield
    except OSError as error:
        known = from_os_error(error)
        if known is None:
            raise
        raise StepError(known.message, known.cure) from error


def said_now_and_then(what: str, total: int | None) -> Callable[[int], None]:
    """Prints how far something is, in bytes, at most every few seconds."""
    begun = last = time.monotonic()
    first: int | None = None

    def tell(done: int) -> None:
        nonlocal last, first
        first, now = done if first is None else first, time.monotonic()
        if now - last >= _EVERY:
            last = now
            left = _left(done - first, total - done, now - begun) if total else ""
            of = f" of {_mb(total)} MB, {done / total:.0%}" if total else " MB"
            print(f"{what}: {_mb(done)}{of}{left}", flush=True)  # noqa: T201 - a step's log

    return tell


def _left(done: int, missing: int, seconds: float) -> str:
    minutes, rest = divmod(round(seconds * missing / max(done, 1)), 60)
    return f", {minutes} min {rest} s left" if done else ""


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def _file_name(url: str) -> str:
    last = unquote(re.split("[?#]", url)[0].rpartition("/")[2])
    return re.sub(r"[^\w.-]", "_", last, flags=re.ASCII).lstrip(".")[-100:] or "archive"


def _is(path: Path, sha256: str | None) -> bool:
    return sha256 is not None and path.is_file() and files.sha256_file(path) == sha256


def _download(url: str, part: Path) -> None:
    """Asks for a file until all of it is there.

    Raises:
        StepError: The server can not be reached, says no, or has cut the connection too often.
    """
    for attempt, pause in enumerate((*_PAUSES, None)):
        try:
            _continue(url, part)
            break
        except _CutError as error:
            if attempt == 0 and isinstance(error, _UnreachableError):
                cure = "look at the network, or name a file that was fetched by other means"
                raise StepError(f"can not reach {shown(url)}: {error}", cure) from None
            if pause is None:
                message = f"{shown(url)} was cut {attempt + 1} times, at last: {error}"
                raise StepError(message, "run the same command again: it goes on") from None
            told = f"{shown(url)}: {error}; again in {pause} s"
            print(told, flush=True)  # noqa: T201 - a step's log
            time.sleep(pause)


def _continue(url: str, part: Path) -> None:
    """One connection: for the rest, or for all where what is there is no part of it."""
    tags = _known_tags(part)
    start = part.stat().st_size if part.exists() and tags is not None else 0
    try:
        response = _ask(url, start, tags or {})
    except _NoRestError:
        response, start = _ask(url, 0, {}), 0
    with response:
        if start == 0 or response.status != http.client.PARTIAL_CONTENT:
            part.unlink(missing_ok=True)
            files.write_json(_note(part), {"tags": _tags(response)})
        _receive(response, part, shown(url))


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _known_tags(part: Path) -> dict[str, str] | None:
    """What the server said of the file that this is a part of; None where nobody knows."""
    try:
        return dict(files.read_json(_note(part))["tags"])
    except (FileNotFoundError, StateError, KeyError, TypeError, ValueError):
        return None


def _tags(response: http.client.HTTPResponse) -> dict[str, str]:
    found = {name: response.headers[name] for name in ("ETag", "Last-Modified")}
    return {name: value for name, value in found.items() if value}


def _ask(url: str, start: int, tags: dict[str, str]) -> http.client.HTTPResponse:
    """The answer to a request for a file from its byte `start` on.

    Raises:
        _NoRestError: There is no such rest.
        _CutError: Later the answer may be another.
        StepError: It will not be.
    """
    response = _open(url, start, tags)
    begins = (response.headers["Content-Range"] or "").startswith(f"bytes {start}-")
    partial = start > 0 and response.status == http.client.PARTIAL_CONTENT
    if partial and not (begins and tags == _tags(response)):
        response.close()
        raise _NoRestError
    return response


def _open(url: str, start: int, tags: dict[str, str]) -> http.client.HTTPResponse:
    headers = {"User-Agent": "mlops_spec", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        strong = [tag for tag in tags.values() if not tag.startswith("W/")]
        headers.update(zip(["If-Range"], strong, strict=False))
    try:
        request = urllib.request.Request(quote(url, _SAFE), headers=headers)  # noqa: S310 - is_url
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(url, error.code, start) from None
    except urllib.error.URLError as error:
        raise _UnreachableError(_reason(error.reason)) from None
    except (http.client.InvalidURL, ValueError):  # their words hold the query
        raise StepError(f"{shown(url)} is no URL", "correct it") from None
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(_reason(error)) from None
    return response


def _refusal(url: str, code: int, start: int) -> Exception:
    if code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        return _NoRestError()
    words = f"{code} {http.client.responses.get(code, '')}".strip()
    if code in _BUSY:
        return _CutError(f"the server answers {words}")
    cure = "look whether it has moved, or name a file that was fetched by other means"
    return StepError(f"{shown(url)}: the server answers {words}", cure)


def _reason(error: object) -> str:
    """A connection's error in words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _receive(response: http.client.HTTPResponse, part: Path, name: str) -> None:
    """Appends what a server sends.

    Raises:
        _CutError: It stopped before the end.
    """
    with part.open("ab") as file:
        done = file.tell()
        total = None if response.length is None else done + response.length
        room(part.parent, response.length or 0)
        tell = said_now_and_then(f"fetching {name}", total)
        while chunk := _read(response):
            room(part.parent, len(chunk))
            file.write(chunk)
            done += len(chunk)
            tell(done)
    if total is not None and done < total:
        message = f"the connection was cut after {_mb(done)} of {_mb(total)} MB"
        raise _CutError(message)


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(_reason(error)) from None
