"""`-m`: every member of a sweep is composed and validated before the first one runs."""

from __future__ import annotations

import json
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlops_spec import run, secrets
from mlops_spec.errors import ExitCode, MlopsError, Problem, SpecError, worst
from mlops_spec.plain import choose
from mlops_spec.validate import parse, to_run
from mlops_spec.view import Row, duration, echo, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlops_spec.compose import Composer, Composition
    from mlops_spec.plan import Plan, Planned
    from mlops_spec.run import Result, View
    from mlops_spec.spec import Spec
    from mlops_spec.view import Style

_PROGRESS_SECONDS = 1.0  # between two progress lines while composing


@dataclass(frozen=True)
class Member:
    """One valid member of a sweep; its label says what sets it apart."""

    label: str
    composition: Composition
    spec: Spec


@dataclass
class MemberView:
    """Keeps a member's row up to date and passes everything on to the view behind it."""

    row: Row
    behind: View | None
    for_machines: bool = False

    def planned(self, plan: Plan, composition: Composition) -> None:
        """The member has a plan."""
        if self.behind:
            self.behind.planned(plan, composition)

    def started(self, planned: Planned) -> None:
        """The member is at this step."""
        self.row.state = planned.step.id
        if self.behind:
            self.behind.started(planned)

    def line(self, step_id: str, text: str) -> None:
        """The step said something."""
        self.row.text = text
        if self.behind:
            self.behind.line(step_id, text)

    def ended(self, result: Result) -> None:
        """The step is over."""
        self.row.metrics.update(result.metrics if result.id == "evaluate" else {})
        if result.status in ("done", "failed", "refused"):
            self.row.text = (result.error.splitlines() or [result.text])[0]
        if self.behind:
            self.behind.ended(result)

    def closed(self, code: ExitCode, run_dir: Path | None) -> None:
        """The member is over; for people the sweep's own table says the rest."""
        if self.behind and self.for_machines:
            self.behind.closed(code, run_dir)

    def stop(self) -> None:
        """The sweep's table goes on."""


def execute(composer: Composer, overrides: Sequence[str], style: Style) -> ExitCode:
    """Runs a sweep; the exit code of its worst member.

    Raises:
        SpecError: A member is invalid; nothing was started.
    """
    members = validated(composer, overrides, style)
    rows = [Row(member.label) for member in members]
    if not (style.quiet or style.json):
        echo(f"sweep of {len(rows)} members, all valid")
    try:
        with _watch(rows, style):
            for number, (member, row) in enumerate(zip(members, rows, strict=True), 1):
                if not (style.live or style.json or style.quiet):
                    echo(f"--- member {number}/{len(rows)}: {row.label}")
                _run(row, member, style)
    except KeyboardInterrupt:
        for row in rows:
            if row.exit_code is None and row.state != "waiting":
                row.state = "interrupted"
        _final(rows, style)
        raise
    _final(rows, style)
    return worst(row.exit_code for row in rows if row.exit_code is not None)


def validated(composer: Composer, overrides: Sequence[str], style: Style) -> list[Member]:
    """Every member of a sweep composed and validated, with progress where it takes long.

    Raises:
        SpecError: Some are invalid; each problem once, with the members that have it.
    """
    expanded = list(composer.members(overrides))
    members: list[Member] = []
    problems: dict[Problem, list[str]] = {}
    told = time.monotonic()
    for number, (words, label) in enumerate(zip(expanded, _labels(expanded), strict=True), 1):
        try:
            composition = composer.compose(words)
            spec = parse(composition.values, composition.origins, composition.problems)
            members.append(Member(label, composition, to_run(spec, composition.origins)))
        except SpecError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(label)
        if not style.quiet and time.monotonic() - told > _PROGRESS_SECONDS:
            told = time.monotonic()
            echo(f"checked {number} of {len(expanded)} members", sys.stderr)
    if problems:
        raise SpecError(list(_blamed(problems, len(expanded))))
    return members


def _blamed(problems: dict[Problem, list[str]], total: int) -> Iterator[Problem]:
    """Each problem once, with the members that have it unless all do."""
    for problem, labels in problems.items():
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        who = "" if len(labels) == total else f" (member {labels[0]}{more})"
        yield Problem(problem.where, problem.key, problem.message + who)


def _labels(members: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """What sets each member apart: the overrides that are not the same for all."""
    varying = [i for i in range(len(members[0])) if len({member[i] for member in members}) > 1]
    for member in members:
        yield " ".join(_shown(member[i]) for i in varying) or "(the only one)"


def _shown(override: str) -> str:
    """An override without its value where that is a secret by its name."""
    key = override.partition("=")[0]
    return f"{key}=***" if secrets.is_named(key) else override


def _run(row: Row, member: Member, style: Style) -> None:
    """Runs one member; whatever happens to it, the others get their turn."""
    start = time.monotonic()
    view = MemberView(row, None if style.live else choose(style, row.label), style.json)
    try:
        row.exit_code = run.execute(member.composition, member.spec, view)
    except MlopsError as error:
        row.exit_code, row.text = error.exit_code, error.message
    except Exception as error:  # noqa: BLE001 - one crash must not lose the rest of a sweep
        row.exit_code, row.text = ExitCode.UNEXPECTED, f"{type(error).__name__}: {error}"
        echo(traceback.format_exc(), sys.stderr)
    row.seconds = time.monotonic() - start
    row.state = row.exit_code.name.lower().replace("_", " ")


def _watch(rows: list[Row], style: Style) -> AbstractContextManager[object]:
    if not style.live:
        return nullcontext()
    from mlops_spec.live import watch_sweep

    return watch_sweep(rows)


def _final(rows: Sequence[Row], style: Style) -> None:
    """The last word: a line a member."""
    if style.json:
        echo(json.dumps({"event": "sweep", "members": [asdict(row) for row in rows]}))
        return
    width = max(len(row.label) for row in rows)
    echo(style.paint(f"{'member':<{width}}  {'outcome':<11}  {'time':>8}  result", "bold"))
    for row in rows:
        main = numbers(dict(list(row.metrics.items())[:1]))
        result = f"{main:<16}  {row.text if row.exit_code else ''}".rstrip()
        line = f"{row.label:<{width}}  {row.state:<11}  {duration(row.seconds):>8}  {result}"
        color = {None: "dim", ExitCode.DONE: "green", ExitCode.REFUSED: "yellow"}
        echo(style.paint(line, color.get(row.exit_code, "red")))
