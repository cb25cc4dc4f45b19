"""What serves at an address of this machine: deployments, and who gets how much of the traffic.

One JSON file an address. A step writes it after a new deployment has passed its checks; the router
that listens at the address reads it and sends the next request accordingly. Whoever writes holds a
lock. Readers meet a whole file, the old one or the new.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mlops_spec import files, records
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Self

FOLDER = Path(".mlops/services")
_PROCESSES = Path("/proc")  # of Linux; others are asked by ps
FORGET = "python -m mlops_spec services stop ends what is there and forgets it; then run again"
LOOPBACK = "127.0.0.1"  # where deployments listen: only their router is asked from elsewhere
Percent = Annotated[int, Field(ge=0, le=100)]


class _Part(BaseModel):
    """Frozen, of known keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Deployment(_Part):
    """A process that serves one model."""

    pid: int
    port: int
    model: str
    version: int
    digest: str
    bundle: str
    log: str
    asked: str = ""  # digest of what it was started with; none of before that was recorded


class State(_Part):
    """What there is at an address.

    Attributes:
        host: Where the router listens.
        port: Where the router listens.
        router: Its process; 0 before there is one.
        deployments: Each with its name.
        traffic: Percent of requests that a deployment answers; 100 together.
        mirror: Percent of requests that a deployment is asked as well, and whose answer is dropped.
        max_bytes: Of a request.
        body_seconds: For a client to send it.
        answer_seconds: For a deployment to answer.
    """

    host: str
    port: int
    router: int
    deployments: dict[str, Deployment]
    traffic: dict[str, Percent]
    mirror: dict[str, Percent]
    max_bytes: int
    body_seconds: float
    answer_seconds: float

    @model_validator(mode="after")
    def _known(self) -> Self:
        strange = sorted((self.traffic.keys() | self.mirror.keys()) - self.deployments.keys())
        if strange:
            raise ValueError(f"there is no deployment {', '.join(strange)}")
        if sum(self.traffic.values()) != 100:  # noqa: PLR2004 - percent
            raise ValueError("traffic does not add up to 100")
        return self


def asked(payload: Mapping[str, Any]) -> str:
    """The digest of what a deployment is started with; who is sent to it is no part of that."""
    names = ("service", "command", "key", "serving", "quantization")
    return files.sha256_of({name: payload.get(name) for name in names})


def path_of(host: str, port: int) -> Path:
    """The file of an address."""
    return FOLDER / f"{host}-{port}.json"


def read(path: Path) -> State | None:
    """What is at an address; None where nothing was ever.

    Raises:
        StateError: The file is damaged, or of a newer version of this program.
    """
    try:
        return records.read(path, State, FORGET)
    except FileNotFoundError:
        return None


def write(path: Path, state: State) -> None:
    """Replaces what is at an address."""
    records.write(path, state)


@contextlib.contextmanager
def writing(path: Path, seconds: float) -> Iterator[None]:
    """Alone with an address: two runs that deploy there follow each other.

    Raises:
        StateError: Another run has it for long.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{path}.lock", timeout=seconds):
            yield
    except Timeout as error:
        message = f"another run has been deploying at {path.stem} for {seconds:.0f} s"
        raise StateError(message, "wait for it to end, then run the same command again") from error


def is_ours(pid: int, program: str = "deployers.scoring") -> bool:
    """Whether a process is one that this program starts, where the system can tell."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # none, or somebody else's
        return False
    words = _words(pid)
    return words is None or program.encode() in words


def routes(pid: int, path: Path) -> bool:
    """Whether a process is the router that reads a state file, where the system can tell."""
    words = _words(pid)
    return is_ours(pid) and (words is None or os.fsencode(path.resolve()) in words)


def serves(deployment: Deployment) -> bool:
    """Whether a process is still the deployment that a state names, where the system can tell.

    Another one, also a deployment of another folder, may have its id by now.
    """
    pid, told = deployment.pid, {"--port": str(deployment.port), "--bundle": deployment.bundle}
    return is_ours(pid) and all(was_told(pid, name, value) for name, value in told.items())


def was_told(pid: int, name: str, value: str) -> bool:
    """Whether an option stands in the command line of a process, where the system can tell."""
    words = _words(pid)
    option = b" %b %b " % (name.encode(), os.fsencode(value))
    return words is None or option in words.strip(b"\n\0").replace(b"\0", b" ") + b" "


def is_told() -> bool:
    """Whether the system tells which files a process writes into."""
    return _PROCESSES.joinpath("self/fd").exists()


def log_of(pid: int | str) -> Path | None:
    """The file that a process writes into, where the system can tell, which Linux does."""
    try:
        log = str((_PROCESSES / str(pid) / "fd/1").readlink())
    except OSError:  # somebody else's, or it has ended
        return None
    return Path(log.removesuffix(" (deleted)"))


def logging(below: Path) -> dict[int, Path]:
    """Processes that write into a file below a folder, and which: where the system can tell."""
    place = below.resolve()
    found = {entry.name: log_of(entry.name) for entry in _PROCESSES.glob("[0-9]*")}
    return {
        int(pid): log.relative_to(place)
        for pid, log in found.items()
        if log and log.is_relative_to(place)
    }


def _words(pid: int) -> bytes | None:
    """The command line of a process, empty of one that has ended; None where nobody tells."""
    if (_PROCESSES / "self").exists():
        try:
            return (_PROCESSES / str(pid) / "cmdline").read_bytes()
        except OSError:
            return b""
    asked = ["ps", "-ww", "-o", "args=", "-p", str(pid)]
    try:
        return subprocess.run(asked, capture_output=True, check=False).stdout  # noqa: S603
    except OSError:
        return None
