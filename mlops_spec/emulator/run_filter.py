"""Which runs a search means: MLflow's filters and orders, as far as clients use them.

`metrics.loss < 0.5 AND params."lr" = '0.1' AND tags.`kind` LIKE 'a%' AND status = 'FINISHED'`
"""

from __future__ import annotations

import fnmatch
import operator
import re
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator.routing import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_spec.emulator.tracking import Tracked

_FIELD = r"(?:(metrics?|params?|tags?|attributes?)\.)?(`[^`]+`|\"[^\"]+\"|[\w./-]+)"
_VALUE = r"('[^']*'|\"[^\"]*\"|[-+.\w]+)"
_CLAUSE = re.compile(rf"\s*{_FIELD}\s*(!=|>=|<=|=|>|<|LIKE|ILIKE)\s*{_VALUE}\s*", re.IGNORECASE)
_ORDER = re.compile(rf"\s*{_FIELD}(?:\s+(ASC|DESC))?\s*", re.IGNORECASE)
_AND = re.compile(r"\s+AND\s+(?=(?:[^']*'[^']*')*[^']*$)", re.IGNORECASE)


def _like(found: str, wanted: str) -> bool:
    pattern = re.sub(r"([*?\[])", r"[\1]", wanted).replace("%", "*").replace("_", "?")
    return fnmatch.fnmatchcase(found, pattern)


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "LIKE": _like,
    "ILIKE": lambda found, wanted: _like(found.lower(), wanted.lower()),
}


def predicate(text: str) -> Callable[[Tracked], bool]:
    """What a filter asks of a run; an empty one asks nothing.

    Raises:
        ServiceError: It is none that is known here.
    """
    clauses = [_clause(part) for part in _AND.split(text) if text.strip()]
    return lambda run: all(clause(run) for clause in clauses)


def ordered(runs: Sequence[Tracked], orders: Sequence[str]) -> list[Tracked]:
    """Runs as asked for, the newest first by default; those without a value are last.

    Raises:
        ServiceError: An order is none that is known here.
    """
    found = sorted(runs, key=lambda run: run.info["start_time"] or 0, reverse=True)
    for text in reversed(orders):
        match = _ORDER.fullmatch(text)
        if match is None:
            raise invalid(f"Not an order of runs that is emulated: {text}")
        group, name, way = match.groups()
        values = {run.name: _value(run, group, name) for run in found}
        known = [run for run in found if values[run.name] is not None]
        known.sort(key=lambda run: values[run.name], reverse=str(way).upper() == "DESC")
        found = [*known, *(run for run in found if values[run.name] is None)]
    return found


def _clause(text: str) -> Callable[[Tracked], bool]:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise invalid(f"Not a filter of runs that is emulated: {text}")
    group, name, comparison, written = match.groups()
    compare = _COMPARED[comparison.upper()]
    wanted: Any = written.strip("'\"")
    is_number = written[0] not in "'\""

    def holds(run: Tracked) -> bool:
        found = _value(run, group, name)
        if found is None:
            return False
        return compare(float(found), float(wanted)) if is_number else compare(str(found), wanted)

    return holds


def _value(run: Tracked, group: str | None, name: str) -> Any:
    name = name.strip('`"')
    kind = (group or "attribute").lower().rstrip("s")
    if kind == "metric":
        return next((float(p["value"]) for p in run.latest() if p["key"] == name), None)
    if kind == "param":
        return run.params.get(name)
    if kind == "tag":
        return run.tags.get(name)
    own = {"run_id": run.name, **run.info}
    return own.get({"Created": "start_time", "created": "start_time"}.get(name, name))
