"""Making the world match a spec: read facts, plan, show the plan, apply it, record it all."""

from __future__ import annotations

import shutil
import time
import traceback
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mlops_spec import actions, facts, files, infra_step, secrets, signing, store
from mlops_spec.errors import (
    ExitCode,
    MlopsError,
    Problem,
    SpecError,
    from_os_error,
)
from mlops_spec.facts import Facts, Record
from mlops_spec.log import Log
from mlops_spec.origins import where_is
from mlops_spec.plan import Plan, Planned, plan
from mlops_spec.redaction import redact
from mlops_spec.view import is_chosen

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_spec.actions import Outcome
    from mlops_spec.compose import Composition
    from mlops_spec.origins import Origins
    from mlops_spec.spec import Spec

RUNS = Path("runs")
CARD, METRICS = "model.json", "metrics.json"  # of a run's model, in its record


@dataclass(frozen=True)
class Result:
    """What happened to a step.

    `status` is one of done, reused, refused, failed, skipped, submitted, interrupted; `seconds` is
    wall time; `unread` are keys that the experiment or the command line set and the step did not
    look at.
    """

    id: str
    key: str
    status: str
    text: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    unread: tuple[str, ...] = ()


class View(Protocol):
    """Whoever watches a run: a terminal, a log, a machine."""

    def planned(self, plan: Plan, composition: Composition) -> None:
        """The plan that is about to be applied."""

    def started(self, planned: Planned) -> None:
        """A step has begun."""

    def line(self, step_id: str, text: str) -> None:
        """A step said something."""

    def ended(self, result: Result) -> None:
        """A step is over, one way or another."""

    def closed(self, code: ExitCode, run_dir: Path | None) -> None:
        """The run is over."""

    def stop(self) -> None:
        """Nothing more will come, whatever happened."""


def read_facts(spec: Spec, *, ask: bool = True, compare: bool = False) -> Facts:
    """The facts for a spec from this folder's store.

    Args:
        spec: What is wanted.
        ask: Whether a workspace elsewhere is asked, and Terraform must tell what it would change.
        compare: Whether Terraform is asked, and may have no answer.
    """
    found = infra_step.look(spec, must=ask) if ask or compare else None
    fresh = found is not None and found.makes(infra_step.WORKSPACE)
    known = store.finished(), store.latest(spec.name), store.outputs
    now = replace(facts.read(spec, *known, ask=ask and not fresh), infra=found)
    return facts.without_workspace(now) if fresh else now


def execute(composition: Composition, spec: Spec, view: View) -> ExitCode:
    """Runs one spec from facts to results.

    Raises:
        StateError: Another run of the experiment is at work, or the disk is in the way.
        KeyboardInterrupt: Interrupted; what was finished is kept.
    """
    store.open_root()
    with store.only_run(spec.name):
        now = read_facts(spec)
        todo = plan(spec, now, composition.origins)
        _check_signing(todo, spec, composition.origins)
        run_dir = _open_run(todo, spec, now, composition) if todo.to_run else None
        with ExitStack() as stack:
            stack.callback(view.stop)
            log = stack.enter_context(Log.open(run_dir)) if run_dir else None
            view.planned(todo, composition)
            results = _apply(todo, now, view, log, composition.origins)
        if run_dir:
            _copy_pages(todo, results, run_dir)
        code = _exit_code(results)
        view.closed(code, run_dir)
        return code


def _check_signing(todo: Plan, spec: Spec, origins: Origins) -> None:
    """Refuses before any work what its last step would fail for.

    Raises:
        SpecError: The model is to be signed, and that can not be done here.
    """
    if not any(planned.step.id == "register" for planned in todo.to_run):
        return
    key, wrong = "lineage.sign_with", secrets.unset(spec.lineage.sign_with)
    what = f"the secret {wrong[0]} is not set: set it in the environment" if wrong else ""
    if spec.lineage.sign_with and not signing.is_installed():
        what = f"signatures need the package cryptography: {signing.INSTALL}"
    if what:
        raise SpecError([Problem(where_is(origins, key), key, what)])


def _open_run(todo: Plan, spec: Spec, now: Facts, composition: Composition) -> Path:
    recorded = spec.model_dump(mode="json")
    run_dir = new_folder(f"{spec.name}-{files.sha256_of(recorded)[:8]}")
    files.write_json(run_dir / "spec.json", recorded)
    files.write_json(run_dir / "facts.json", now.document())
    overrides = {"overrides": list(composition.overrides)}
    files.write_json(run_dir / "plan.json", {**overrides, **todo.document()})
    return run_dir


def new_folder(name: str) -> Path:
    """A folder of its own for a run's record, however many runs begin in one second."""
    base = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{name}"
    RUNS.mkdir(exist_ok=True)
    for number in range(1, 1000):
        run_dir = RUNS / (base if number == 1 else f"{base}-{number}")
        try:
            run_dir.mkdir()
        except FileExistsError:
            continue
        return run_dir
    message = f"too many runs in {RUNS} begin with {base}"
    raise MlopsError(message)


