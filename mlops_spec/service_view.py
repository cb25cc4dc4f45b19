"""What a person sees of services and pages: lines."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mlops_spec.model_view import table
from mlops_spec.redaction import harmless
from mlops_spec.stopping import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from mlops_spec.addresses import Address, Process, Served
    from mlops_spec.stopping import Ended
    from mlops_spec.view import Style

NOTHING = "nothing was started from this folder"
_LINES = 20  # of a log
_START = "`python -m mlops_spec +experiment=NAME target=local frontend=flask` serves a model"


def addresses(found: Sequence[Address], style: Style) -> Iterator[str]:
    """All addresses, each with what is there."""
    if not found:
        yield f"{NOTHING}; {_START}"
    for one in found:
        yield from _address(one, style)


def _address(one: Address, style: Style) -> Iterator[str]:
    place, process = one.place, one.process
    what = "router" if place.kind == "service" else "page"
    how = f", process {process.pid}, log {harmless(process.log)}" if process.pid else ""
    yield style.paint(f"http://{place}  {what} {_how(process)}{how}", "bold")
    if one.stranger:
        yield style.paint("  another program listens there", "red")
    if one.damage:
        yield style.paint(f"  {harmless(one.damage)}", "red")
        yield f"  {COMMAND} {place.port}    # ends what is there and forgets it"
    if one.deployments:
        head = ("deployment", "model", "traffic", "mirror", "state", "process", "log")
        first, *rest = table([head, *map(_row, one.deployments)], "--rr-r-")
        yield style.paint(f"  {first}", "dim")
        yield from (f"  {line}" for line in rest)
    for stray in one.left:
        yield style.paint(f"  left alone by a run: {harmless(stray.name)}", "yellow")
        yield f"  {COMMAND} {place.port} {stray.pid}    # ends it"


def _row(one: Served) -> tuple[str, ...]:
    return (
        harmless(one.name),
        harmless(f"{one.model}/{one.version}"),
        f"{one.traffic} %",
        f"{one.mirror} %",
        _how(one.process),
        str(one.process.pid or "-"),
        harmless(one.process.log),
    )


def _how(process: Process) -> str:
    if process.answers:
        return "answers"
    return "does not answer" if process.pid else "has ended"


def ended(found: Iterable[Ended]) -> Iterator[str]:
    """What was ended, a line a process."""
    for one in found:
        how = "killed, since it did not end by itself" if one.killed else "ended"
        yield f"{one.address}: {harmless(one.what)} {how} (process {one.pid})"


def last(log: Path) -> list[str]:
    """The last lines of a log.

    Raises:
        OSError: It can not be read.
    """
    with log.open(encoding="utf-8", errors="replace", newline="\n") as lines:
        return [line.rstrip("\n") for line in deque(lines, _LINES)]


def log(name: str, path: Path, lines: Sequence[str], style: Style) -> Iterator[str]:
    """A log: whose it is, where, and its end."""
    yield style.paint(f"{harmless(name)}: {harmless(str(path))}", "bold")
    yield from (f"  {harmless(line)}" for line in lines or ["(nothing yet)"])
