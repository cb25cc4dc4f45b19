"""Ends what runs at an address: what was asked is answered first, and only what is ours is ended.

The router ends first and answers what it was asked by deployments that still are there; then they
end. What is recorded stays, without processes, and the next run starts it again.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mlops_spec import addresses, pages, services
from mlops_spec.actions import _processes
from mlops_spec.errors import Problem, SpecError, StateError, suggest
from mlops_spec.files import NewerStateError
from mlops_spec.origins import COMMAND_LINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_spec.addresses import Left, Place
    from mlops_spec.pages import Page
    from mlops_spec.services import State

_PATIENCE_SECONDS = 120.0  # for a run that deploys there
_SECONDS = 30.0  # to end
_SLACK_SECONDS = 5.0
COMMAND = "python -m mlops_spec services stop"


@dataclass(frozen=True)
class Ended:
    """A process that was ended; `killed` where it did not end by itself."""

    address: str
    what: str
    pid: int
    killed: bool


@contextmanager
def alone(place: Place, tell: Callable[[str], None]) -> Iterator[None]:
    """Alone with an address.

    Args:
        place: Which one.
        tell: Called with a sentence where it has to wait for a run that deploys there.

    Raises:
        StateError: A run does that for long.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(services.writing(place.file, 0))
        except StateError:
            tell(f"{place}: a run is deploying there; waiting for it")
            stack.enter_context(services.writing(place.file, _PATIENCE_SECONDS))
        yield


def everything(place: Place) -> Iterator[Ended]:
    """Ends all that runs at an address, and yields what was ended.

    Raises:
        StateError: A newer version wrote its file; a process can not be ended, or not be found.
    """
    return _service(place) if place.kind == "service" else _page(place)


def _service(place: Place) -> Iterator[Ended]:
    state = _state(place)
    pid, seconds = addresses.router(place, state), _SECONDS
    if state:
        seconds = state.body_seconds + state.answer_seconds + _SLACK_SECONDS
    routes = partial(services.routes, pid, place.file)
    yield from _ended(place, addresses.ROUTER, pid, routes, seconds)
    served = state.deployments if state else {}
    for name, each in served.items():
        yield from _ended(place, name, each.pid, partial(services.serves, each), _SECONDS)
    for stray in addresses.left(place, state):
        yield from _stray(place, stray)
    if state:
        gone = {name: each.model_copy(update={"pid": 0}) for name, each in served.items()}
        services.write(place.file, state.model_copy(update={"router": 0, "deployments": gone}))
    else:
        place.file.unlink(missing_ok=True)


def _stray(place: Place, stray: Left) -> Iterator[Ended]:
    still = partial(addresses.writes, stray.pid, place)
    return _ended(place, stray.name, stray.pid, still, _SECONDS)


def _page(place: Place) -> Iterator[Ended]:
    page = _note(place)
    pid = addresses.page_process(place, page)
    still = partial(pages.is_page, page, place.port) if page else partial(_is_it, place, pid)
    yield from _ended(place, "page", pid, still, _SECONDS)
    if page:
        pages.write(place.file, page.model_copy(update={"pid": 0}))
    else:
        place.file.unlink(missing_ok=True)


def _is_it(place: Place, pid: int) -> bool:
    return pid != 0 and addresses.page_process(place, None) == pid


def _ended(
    place: Place,
    what: str,
    pid: int,
    is_it: Callable[[], bool],
    seconds: float,
) -> Iterator[Ended]:
    """Ends a process, if it is there."""
    if is_it():
        yield Ended(str(place), what, pid, _processes.end(pid, is_it, seconds))


def _state(place: Place) -> State | None:
    try:
        return services.read(place.file)
    except StateError as error:
        _forgettable(error)
        return None


def _note(place: Place) -> Page | None:
    try:
        return pages.read(place.file)
    except StateError as error:
        _forgettable(error)
        return None


def _forgettable(error: StateError) -> None:
    """Refuses to do without what a file says where nothing else tells of processes."""
    if isinstance(error, NewerStateError):
        raise error
    if not services.is_told():
        cure = (
            "end the processes that it names by `kill`, delete it, and run the same command again"
        )
        raise StateError(error.message, cure) from error


def one(place: Place, name: str) -> Iterator[Ended]:
    """Ends one deployment that gets no traffic, or what a crash left alone, by its process id.

    Raises:
        SpecError: There is none of this name.
        StateError: It gets traffic.
    """
    state = services.read(place.file) if place.kind == "service" else None
    strays = {str(each.pid): each for each in addresses.left(place, state)} if state else {}
    if name in strays:
        yield from _stray(place, strays[name])
        return
    known = state.deployments if state else {}
    if state is None or name not in known:
        listed = f" (known: {', '.join([*known, *strays])})" if known or strays else ""
        what = f"no such deployment at {place}{suggest(name, known)}{listed}"
        raise SpecError([Problem(COMMAND_LINE, name, what)])
    _refuse_if_asked(place, state, name)
    kept = {
        part: {key: value for key, value in getattr(state, part).items() if key != name}
        for part in ("deployments", "traffic", "mirror")
    }
    services.write(place.file, state.model_copy(update=kept))
    still = partial(services.serves, known[name])
    yield from _ended(place, name, known[name].pid, still, _SECONDS)


def _refuse_if_asked(place: Place, state: State, name: str) -> None:
    """What is asked by anybody is left alone."""
    for kind in ("traffic", "mirror"):
        share = getattr(state, kind).get(name, 0)
        if share:
            message = f"{name} at {place} has {share} % of the requests, by target.{kind}"
            cure = f"run with another target.{kind} first, or end the whole address: {COMMAND}"
            raise StateError(message, f"{cure} {place.port}")
