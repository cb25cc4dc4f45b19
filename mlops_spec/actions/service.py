"""A model as a service on this machine: checked on a port of its own before it takes over."""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import bundle, files, lineage, signing, verification
from mlops_spec.actions import Context, Outcome
from mlops_spec.errors import MlopsError, StepError
from mlops_spec.verification import Expected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.steps import Step

_SERVICES = Path(".mlops/services")  # which process serves at which address
_READY_SECONDS = 30
_TOLERANCE = 1e-3  # of a golden probability, over HTTP


def start(step: Step, context: Context) -> Outcome:
    """Starts the service; the one before serves until the new one has passed its checks.

    Raises:
        StepError: The bundle is not what was registered, or not one that the spec trusts; the
            service does not start or answers otherwise than recorded; the address is taken.
    """
    host, port = step.payload["host"], step.payload["port"]
    version = files.read_json(context.inputs["register"] / "version.json")
    path = Path(version["path"])
    _check(path, Expected(_trusted(step), version["model"], version["digest"]))
    log = context.folder / "log.txt"
    card = bundle.read(path)
    candidate = _serve(step, path, _free_port(host), log)
    try:
        _replay(candidate, card)
    finally:
        candidate.stop()
    context.emit(f"{len(card.golden)} golden inputs answered as recorded")
    service = _take_over(step, path, log)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/score"
    files.write_json(context.folder / "out" / "service.json", {"url": address, "pid": service.pid})
    return Outcome(f"serving at {address}")


def _trusted(step: Step) -> str:
    return str(step.payload.get("trusted_key", ""))


def _check(path: Path, expected: Expected) -> None:
    """Refuses a bundle that is not what its lineage says; one without any, if a key is trusted."""
    if expected.trusted_key or os.path.lexists(path / lineage.FILE):
        verification.demand(path, expected)


def _take_over(step: Step, path: Path, log: Path) -> _Service:
    """Starts a bundle in the place of the service at the address; that one again if it fails.

    Raises:
        StepError: It does not start, with what became of the one before; the address is taken.
    """
    host, port = step.payload["host"], step.payload["port"]
    note = _SERVICES / f"{host}-{port}.json"
    before = _make_way(host, port, note)
    try:
        return _serve(step, path, port, log, note)
    except BaseException as error:
        if before is None:
            raise
        said = _resume(step, before, log, note)
        if isinstance(error, StepError):
            raise StepError(f"{error.message}; {said}", error.cure) from error
        raise


def _resume(step: Step, before: Path, log: Path, note: Path) -> str:
    """Starts the bundle that was served before; says what became of it."""
    try:
        _check(before, Expected(_trusted(step)))
        _serve(step, before, step.payload["port"], log, note)
    except MlopsError as error:
        return f"nothing serves there now: the model of before, {before}: {error.message}"
    return f"the model of before serves again, {before}"


class _Service:
    """A running service process."""

    def __init__(self, process: subprocess.Popen[bytes], host: str, port: int) -> None:
        self.process, self.host, self.port, self.pid = process, host, port, process.pid

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        return _ask(self.host, self.port, method, path, body)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def _serve(step: Step, path: Path, port: int, log: Path, note: Path | None = None) -> _Service:
    """Starts a process that outlives this one, and waits until it answers.

    Args:
        step: The request.
        path: The bundle to serve.
        port: Where to listen.
        log: What the process says goes there.
        note: Tells later runs whose process it is; before it answers, as this one may be killed.
    """
    host = step.payload["host"]
    words = [str(path) if word == "${{bundle}}" else word for word in step.payload["command"]]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is the plan's, shown before
            [sys.executable, *words[1:], "--host", host, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(step),
            start_new_session=True,
        )
    service, ready = _Service(process, host, port), False
    try:
        if note:
            files.write_json(note, {"pid": process.pid, "bundle": str(path)})
        ready = _is_ready(service)
    finally:
        if not ready:
            process.kill()
            process.wait()
    if not ready:
        raise StepError(f"the service did not start on {host}:{port}", f"see {log}")
    return service


def _environment(step: Step) -> dict[str, str]:
    """Ours without secrets: a service needs none, answers strangers and outlives the run."""
    withheld = {signing.VARIABLE, *step.payload.get("withhold", ())}
    return {name: value for name, value in os.environ.items() if name not in withheld}


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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, 0), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        message = f"nothing can listen at {host}: {error.strerror}"
        raise StepError(
            message, "choose another target.host: an address of this machine"
        ) from error


def _is_taken(host: str, port: int) -> bool:
    """Whether anybody listens at an address."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def _replay(service: _Service, card: bundle.Card) -> None:
    """Sends the golden inputs and compares the probabilities with those that training recorded.

    Raises:
        StepError: An answer is another one, or there is nothing to compare.
    """
    if not card.golden:
        message = "the bundle has no golden inputs: nobody can tell whether a service answers right"
        cure = "train again with validation images; a trainer of your own calls golden.record"
        raise StepError(message, cure)
    for number, golden in enumerate(card.golden, 1):
        answer = service.ask("POST", "/score", base64.b64decode(golden.image))
        got = _scores(answer, card.labels)
        off = [abs(a - b) for a, b in zip(got, golden.scores, strict=True)]
        wrong = [difference for difference in off if not difference <= _TOLERANCE]  # NaN is, too
        if wrong:
            message = f"golden input {number} is off by {max(wrong):.3g}"
            cure = "compare the libraries of this machine with model.json"
            raise StepError(f"{message}: the service answers otherwise", cure)


def _scores(answer: Any, labels: Sequence[str]) -> list[float]:
    """The probability of each label in an answer; infinite where it has none."""
    found = answer.get("scores") if isinstance(answer, dict) else None
    values = [found.get(label) if isinstance(found, dict) else None for label in labels]
    return [v if isinstance(v, float) or v in (0, 1) else math.inf for v in values]


def _make_way(host: str, port: int, note: Path) -> Path | None:
    """Stops our service at an address; anybody else's is an error.

    Ours is a process that we noted, that the answer at the address names, and that still is one:
    an answer alone could name any process.

    Returns:
        The bundle that it served; None where nothing had to be stopped.
    """
    if not _is_taken(host, port):
        return None
    answer = _ask(host, port, "GET", "/healthz")
    known = files.read_json(note) if note.exists() else {}
    noted = int(known.get("pid", 0))
    ours = isinstance(answer, dict) and answer.get("pid") == noted and noted > 0
    if not ours or not _is_service(noted):
        message = f"another program listens at {host}:{port}"
        raise StepError(message, "stop it, or choose another target.port")
    before = Path(known["bundle"])
    os.kill(noted, signal.SIGTERM)
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if not _is_taken(host, port):
            return before
        time.sleep(0.05)
    raise StepError(f"the service at {host}:{port} does not stop", f"stop process {noted}")


def _is_service(pid: int) -> bool:
    """Whether a process is one of ours, where the system can tell."""
    if not Path("/proc/self").exists():
        return True
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and b"deployers.scoring" in command.read_bytes()
