"""A page as a process on this machine: tried on a port of its own before it takes over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mlops_spec import files, pages, ports, secrets, services
from mlops_spec.actions import Context, Outcome, _processes
from mlops_spec.actions._processes import Place
from mlops_spec.errors import StepError
from mlops_spec.pages import Page

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.steps import Step

_PATIENCE_SECONDS = 120.0  # for another run that starts a page at the same address


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
    free = _processes.free_port(host, "frontend.host")
    candidate = _run(step, context, free)
    _processes.stop(candidate, _program(step))
    pages.path_of(host, free).unlink()
    with services.writing(pages.path_of(host, port), _PATIENCE_SECONDS):
        _make_way(host, port)
        pid = _run(step, context, port)
    url = f"http://{ports.shown(host, port)}/"
    files.write_json(context.folder / "out" / "page.json", {"url": url, "pid": pid})
    return Outcome(f"page at {url}")


def _settings(context: Context) -> Path:
    return context.folder / "out" / "settings.json"


def _run(step: Step, context: Context, port: int) -> int:
    """Starts a process that outlives this one, and waits until it answers; its id.

    It is noted at once, so that whatever a crash leaves alone can be found.
    """
    host, command = step.payload["host"], step.payload["command"][1:]
    words = [str(word).replace("${{settings}}", str(_settings(context))) for word in command]
    own, _ = secrets.resolve(step.payload["environment"])
    environment = _processes.environment(step.payload.get("withhold", ())) | own
    place = Place(host, port, context.folder / "log.txt")
    running = _processes.start([*words, "--host", host, "--port", str(port)], place, environment)
    try:
        page = Page(pid=running.pid, program=_program(step), log=str(place.log))
        pages.write(pages.path_of(host, port), page)
        _processes.wait(running, "/healthz")
    except BaseException:
        _processes.stop(running.pid, _program(step))
        pages.path_of(host, port).unlink(missing_ok=True)
        raise
    return running.pid


def _program(step: Step) -> str:
    """The module that the command runs."""
    words = step.payload["command"]
    return str(words[words.index("-m") + 1])


def _make_way(host: str, port: int) -> None:
    """Stops our page at an address.

    Ours is a process that we noted, that the answer at the address names, and that still is one.

    Raises:
        StepError: Somebody else listens there.
        StateError: Ours does not even end when it is killed.
    """
    if not _processes.is_taken(host, port):
        return
    page = pages.read(pages.path_of(host, port))
    if page is None or ports.answering(host, port) != page.pid or not pages.is_page(page, port):
        message = f"another program listens at {host}:{port}"
        raise StepError(message, "stop it, or choose another frontend.port")
    _processes.end(page.pid, partial(pages.is_page, page, port))