def _apply(todo: Plan, now: Facts, view: View, log: Log | None, origins: Origins) -> list[Result]:
    """Performs the plan that was shown, in order; a failure skips only what needs it."""
    results: dict[str, Result] = {}

    def note(result: Result) -> None:
        chosen = (key for key in result.unread if is_chosen(where_is(origins, key)))
        result = replace(result, unread=tuple(chosen))
        results[result.id] = result
        view.ended(result)
        if log:
            log.result(result)

    for planned in todo.steps:
        step = planned.step
        fine = ("done", "reused", "refused") if step.anyway else ("done", "reused")
        blocked = [need for need in (*step.needs, *step.beside) if results[need].status not in fine]
        if planned.status == "skip" or blocked:
            why = f"{blocked[0]} {results[blocked[0]].status}" if blocked else planned.why
            note(Result(step.id, planned.key, "skipped", why))
        elif planned.status == "reuse":
            record = now.finished[planned.key]
            assert record is not None
            note(_reuse(record, todo.experiment))
        else:
            try:
                note(_perform(planned, todo.experiment, now, view, log))
            except KeyboardInterrupt:
                note(Result(step.id, planned.key, "interrupted"))
                raise
    return list(results.values())


def _reuse(record: Record, experiment: str) -> Result:
    store.remember(record, experiment)
    status = "refused" if record.refused else "reused"
    return Result(record.id, record.key, status, record.text, record.metrics)


def _done_meanwhile(planned: Planned, now: Facts) -> Record | None:
    """The record of a step that another experiment finished since the facts were read."""
    seen, record = now.finished[planned.key], store.finished()[planned.key]
    unfinished = seen is None or seen.damage
    return record if unfinished and record and not record.damage else None


def _perform(planned: Planned, experiment: str, now: Facts, view: View, log: Log | None) -> Result:
    """Performs one step; what becomes of it is a result, except an interruption."""
    step, start = planned.step, time.perf_counter()

    def emit(line: str) -> None:
        line = redact(line)
        view.line(step.id, line)
        if log:
            log.line(step.id, line)

    view.started(planned)
    try:
        with store.only_step(planned.key):
            meanwhile = _done_meanwhile(planned, now)
            if meanwhile:
                return _reuse(meanwhile, experiment)
            outcome = _act(planned, emit)
            if outcome.elsewhere:
                return Result(step.id, planned.key, "submitted", outcome.text)
            watched = time.perf_counter() - start
            seconds = round(watched if outcome.seconds is None else outcome.seconds, 3)
            store.finish(_record(planned, outcome, seconds), experiment)
    except BrokenPipeError:  # nobody listens to us any more
        raise
    except Exception as error:  # noqa: BLE001 - whatever happens to a step is its result
        seconds = round(time.perf_counter() - start, 3)
        if not isinstance(error, MlopsError) and log:
            log.line(step.id, redact(traceback.format_exc()))
        return Result(step.id, planned.key, "failed", seconds=seconds, error=clear(error))
    status = "refused" if outcome.refused else "done"
    said = (outcome.text, outcome.metrics, seconds)
    return Result(step.id, planned.key, status, *said, unread=outcome.unread)


def clear(error: Exception) -> str:
    """An error in words for people, without secrets."""
    if isinstance(error, OSError):
        return redact(str(from_os_error(error) or error))
    known = isinstance(error, MlopsError)
    return redact(str(error) if known else f"{type(error).__name__}: {error}")


def _act(planned: Planned, emit: Callable[[str], None]) -> Outcome:
    folder = store.begin(planned)
    read = {**planned.needs, **planned.beside}
    inputs = {need: store.outputs(key) for need, key in read.items()}
    action = actions.find(planned.step.action)
    records = {need: store.finished()[key] for need, key in read.items()}
    seconds = {need: record.seconds for need, record in records.items() if record}
    context = actions.Context(folder, inputs, emit, planned.key, seconds, planned.needs)
    return action(planned.step, context)


def _record(planned: Planned, outcome: Outcome, seconds: float) -> Record:
    made = {need: store.finished()[key] for need, key in planned.needs.items()}
    return Record(
        id=planned.step.id,
        key=planned.key,
        action=planned.step.action,
        payload=planned.step.payload,
        needs=planned.needs,
        code=planned.code,
        text=outcome.text,
        metrics=outcome.metrics,
        refused=outcome.refused,
        seconds=seconds,
        inputs={need: record.digest for need, record in made.items() if record},
    )


def _copy_pages(todo: Plan, results: list[Result], run_dir: Path) -> None:
    """Puts beside the record what people look at, and what another training is compared with."""
    done = {result.id for result in results if result.status in ("done", "reused", "refused")}
    whole = [f"train/{CARD}", f"evaluate/{METRICS}", "promote/report/report.html"]
    pages = {
        "data": ["data.html"],
        "train": [CARD],
        "evaluate": [METRICS],
        "report": ["report.html"],
        "pipeline": [*whole, "promote/promotion.json"],
    }
    for planned in todo.steps:
        for name in pages.get(planned.step.id, ()) if planned.step.id in done else ():
            page = store.outputs(planned.key) / name
            if page.exists():
                shutil.copyfile(page, run_dir / page.name)


def _exit_code(results: list[Result]) -> ExitCode:
    statuses = {result.status for result in results}
    if "failed" in statuses:
        return ExitCode.STEP_FAILED
    return ExitCode.REFUSED if "refused" in statuses else ExitCode.DONE
