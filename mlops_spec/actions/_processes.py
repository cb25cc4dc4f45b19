"""Processes that outlive a run and answer over HTTP: started, asked, stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec import ports, services, signing
from mlops_spec.errors import StateError, StepError
from mlops_spec.redaction import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

_READY_SECONDS = 60
_STOP_SECONDS = 30
_ANSWER_SECONDS = 10
_KILL_SECONDS = 5
_TAIL = 5  # lines of a log that are shown


@dataclass(frozen=True)
class Place:
    """Where a process listens, and where what it says goes."""

    host: str
    port: int
    log: Path


@dataclass(frozen=True)
class Running:
    """A process that was started.

    Attributes:
        pid: Its id.
        place: Where it listens.
        since: Bytes of its log that others had written before.
    """

    pid: int
    place: Place
    since: int


def start(words: Sequence[str], place: Place, environment: Mapping[str, str]) -> Running:
    """Starts a Python program that outlives this one."""
    place.log.parent.mkdir(parents=True, exist_ok=True)
    since = place.log.stat().st_size if place.log.exists() else 0
    with place.log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is the plan's, shown before
            [sys.executable, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environment),
            start_new_session=True,
        )
    return Running(process.pid, place, since)


def environment(withheld: Iterable[str]) -> dict[str, str]:
    """Ours without secrets: who answers strangers and outlives a run needs none."""
    hidden = {signing.VARIABLE, *withheld}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def wait(running: Running, path: str) -> None:
    """Waits until a process that was started answers 200 at a path.

    Raises:
        StepError: It ended, or takes too long; with the last lines of its log.
    """
    place, deadline = running.place, time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and not _has_ended(
        running.pid, lambda: services.is_ours(running.pid, "")
    ):
        if ask((place.host, place.port), "GET", path)[0] == 200:  # noqa: PLR2004 - HTTP's OK
            return
        time.sleep(0.05)
    said = place.log.read_bytes()[running.since :].decode("utf-8", "replace")
    last = "\n  ".join(harmless(line) for line in said.splitlines()[-_TAIL:])
    message = f"the program did not start at {place.host}:{place.port}"
    raise StepError(f"{message}:\n  {last}" if last else message, f"see {place.log}")


def _has_ended(pid: int, is_it: Callable[[], bool]) -> bool:
    """Whether a process has: a child of ours, or another one."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:  # not a child of this run
        return not is_it()


def stop(pid: int, program: str = "deployers.scoring") -> None:
    """Ends a process of ours, which answers first what it was asked; after a while it is killed."""
    end(pid, lambda: services.is_ours(pid, program))


def end(pid: int, is_it: Callable[[], bool], seconds: float = _STOP_SECONDS) -> bool:
    """Ends a process while it is the one that is meant; whether it had to be killed.

    Args:
        pid: Its id, which another process may have by now.
        is_it: Whether it is the one.
        seconds: For it to answer what it was asked.

    Raises:
        StateError: Not even that ends it.
    """
    for kind, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, _KILL_SECONDS)):
        if not is_it():
            return False
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, kind)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if _has_ended(pid, is_it):
                return kind is signal.SIGKILL
            time.sleep(0.05)
    message = f"process {pid} does not end, though it was killed"
    raise StateError(
        message, "it waits for a disk or a device; see `ps`, or start the machine anew"
    )


def ask(
    address: tuple[str, int],
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str | bytes] | None = None,
) -> tuple[int, Any]:
    """Status and JSON answer; 0 and None when nobody answers, None for what is no JSON."""
    connection = http.client.HTTPConnection(*address, timeout=_ANSWER_SECONDS)
    return ports.exchange(connection, method, path, body, headers)


def free_port(host: str, key: str = "target.host") -> int:
    """A port at which nobody listens.

    Raises:
        StepError: The host is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        message = f"nothing can listen at {host}: {error.strerror}"
        raise StepError(message, f"choose another {key}: an address of this machine") from error


def is_taken(host: str, port: int) -> bool:
    """Whether anybody listens at an address."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
