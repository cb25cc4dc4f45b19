"""`reproduce`: a recorded run's data, training and evaluation once more, compared with the record.

Nothing is written but a folder below `runs/`: no finished step, no registry, no target.
"""

from __future__ import annotations

import json
import shutil
import time
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mlops_spec import actions, attempt, bundle, files, manifest, recorded, surroundings
from mlops_spec import card as cards
from mlops_spec.compose import Composition
from mlops_spec.errors import DifferentError, ExitCode, MlopsError, Problem, SpecError
from mlops_spec.likeness import Likeness, after_lines, before_lines, compared
from mlops_spec.log import Log
from mlops_spec.origins import COMMAND_LINE
from mlops_spec.plain import choose
from mlops_spec.run import CARD, METRICS, Result, clear
from mlops_spec.view import echo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlops_spec.actions import Outcome
    from mlops_spec.attempt import Attempt
    from mlops_spec.likeness import Difference
    from mlops_spec.plan import Planned
    from mlops_spec.recorded import Recorded
    from mlops_spec.run import View
    from mlops_spec.view import Style

_NO_OVERRIDES = Composition({}, {}, {}, (), ())  # the record says it all
_OTHER_IMAGES = "another data set is another question: train on it with `run`"


def run(words: Sequence[str], style: Style) -> ExitCode:
    """Trains a recorded run again and says how alike both are.

    Args:
        words: The run.
        style: How to print.

    Raises:
        SpecError: No run is named, there is no such, or its spec is not understood any more.
        StateError: Its record is damaged.
        DifferentError: It can not be reproduced: images or weights are not what they were.
    """
    if len(words) != 1:
        what = f"reproduce takes one run: python -m mlops_spec reproduce RUN ({recorded.last()})"
        raise SpecError([Problem(COMMAND_LINE, "", what)])
    then = recorded.read(recorded.find(words[0]))
    spec = surroundings.spec_of(then)
    now = surroundings.read(then, spec)
    found = tuple(surroundings.compare(then, spec, now))
    _say_before(then, found, style)
    with attempt.begun(then, spec, now) as again:
        view = choose(style)
        done = _perform_all(again, view, found)
        if not done:
            view.closed(ExitCode.STEP_FAILED, again.folder)
            return ExitCode.STEP_FAILED
        return _conclude(again, spec.evaluation.reproduce_tolerance, found, style)


def _say_before(then: Recorded, found: Sequence[Difference], style: Style) -> None:
    if style.json:
        rows = [vars(difference) for difference in found]
        _event("differences", {"reproduces": then.folder.name, "differences": rows})
    elif not style.quiet:
        echo(style.paint(f"{then.folder}, seed {then.spec['seed']}, once more", "bold"))
        if then.results["train"].status == "reused":
            echo("it took its training from an earlier run, whose machine may have been another")
        for line in before_lines(found, style):
            echo(line)


def _event(name: str, document: dict[str, Any]) -> None:
    echo(json.dumps({"event": name, **document}, ensure_ascii=False))


def _perform_all(again: Attempt, view: View, found: Sequence[Difference]) -> bool:
    """Performs the plan, in order, up to the first step that fails.

    Raises:
        DifferentError: The data set that was prepared is another one.
    """
    with ExitStack() as stack:
        log = stack.enter_context(Log.open(again.folder))
        for difference in found:
            log.line("reproduce", f"different from then: {difference.text}")
        stack.callback(view.stop)
        view.planned(again.todo, _NO_OVERRIDES)
        for planned in again.todo.steps:
            result = _result(planned, again, view, log)
            view.ended(result)
            log.result(result)
            if result.status == "failed":
                return False
            if planned.step.id == "data":
                _check_images(again)
    return True


def _check_images(again: Attempt) -> None:
    found, then = manifest.read(again.outputs("data")).digest, again.then
    if found != then.card.data_digest:
        what = again.now.changes or "the same files became another data set"
        message = f"{then.folder} can not be reproduced: the images are not those of then ({what})"
        raise DifferentError(message, _OTHER_IMAGES)


def _result(planned: Planned, again: Attempt, view: View, log: Log) -> Result:
    """Performs a step, unless it is done; what becomes of it is a result."""
    step, start = planned.step, time.perf_counter()
    if planned.status == "reuse":
        return Result(step.id, planned.key, "reused", planned.why)

    def emit(line: str) -> None:
        view.line(step.id, line)
        log.line(step.id, line)

    view.started(planned)
    try:
        outcome = _act(planned, again, emit)
    except KeyboardInterrupt:
        interrupted = Result(step.id, planned.key, "interrupted")
        view.ended(interrupted)
        log.result(interrupted)
        raise
    except BrokenPipeError:  # nobody listens to us any more
        raise
    except Exception as error:  # noqa: BLE001 - whatever happens to a step is its result
        seconds = round(time.perf_counter() - start, 3)
        if not isinstance(error, MlopsError):
            log.line(step.id, traceback.format_exc())
        return Result(step.id, planned.key, "failed", seconds=seconds, error=clear(error))
    seconds = round(time.perf_counter() - start, 3)
    return Result(step.id, planned.key, "done", outcome.text, outcome.metrics, seconds)


def _act(planned: Planned, again: Attempt, emit: Callable[[str], None]) -> Outcome:
    step, folder = planned.step, again.folder / planned.step.id
    files.write_json(folder / "spec.json", step.payload["spec"])
    inputs = {need: again.outputs(need) for need in step.needs}
    return actions.find(step.action)(step, actions.Context(folder, inputs, emit, planned.key))


def _conclude(
    again: Attempt, tolerance: float, found: tuple[Difference, ...], style: Style
) -> ExitCode:
    """Compares, records and says what came of both trainings."""
    for step_id, name in (("train", CARD), ("evaluate", METRICS)):
        shutil.copyfile(again.outputs(step_id) / name, again.folder / name)
    then, card = again.then, cards.read(again.folder / CARD)
    now = files.read_json(again.folder / METRICS)["metrics"]
    alike = Likeness(
        reproduces=then.folder.name,
        tolerance=tolerance,
        digests={n: (then.card.digests.get(n, ""), card.digests[n]) for n in bundle.FILES},
        metrics=compared(then.metrics, now, tolerance),
        differences=found,
    )
    with Log.open(again.folder) as log:
        log.line("reproduce", alike.sentence)
    files.write_json(again.folder / attempt.OUTCOME, alike.document())
    code = ExitCode.DONE if alike.within else ExitCode.DIFFERENT
    if style.json:
        _event("reproduction", alike.document())
        _event("closed", {"exit_code": int(code), "run_dir": str(again.folder)})
    elif not (style.quiet and alike.within):
        for line in after_lines(alike, style):
            echo(line)
        echo(f"recorded in {again.folder}")
    return code
