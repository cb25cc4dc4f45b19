"""One attempt at training a recorded run again: its folder, and what is left to do in it.

runs/<utc>-reproduces-<run>/   spec.json facts.json plan.json results.jsonl run.log, as of any run
  data/ train/ evaluate/       each spec.json log.txt out/; no data/ where it is prepared already
  model.json metrics.json      what came of it
  reproduction.json            how alike both are; until it is there, the same command continues
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from mlops_spec import files, recorded, store, surroundings
from mlops_spec.errors import StateError
from mlops_spec.plan import Plan, Planned
from mlops_spec.run import RUNS, new_folder
from mlops_spec.steps import code_of, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_spec.facts import Facts
    from mlops_spec.recorded import Recorded
    from mlops_spec.spec import Spec
    from mlops_spec.steps import Step

OUTCOME = "reproduction.json"


@dataclass(frozen=True)
class Attempt:
    """A training that is done again.

    Attributes:
        then: The run that it repeats.
        folder: Where it works and leaves its record.
        now: The world that it is done in.
        todo: What is left to do.
    """

    then: Recorded
    folder: Path
    now: Facts
    todo: Plan

    def outputs(self, step_id: str) -> Path:
        """The outputs of a step: its own, or those of a finished one that is only read."""
        key = next(planned.key for planned in self.todo.steps if planned.step.id == step_id)
        return store.outputs(key) if self.now.finished[key] else self.folder / step_id / "out"


@contextmanager
def begun(then: Recorded, spec: Spec, now: Facts) -> Iterator[Attempt]:
    """An interrupted attempt in the same world, or a new one; nobody else works at it meanwhile."""
    with ExitStack() as stack:
        folder = next((one for one in _unfinished(then, now) if _held(one, stack)), None)
        if folder is None:
            folder = new_folder(f"{recorded.REPRODUCES}{then.folder.name}")
            stack.enter_context(FileLock(folder / ".lock"))
            files.write_json(folder / "spec.json", then.spec)
            files.write_json(folder / "facts.json", now.document())
        todo = _plan(then, spec, now, folder)
        about = {"reproduces": then.folder.name, "overrides": []}
        files.write_json(folder / "plan.json", {**about, **todo.document()})
        yield Attempt(then, folder, now, todo)


def _held(folder: Path, stack: ExitStack) -> bool:
    """Whether nobody else is at an attempt, who could have finished it before it was ours."""
    try:
        stack.enter_context(FileLock(folder / ".lock", timeout=0))
    except Timeout:
        return False
    return not (folder / OUTCOME).exists()


def _unfinished(then: Recorded, now: Facts) -> Iterator[Path]:
    """Attempts at the same run in the same world that have no outcome, the last one first."""
    world = files.sha256_of(files.versioned(now.document()))
    for name in reversed(recorded.names()):
        folder = RUNS / name
        if not recorded.repeats(name) or (folder / OUTCOME).exists():
            continue
        try:
            about = files.read_json(folder / "plan.json").get("reproduces")
            found = files.sha256_of(files.read_json(folder / "facts.json"))
            recorded.results(folder)
        except (StateError, FileNotFoundError):
            continue  # it does not get in the way of a new one
        if (about, found) == (then.folder.name, world):
            yield folder


def _plan(then: Recorded, spec: Spec, now: Facts, folder: Path) -> Plan:
    """All steps, but for what this attempt did before; prepared data is read where it is intact.

    Their keys are the attempt's own, so that nothing takes them for the finished steps of a run.
    """
    steps = surroundings.requests(spec, now)
    shared = keys_of(steps, now)
    keys = {step_id: files.sha256_of([key, folder.name]) for step_id, key in shared.items()}
    data = now.finished[shared["data"]]
    done = dict.fromkeys(_done(folder), "it was done before the interruption")
    if data and not data.damage:
        keys["data"], done["data"] = shared["data"], data.text
    return Plan(
        f"reproduce {then.folder.name}",
        tuple(_planned(step, keys, done, then, now) for step in steps),
    )


def _planned(
    step: Step, keys: dict[str, str], done: dict[str, str], then: Recorded, now: Facts
) -> Planned:
    made = Planned(
        step=step,
        key=keys[step.id],
        status="run",
        why="to compare what comes of it",
        code=code_of(step, now),
        needs={need: keys[need] for need in step.needs},
        beside={},
        seconds=then.results[step.id].seconds or None,
    )
    return replace(made, status="reuse", why=done[step.id]) if step.id in done else made


def _done(folder: Path) -> list[str]:
    """The steps that an attempt has finished itself."""
    if not (folder / "results.jsonl").exists():
        return []
    rows = recorded.results(folder).values()
    fine = (row.id for row in rows if row.status in ("done", "reused"))
    return [step_id for step_id in fine if (folder / step_id / "out").exists()]
