"""A page as a process on this machine: tried on a port of its own before it takes over."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files, secrets, services
from mlops_spec.actions import Context, Outcome, _processes
from mlops_spec.actions._processes import Place
from mlops_spec.errors import StepError

if TYPE_CHECKING:
    from mlops_spec.steps import Step

_PAGES = Path(".mlops/pages")  # which process is the page at which address
_SECONDS = 30  # to end


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
    candidate = _run(step, context, _processes.free_port(host, "frontend.host"))
    _processes.stop(candidate, _program(step))
    note = _PAGES / f"{host}-{port}.json"
    _make_way(host, port, note)
    pid = _run(step, context, port, note)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    files.write_json(context.folder / "out" / "page.json", {"url": url, "pid": pid})
    return Outcome(f"page at {url}")


def _settings(context: Context) -> Path:
    return context.folder / "out" / "settings.json"


def _run(step: Step, context: Context, port: int, note: Path | None = None) -> int:
    """Starts a process that outlives this one, and waits until it answers; its id.

    Args:
        step: The request.
        context: Where it works.
        port: Where to listen.
        note: Tells later runs whose process it is.
    """
    host, command = step.payload["host"], step.payload["command"][1:]
    words = [str(word).replace("${{settings}}", str(_settings(context))) for word in command]
    own, _ = secrets.resolve(step.payload["environment"])
    environment = _processes.environment(step.payload.get("withhold", ())) | own
    place = Place(host, port, context.folder / "log.txt")
    running = _processes.start([*words, "--host", host, "--port", str(port)], place, environment)
    try:
        if note:
            files.write_json(note, {"pid": running.pid, "program": _program(step)})
        _processes.wait(running, "/healthz")
    except BaseException:
        _processes.stop(running.pid, _program(step))
        raise
    return running.pid


def _program(step: Step) -> str:
    """The module that the command runs."""
    words = step.payload["command"]
    return str(words[words.index("-m") + 1])


def _pid(host: str, port: int) -> Any:
    """Which process the page at an address says that it is; None when none answers."""
    _, answer = _processes.ask((host, port), "GET", "/healthz")
    return answer.get("pid") if isinstance(answer, dict) else None


def _make_way(host: str, port: int, note: Path) -> None:
    """Stops our page at an address.

    Ours is a process that we noted, that the answer at the address names, and that still is one.

    Raises:
        StepError: Somebody else listens there, or ours does not stop.
    """
    if not _processes.is_taken(host, port):
        return
    known = files.read_json(note) if note.exists() else {}
    noted, program = int(known.get("pid", 0)), str(known.get("program", ""))
    if not program or _pid(host, port) != noted or not services.is_ours(noted, program):
        message = f"another program listens at {host}:{port}"
        raise StepError(message, "stop it, or choose another frontend.port")
    os.kill(noted, signal.SIGTERM)
    deadline = time.monotonic() + _SECONDS
    while _processes.is_taken(host, port):
        if time.monotonic() > deadline:
            raise StepError(f"the page at {host}:{port} does not stop", f"stop process {noted}")
        time.sleep(0.05)
