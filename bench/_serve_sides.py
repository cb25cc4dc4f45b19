"""Servers that run side by side while they are measured, and the process that asks them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Self

from _common import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).resolve().parent
PATIENCE = 120.0  # seconds for a server to answer, and then to end


@dataclass(frozen=True)
class Asked:
    """What a server is sent: the file with the body, its content type, and the address's path."""

    body: Path
    kind: str
    path: str = "/score"


@dataclass(frozen=True)
class Measured:
    """Requests a second, and the milliseconds of each."""

    rps: float
    ms: list[float]


@dataclass
class Side:
    """A server that runs while others take their turns."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    asked: Asked
    ready: float = field(default=0.0)  # seconds until it answered

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}{self.asked.path}"

    def memory(self) -> float:
        """MB in memory, of its processes together."""
        return sum(map(resident, family(self.process.pid)))

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Goes on while this lasts: waiting for requests, some keep a core busy."""
        self.send(signal.SIGCONT)
        try:
            yield
        finally:
            self.send(signal.SIGSTOP)

    def send(self, number: signal.Signals) -> None:
        """A signal to it, and to what it started."""
        for pid in family(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """Ends it, and what it started."""
        self.send(signal.SIGCONT)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(15)


class Loader:
    """The process that asks: `_serve_load.py`."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "_serve_load.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def load(self, side: Side, connections: int, seconds: float) -> Measured:
        """Asks a server for a while; the benchmark ends where an answer is none."""
        assert self._process.stdin
        assert self._process.stdout
        what = {"host": "127.0.0.1", "port": side.port, "path": side.asked.path}
        what |= {"file": str(side.asked.body), "kind": side.asked.kind}
        line = json.dumps({**what, "connections": connections, "seconds": seconds})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        if found["failed"]:
            sys.exit(f"{side.name}: {found['failed']} of {found['answered']} requests failed")
        return Measured(found["answered"] / found["seconds"], found["ms"])


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def answers(port: int, asked: Asked) -> bool:
    """Whether a server answers a request."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        line.request("POST", asked.path, asked.body.read_bytes(), {"Content-Type": asked.kind})
        return line.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def started(
    name: str, words: list[str], port: int, asked: Asked, extra: Mapping[str, str] | None = None
) -> Side:
    """Starts a server and waits until it answers; the benchmark ends with one that does not."""
    begin = time.perf_counter()
    silent = None if os.environ.get("BENCH_LOUD") else subprocess.DEVNULL
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, **(extra or {})},
        stdout=silent,
        stderr=silent,
        start_new_session=True,
    )
    side = Side(name, process, port, asked)
    while not answers(port, asked):
        if process.poll() is not None or time.perf_counter() - begin > PATIENCE:
            side.stop()
            sys.exit(f"{name} does not answer; BENCH_LOUD=1 shows what it says")
        time.sleep(0.02)
    side.ready = time.perf_counter() - begin
    return side


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(path.read_text("utf-8").rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def resident(pid: int) -> float:
    """MB of one process in memory."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:  # it has ended meanwhile
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
