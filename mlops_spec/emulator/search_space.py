"""What a sweep tries: combinations of its search space, by grid or at random."""

from __future__ import annotations

import itertools
import math
import random
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator.routing import ServiceError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_GRID = "Grid"
_METHODS = (_GRID, "Random", "Bayesian")  # the last one is drawn at random too
_DRAWS: dict[str, Callable[[random.Random, Sequence[Any]], Any]] = {
    "choice": lambda source, given: source.choice(given[0]),
    "uniform": lambda source, given: source.uniform(*given),
    "loguniform": lambda source, given: math.exp(source.uniform(*given)),
    "quniform": lambda source, given: round(source.uniform(*given[:2]) / given[2]) * given[2],
    "randint": lambda source, given: source.randrange(int(given[0])),
    "normal": lambda source, given: source.gauss(*given),
}


def check(properties: dict[str, Any]) -> None:
    """Refuses a sweep that can not be run here.

    Raises:
        ServiceError: Its method or a distribution is not known, or does not go with a grid.
    """
    method = _method(properties)
    if method not in _METHODS:
        raise ServiceError(400, "NotEmulated", f"The emulator does not sample by {method}.")
    space = properties.get("searchSpace") or {}
    if not space:
        raise invalid("The search space is empty.")
    for name, spec in space.items():
        kind = spec[0] if isinstance(spec, list) and spec else spec
        if kind not in _DRAWS:
            raise ServiceError(400, "NotEmulated", f"The emulator does not draw {name} by {kind}.")
        if method == _GRID and kind != "choice":
            raise invalid(f"Grid sampling takes choices only; {name} is {kind}.")


def trials(properties: dict[str, Any]) -> list[dict[str, Any]]:
    """The combinations that a sweep tries, as many as its limits allow."""
    space = properties["searchSpace"]
    limits = properties.get("limits") or {}
    most = limits.get("maxTotalTrials") or 1000
    if _method(properties) == _GRID:
        values = itertools.product(*(spec[1][0] for spec in space.values()))
        found: Iterator[dict[str, Any]] = (dict(zip(space, row, strict=True)) for row in values)
    else:
        found = _drawn(space, (properties.get("samplingAlgorithm") or {}).get("seed"))
    return [*itertools.islice(found, most)]


def _drawn(space: dict[str, Any], seed: int | None) -> Iterator[dict[str, Any]]:
    source = random.Random(seed)  # noqa: S311 - it draws hyperparameters
    known: list[dict[str, Any]] = []
    for _ in range(10_000):  # small spaces of choices are used up
        row = {name: _DRAWS[kind](source, given) for name, (kind, given) in space.items()}
        if row not in known:
            known.append(row)
            yield row


def _method(properties: dict[str, Any]) -> str:
    found = (properties.get("samplingAlgorithm") or {}).get("samplingAlgorithmType")
    return str(found or "").capitalize()
