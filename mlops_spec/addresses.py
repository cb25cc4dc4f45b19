"""What this folder has at addresses of this machine: services and pages, and how they are.

Told by the files of `services` and `pages`, and by the processes that write into logs of theirs:
those that a crash left alone stand in no file.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlops_spec import pages, ports, services
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.pages import Page
    from mlops_spec.services import Deployment, State

ROUTER = "router"
_READY = 200  # HTTP's OK
_STEPS = Path(".mlops/steps")  # where pages have their logs


@dataclass(frozen=True, order=True)
class Place:
    """An address, and what is to be there."""

    port: int
    host: str
    kind: Literal["service", "page"]

    @property
    def file(self) -> Path:
        """What is recorded of it."""
        path_of = services.path_of if self.kind == "service" else pages.path_of
        return path_of(self.host, self.port)

    @property
    def logs(self) -> Path:
        """The folder of a service's logs."""
        return self.file.with_suffix("")

    def __str__(self) -> str:
        return ports.shown(self.host, self.port)


@dataclass(frozen=True)
class Process:
    """One that listens; `pid` is 0 where none runs."""

    pid: int
    answers: bool
    log: str


@dataclass(frozen=True)
class Served:
    """A deployment, and its percents of the requests."""

    name: str
    model: str
    version: int
    digest: str
    port: int
    traffic: int
    mirror: int
    process: Process


@dataclass(frozen=True)
class Left:
    """A process that no file names, such as one of a run that was killed."""

    name: str
    pid: int
    log: str


@dataclass(frozen=True)
class Address:
    """How an address is.

    Attributes:
        place: Which one.
        process: The router, or the page.
        deployments: Of a service.
        left: By a crash.
        stranger: Whether another program listens there.
        damage: What is wrong with its file.
    """

    place: Place
    process: Process
    deployments: tuple[Served, ...] = ()
    left: tuple[Left, ...] = ()
    stranger: bool = False
    damage: str = field(default="")


def places() -> list[Place]:
    """Every address that has a file, a folder of logs, or a process, by port."""
    stems = {path.stem for path in services.FOLDER.glob("*.json")}
    stems |= {path.name for path in services.FOLDER.glob("*-*/")}
    found = [(stem, "service") for stem in stems]
    found += [(path.stem, "page") for path in pages.FOLDER.glob("*.json")]
    split = [(*stem.rpartition("-")[::2], kind) for stem, kind in found]
    return sorted(
        Place(int(port), host, "page" if kind == "page" else "service")
        for host, port, kind in split
        if port.isdecimal()
    )


def look() -> list[Address]:
    """All addresses that have a file or a process."""
    with ThreadPoolExecutor() as pool:  # who is silent costs seconds
        found = [*pool.map(_look, places())]
    return [one for one in found if one.place.file.exists() or one.left or one.process.pid]


def _look(place: Place) -> Address:
    damage, state, page = "", None, None
    try:
        if place.kind == "page":
            page = pages.read(place.file)
        else:
            state = services.read(place.file)
    except StateError as error:
        damage = error.message
    pid = router(place, state) if place.kind == "service" else page_process(place, page)
    named = ports.answering(place.host, place.port)
    served = state.deployments.items() if state else ()
    log = page.log if page else str(place.logs / f"{ROUTER}.log")
    return Address(
        place,
        Process(pid, bool(pid) and named == pid, log),
        tuple(_served(state, name, each) for name, each in served if state),
        tuple(left(place, state)) if place.kind == "service" else (),
        not pid and _is_taken(place),
        damage,
    )


def _is_taken(place: Place) -> bool:
    error = ports.refusal(place.host, place.port)
    return error is not None and error.errno == ports.TAKEN


def _served(state: State, name: str, deployment: Deployment) -> Served:
    runs = services.serves(deployment)
    answers = runs and ports.get(services.LOOPBACK, deployment.port, "/readyz")[0] == _READY
    return Served(
        name=name,
        **deployment.model_dump(include={"model", "version", "digest", "port"}),
        traffic=state.traffic.get(name, 0),
        mirror=state.mirror.get(name, 0),
        process=Process(deployment.pid if runs else 0, answers, deployment.log),
    )


def router(place: Place, state: State | None) -> int:
    """The process that routes at an address; 0 where none does."""
    candidates = [state.router] if state else []
    candidates += [pid for pid, _ in _writers(place)]
    candidates.append(ports.answering(place.host, place.port))
    return next((pid for pid in candidates if services.routes(pid, place.file)), 0)


def page_process(place: Place, page: Page | None) -> int:
    """The process of a page at an address; 0 where there is none.

    Where its file is damaged it is who writes a log of a step here and has that port.
    """
    if page is not None:
        return page.pid if pages.is_page(page, place.port) else 0
    told = {"--host": place.host, "--port": str(place.port)}
    for pid in services.logging(_STEPS):
        if all(services.was_told(pid, name, value) for name, value in told.items()):
            return pid
    return 0


def left(place: Place, state: State | None) -> Iterator[Left]:
    """Processes that serve for an address and stand in no file."""
    known = {each.pid for each in state.deployments.values()} if state else set()
    for pid, log in _writers(place):
        if pid not in known and not services.routes(pid, place.file):
            yield Left(log.stem, pid, str(log))


def writes(pid: int, place: Place) -> bool:
    """Whether a process is one of ours that writes a log of an address."""
    log = services.log_of(pid)
    return log is not None and log.parent == place.logs.resolve() and services.is_ours(pid)


def _writers(place: Place) -> list[tuple[int, Path]]:
    """Processes of ours that write a log of an address."""
    found = sorted(services.logging(place.logs).items())
    return [(pid, place.logs / log) for pid, log in found if writes(pid, place)]
