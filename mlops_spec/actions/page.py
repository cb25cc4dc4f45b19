"""A page as a process on this machine: tried on a port of its own before it takes over."""

from __future__ import annotations

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

from mlops_spec import files, secrets, signing
from mlops_spec.actions import Context, Outcome
from mlops_spec.errors import StepError

if TYPE_CHECKING:
    from mlops_spec.steps import Step

_PAGES = Path(".mlops/pages")  # which process is the page at which address
_SECONDS = 30  # to start, and to end
_LAST_LINES = 5  # of a log that are shown


def start(step: Step, context: Context) -> Outcome:
    """Starts the page; the one before is there until the new one has answered.

    Its `GET /healthz` answers JSON with its `pid`. What `environment` names are secrets of the
    page's own, resolved here and written nowhere.

    Raises:
        StepError: It does not start; somebody else has the address.
        MlopsError: A secret is not set.
    """
    host, port = step.payload["host"], step.payload["port"]
    files.write_text(_settings(context), files.json_text(step.payload["settings"]))
    candidate = _run(step, context, _free_port(host))
    candidate.terminate()
    candidate.wait()
    note = _PAGES / f"{host}-{port}.json"
    _make_way(host, port, note)
    process = _run(step, context, port, note)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    files.write_json(context.folder / "out" / "page.json", {"url": url, "pid": process.pid})
    return Outcome(f"page at {url}")


def _settings(context: Context) -> Path:
    return context.folder / "out" / "settings.json"


def _run(
    step: Step, context: Context, port: int, note: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts a process that outlives this one, and waits until it answers.

    Args:
        step: The request.
        context: Where it works.
        port: Where to listen.
        note: Tells later runs whose process it is.
    """
    host, log = step.payload["host"], context.folder / "log.txt"
    words = [word.replace("${{settings}}", str(_settings(context))) for word in _words(step)]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is the plan's, shown before
            [sys.executable, *words[1:], "--host", host, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(step),
            start_new_session=True,
        )
    ready = False
    try:
        if note:
            files.write_json(note, {"pid": process.pid, "program": _program(step)})
        ready = _is_ready(process, host, port)
    finally:
        if not ready:
            process.kill()
            process.wait()
    if not ready:
        last = "\n  ".join(log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:])
        message = f"the page did not start on {host}:{port}"
        raise StepError(f"{message}:\n  {last}" if last else message, f"see {log}")
    return process


def _words(step: Step) -> list[str]:
    return [str(word) for word in step.payload["command"]]


def _program(step: Step) -> str:
    """The module that the command runs."""
    words = _words(step)
    return words[words.index("-m") + 1]


def _environment(step: Step) -> dict[str, str]:
    """Ours without secrets, but with those that the page is given under names of its own."""
    own, _ = secrets.resolve(step.payload["environment"])
    withheld = {signing.VARIABLE, *step.payload.get("withhold", ())}
    return {name: text for name, text in os.environ.items() if name not in withheld} | own


def _is_ready(process: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Waits until the process itself answers; False when it ends or takes too long."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _pid(host, port) == process.pid:
            return True
        time.sleep(0.05)
    return False


def _pid(host: str, port: int) -> Any:
    """Which process the page at an address says that it is; None when none answers."""
    answer = _answer(host, port)
    return answer.get("pid") if isinstance(answer, dict) else None


def _answer(host: str, port: int) -> Any:
    """What the page at an address says of itself; None when nobody answers in JSON."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/healthz")
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
        cure = "choose another frontend.host: an address of this machine"
        raise StepError(message, cure) from error


def _is_taken(host: str, port: int) -> bool:
    """Whether anybody listens at an address."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def _make_way(host: str, port: int, note: Path) -> None:
    """Stops our page at an address.

    Ours is a process that we noted, that the answer at the address names, and that still is one.

    Raises:
        StepError: Somebody else listens there, or ours does not stop.
    """
    if not _is_taken(host, port):
        return
    known = files.read_json(note) if note.exists() else {}
    noted = int(known.get("pid", 0))
    if noted <= 0 or _pid(host, port) != noted or not _runs(noted, str(known["program"])):
        message = f"another program listens at {host}:{port}"
        raise StepError(message, "stop it, or choose another frontend.port")
    os.kill(noted, signal.SIGTERM)
    deadline = time.monotonic() + _SECONDS
    while _is_taken(host, port):
        if time.monotonic() > deadline:
            raise StepError(f"the page at {host}:{port} does not stop", f"stop process {noted}")
        time.sleep(0.05)


def _runs(pid: int, program: str) -> bool:
    """Whether a process runs a module, where the system can tell."""
    if not Path("/proc/self").exists():
        return True
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and program.encode() in command.read_bytes().split(b"\0")
