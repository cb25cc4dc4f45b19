"""Views of a run for logs and machines, and the choice among all of them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops_spec.view import (
    MARKS,
    Style,
    closing_lines,
    duration,
    echo,
    plan_lines,
    said,
    settings_lines,
    unread_lines,
)

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.compose import Composition
    from mlops_spec.errors import ExitCode
    from mlops_spec.plan import Plan, Planned
    from mlops_spec.run import Result, View


def choose(style: Style, member: str = "") -> View:
    """The view that fits the style; `member` is what sets a member of a sweep apart."""
    if style.json:
        return JsonView(member)
    if style.live:
        from mlops_spec.live import LiveView

        return LiveView(style)
    return PlainView(style)


class PlainView:
    """Lines, for a log file or a terminal without a cursor."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self._planned: tuple[Plan, Composition] | None = None

    def planned(self, plan: Plan, composition: Composition) -> None:
        """Prints the settings and the plan."""
        self._planned = plan, composition
        if self.style.quiet:
            return
        for line in (*settings_lines(composition, self.style), *plan_lines(plan, self.style)):
            echo(line)

    def started(self, planned: Planned) -> None:
        """Prints that a step has begun."""
        if not self.style.quiet:
            echo(f"{planned.step.id}: started")
        if self.style.verbose:
            echo(json.dumps(planned.step.payload, indent=2))

    def line(self, step_id: str, text: str) -> None:
        """Prints a line of a step."""
        if not self.style.quiet:
            echo(f"{step_id}: {text}")

    def ended(self, result: Result) -> None:
        """Prints what became of a step."""
        if result.status == "failed":
            echo(self.style.paint(f"{result.id}: failed: {result.error}", "red"), sys.stderr)
        elif result.status == "refused" or not (self.style.quiet or result.status == "reused"):
            time_taken = f" in {duration(result.seconds)}" if result.seconds else ""
            text = f"{result.id}: {result.status}{time_taken}: {said(result)}".rstrip(": ")
            echo(self.style.paint(text, MARKS[result.status][1]))
        assert self._planned
        for line in unread_lines(result, self._planned[1]):
            echo(self.style.paint(line, "yellow"), sys.stderr)

    def closed(self, code: ExitCode, run_dir: Path | None) -> None:
        """Prints the end of a run and what to try next."""
        assert self._planned
        plan, composition = self._planned
        for line in closing_lines(code, plan, composition.overrides, run_dir):
            if not self.style.quiet:
                echo(line)

    def stop(self) -> None:
        """Lines need no end."""


class JsonView:
    """One JSON document a line, for machines."""

    def __init__(self, member: str = "") -> None:
        self._shared = {"member": member} if member else {}

    def planned(self, plan: Plan, _composition: Composition) -> None:
        """Writes the plan."""
        self._event("plan", plan.document())

    def started(self, planned: Planned) -> None:
        """Writes that a step has begun."""
        self._event("started", {"id": planned.step.id, "key": planned.key})

    def line(self, step_id: str, text: str) -> None:
        """Writes a line of a step."""
        self._event("line", {"id": step_id, "text": text})

    def ended(self, result: Result) -> None:
        """Writes a result."""
        self._event("result", asdict(result))

    def closed(self, code: ExitCode, run_dir: Path | None) -> None:
        """Writes the exit code and where the record is."""
        where = str(run_dir) if run_dir else None
        self._event("closed", {"exit_code": int(code), "run_dir": where})

    def stop(self) -> None:
        """Lines need no end."""

    def _event(self, name: str, document: dict[str, Any]) -> None:
        event = {"event": name, **self._shared, **document}
        echo(json.dumps(event, ensure_ascii=False))
