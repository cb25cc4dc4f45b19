"""A run as its folder below `runs/` tells it: found by name, read, and nothing of it believed.

The record alone must do: finished steps (`.mlops/steps`) may be deleted, or hold another training.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from mlops_spec import card as cards
from mlops_spec import files
from mlops_spec.errors import MlopsError, Problem, SpecError, StateError, suggest
from mlops_spec.files import NewerStateError
from mlops_spec.origins import COMMAND_LINE
from mlops_spec.plan import Planned  # noqa: TC001 - pydantic needs it
from mlops_spec.pretrained import Pretrained  # noqa: TC001 - pydantic needs it
from mlops_spec.run import CARD, METRICS, RUNS, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.card import Card

T = TypeVar("T")

REPRODUCES = "reproduces-"  # in the name of a run, between its time and the run it repeats
NEEDED = ("data", "train", "evaluate")  # what is done again
_KEY = re.compile(r"[0-9a-f]{64}")  # of a step
_SHOWN = 5  # runs in a message


class RecordedFacts(BaseModel):
    """What of `facts.json` another training is compared with."""

    source: str
    weights: Pretrained | None
    tools: dict[str, str]
    machine: dict[str, str] = {}  # runs of before did not record it


class _Steps(BaseModel):
    steps: tuple[Planned, ...]


class _Judged(BaseModel):
    metrics: dict[str, float]


@dataclass(frozen=True)
class Recorded:
    """A run that trained and evaluated a model.

    Attributes:
        folder: Its record.
        spec: What was wanted, as it was written.
        facts: What the world was.
        planned: Step id -> what was decided.
        results: Step id -> what happened, the last time it did.
        card: Of the model that came of it.
        metrics: How the model was judged.
    """

    folder: Path
    spec: dict[str, Any]
    facts: RecordedFacts
    planned: dict[str, Planned]
    results: dict[str, Result]
    card: Card
    metrics: dict[str, float]


def names() -> list[str]:
    """All runs of this folder, the oldest first."""
    found = RUNS.iterdir() if RUNS.is_dir() else ()
    return sorted(path.name for path in found if path.is_dir())


def repeats(name: str) -> bool:
    """Whether a run repeats another one, by its name."""
    return name.partition("-")[2].startswith(REPRODUCES)


def _own(known: Sequence[str]) -> list[str]:
    """Runs that do not repeat another one."""
    return [name for name in known if not repeats(name)]


def last() -> str:
    """The last runs in words; those that repeat another one do not count."""
    own = _own(names())
    return f"the last: {', '.join(own[-_SHOWN:])}" if own else f"there is none in {RUNS} yet"


def find(word: str) -> Path:
    """The folder of a run.

    Args:
        word: The folder, its name, or the beginning of the name where no other begins so; runs
            that repeat another one only count where no other does.

    Raises:
        SpecError: There is no such run, or there are several.
    """
    path, known = Path(word), names()
    name = path.name if path.parent.resolve() == RUNS.resolve() else word
    begun = [one for one in known if name and one.startswith(name)]
    begun = [name] if name in known else _own(begun) or begun
    if len(begun) == 1:
        return RUNS / begun[0]
    if begun:
        more = f" and {len(begun) - _SHOWN} more" if len(begun) > _SHOWN else ""
        raise _wrong(word, f"{len(begun)} runs begin so: {', '.join(begun[:_SHOWN])}{more}")
    raise _wrong(word, f"no such run{suggest(name, _own(known))} ({last()})")


def _wrong(word: str, message: str) -> SpecError:
    return SpecError([Problem(COMMAND_LINE, word, message)])


def read(folder: Path) -> Recorded:
    """A run's record.

    Raises:
        StateError: It is damaged, of a newer version, or of a run that made no model.
    """
    steps = _document(folder / "plan.json", _Steps).steps
    rows = results(folder)
    _check_finished(folder, rows)
    planned = {one.step.id: one for one in steps}
    _check_planned(folder / "plan.json", planned)
    spec = _document(folder / "spec.json", dict[str, Any])
    del spec["schema_version"]
    return Recorded(
        folder=folder,
        spec=spec,
        facts=_document(folder / "facts.json", RecordedFacts),
        planned=planned,
        results=rows,
        card=_card(folder / CARD),
        metrics=_document(folder / METRICS, _Judged).metrics,
    )


def results(folder: Path) -> dict[str, Result]:
    """What happened to each step of a run, the last time it did.

    Raises:
        StateError: `results.jsonl` is damaged, or of a newer version.
    """
    path = folder / "results.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        documents = [json.loads(line) for line in lines]
        versions = [int(document["schema_version"]) for document in documents]
    except FileNotFoundError as error:
        raise _unusable(f"{path} is gone") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(f"{path} is damaged ({type(error).__name__}: {error})") from error
    if max(versions, default=0) > files.SCHEMA_VERSION:
        raise NewerStateError(path, max(versions))
    rows = [_checked(path, Result, document) for document in documents]
    return {row.id: row for row in rows}


def _check_finished(folder: Path, rows: dict[str, Result]) -> None:
    for step in NEEDED:
        status = rows[step].status if step in rows else "not reached"
        if status not in ("done", "reused"):
            message = f"{folder} made no model that was judged: its step {step} was {status}"
            raise StateError(message, f"choose another run ({last()})")


def _check_planned(path: Path, planned: dict[str, Planned]) -> None:
    """Refuses a plan that lacks a step, or whose keys, which name folders, are none."""
    for step in NEEDED:
        if step not in planned:
            raise _unusable(f"{path} is not what a run records: it has no step {step}")
    for step, one in planned.items():
        for key in (one.key, *one.needs.values(), *one.beside.values()):
            if not _KEY.fullmatch(key):
                what = f"a key of its step {step!a} is no sha256"
                raise _unusable(f"{path} is not what a run records: {what}")


def _document(path: Path, kind: type[T]) -> T:
    try:
        return _checked(path, kind, files.read_json(path))
    except NewerStateError:
        raise
    except FileNotFoundError as error:
        raise _unusable(f"{path} is gone") from error
    except StateError as error:
        raise _unusable(error.message) from error


def _card(path: Path) -> Card:
    try:
        return cards.read(path)
    except NewerStateError:
        raise
    except FileNotFoundError as error:
        raise _unusable(f"{path} is gone") from error
    except MlopsError as error:
        raise _unusable(error.message) from error


def _checked(path: Path, kind: type[T], document: object) -> T:
    try:
        return TypeAdapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _unusable(f"{path} is not what a run records: {where} {first['msg']}") from error


def _unusable(message: str) -> StateError:
    return StateError(message, f"restore it from a copy, or choose another run ({last()})")
