"""A model as a service on this machine: checked on a port of its own before it takes over."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import bundle, files, verification
from mlops_spec.actions import Context, Outcome
from mlops_spec.errors import StepError
from mlops_spec.verification import Expected

if TYPE_CHECKING:
    from mlops_spec.steps import Step

_SERVICES = Path(".mlops/services")  # which process serves at which address
_READY_SECONDS = 30
_TOLERANCE = 1e-3  # of a golden probability, over HTTP


def start(step: Step, context: Context) -> Outcome:
    """Starts the service; the one before serves until the new one has passed its checks.

    Raises:
        StepError: The bundle is not one that the spec trusts; the service does not start or answers
            otherwise than recorded; the address is taken.
    """
    host, port = step.payload["host"], step.payload["port"]
    version = files.read_json(context.inputs["register"] / "version.json")
    path = Path(version["path"])
    trusted = step.payload.get("trusted_key")
    if trusted:
        expected = Expected(trusted, version["model"], version["digest"])
        verification.demand(path, expected)
    log = context.folder / "log.txt"
    card = bundle.read(path)
    candidate = _serve(step, path, _free_port(host), log)
    try:
        _replay(candidate, card)
    finally:
        candidate.stop()
    context.emit(f"{len(card.golden)} golden inputs answered as recorded")
    note = _SERVICES / f"{host}-{port}.json"
    _make_way(host, port, note)
    service = _serve(step, path, port, log)
    files.write_json(note, {"pid": service.pid, "bundle": str(path)})
    address = f"http://{host}:{port}/score"
    files.write_json(context.folder / "out" / "service.json", {"url": address, "pid": service.pid})
    return Outcome(f"serving at {address}")


class _Service:
    """A running service process."""

    def __init__(self, process: subprocess.Popen[bytes], host: str, port: int) -> None:
        self.process, self.host, self.port, self.pid = process, host, port, process.pid

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        return _ask(self.host, self.port, method, path, body)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def _serve(step: Step, path: Path, port: int, log: Path) -> _Service:
    """Starts a process that outlives this one, and waits until it answers."""
    host = step.payload["host"]
    words = [str(path) if word == "${{bundle}}" else word for word in step.payload["command"]]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is the plan's, shown before
            [sys.executable, *words[1:], "--host", host, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    service = _Service(process, host, port)
    try:
        if _is_ready(service):
            return service
    except BaseException:
        process.kill()
        raise
    process.kill()
    process.wait()
    raise StepError(f"the service did not start on {host}:{port}", f"see {log}")


def _is_ready(service: _Service) -> bool:
    """Waits until the service itself answers; False when it ends or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and service.process.poll() is None:
        answer = service.ask("GET", "/healthz")
        if isinstance(answer, dict) and answer.get("pid") == service.pid:
            return True
        time.sleep(0.05)
    return False


def _ask(host: str, port: int, method: str, path: str, body: bytes | None = None) -> Any:
    """A JSON answer; None when nobody answers in JSON."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, body)
        return json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _replay(service: _Service, card: bundle.Card) -> None:
    """Sends the golden inputs and compares the probabilities with those that training recorded."""
    for number, golden in enumerate(card.golden, 1):
        answer = service.ask("POST", "/score", base64.b64decode(golden.image)) or {}
        got = [answer.get("scores", {}).get(label, -1.0) for label in card.labels]
        worst = max(abs(a - b) for a, b in zip(got, golden.scores, strict=True))
        if worst > _TOLERANCE:
            message = f"golden input {number} is off by {worst:.3g}: the service answers otherwise"
            raise StepError(message, "compare the libraries of this machine with model.json")


def _make_way(host: str, port: int, note: Path) -> None:
    """Stops our service at an address; anybody else's is an error.

    Ours is a process that we noted, that the answer at the address names, and that still is one:
    an answer alone could name any process.
    """
    with socket.socket() as probe:
        if probe.connect_ex((host, port)) != 0:
            return
    answer = _ask(host, port, "GET", "/healthz")
    noted = int(files.read_json(note)["pid"]) if note.exists() else 0
    ours = isinstance(answer, dict) and answer.get("pid") == noted and noted > 0
    if not ours or not _is_service(noted):
        message = f"another program listens at {host}:{port}"
        raise StepError(message, "stop it, or choose another target.port")
    os.kill(noted, signal.SIGTERM)
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex((host, port)) != 0:
                return
        time.sleep(0.05)
    raise StepError(f"the service at {host}:{port} does not stop", f"stop process {noted}")


def _is_service(pid: int) -> bool:
    """Whether a process is one of ours, where the system can tell."""
    if not Path("/proc/self").exists():
        return True
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and b"deployers.scoring" in command.read_bytes()
