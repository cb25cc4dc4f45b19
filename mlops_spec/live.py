"""A table of a run's steps that lives while they run, on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.live import Live
from rich.table import Table
from rich.text import Text

from mlops_spec.view import MARKS, closing_lines, duration, echo, said, settings_lines, unread_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_spec.compose import Composition
    from mlops_spec.errors import ExitCode
    from mlops_spec.plan import Plan, Planned
    from mlops_spec.run import Result
    from mlops_spec.view import Row, Style


class LiveView:
    """Step, state, where, time and what it says, refreshed in place."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self._rows: dict[str, tuple[str, str, str, str]] = {}  # id -> state, where, time, text
        self._running: tuple[str, float, str] | None = None  # id, start, last line
        self._live: Live | None = None
        self._remarks: list[str] = []
        self._planned: tuple[Plan, Composition] | None = None

    def planned(self, plan: Plan, composition: Composition) -> None:
        """Prints the settings and opens the table."""
        self._planned = plan, composition
        for line in settings_lines(composition, self.style):
            echo(line)
        for planned in plan.steps:
            where = planned.step.action.partition(".")[0]
            self._rows[planned.step.id] = (planned.status, where, "", planned.why)
        if plan.to_run:
            self._live = Live(get_renderable=self._table, refresh_per_second=8, transient=False)
            self._live.start()

    def started(self, planned: Planned) -> None:
        """Marks a step as running."""
        self._running = (planned.step.id, time.monotonic(), "")

    def line(self, step_id: str, text: str) -> None:
        """Shows a step's last line."""
        if self._running and self._running[0] == step_id:
            self._running = (*self._running[:2], text)

    def ended(self, result: Result) -> None:
        """Shows what became of a step."""
        self._running = None
        _, where, _, _ = self._rows[result.id]
        first, *more = result.error.splitlines() or [""]
        if more:
            self._remarks += [f"{result.id}: {first}", *more]
        assert self._planned
        self._remarks += unread_lines(result, self._planned[1])
        taken = duration(result.seconds) if result.seconds else ""
        self._rows[result.id] = (result.status, where, taken, first or said(result))

    def closed(self, code: ExitCode, run_dir: Path | None) -> None:
        """Says how it ended and what to try next."""
        assert self._planned
        plan, composition = self._planned
        for line in (*self._remarks, *closing_lines(code, plan, composition.overrides, run_dir)):
            echo(line)

    def stop(self) -> None:
        """Leaves the last table on the screen and gives the terminal back."""
        if self._live:
            self._live.stop()
            self._live = None

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("step", "", "where", "time", ""):
            table.add_column(name, style="dim" if name == "where" else "", no_wrap=name != "")
        rows = dict(self._rows)
        if self._running:
            step_id, start, line = self._running
            rows[step_id] = ("running", rows[step_id][1], duration(time.monotonic() - start), line)
        for step_id, (state, where, taken, text) in rows.items():
            mark, color = MARKS[state]
            table.add_row(step_id, Text(f"{mark} {state}", color), where, taken, Text(text))
        return table


def watch_sweep(rows: Sequence[Row]) -> Live:
    """A table of a sweep's members that follows `rows` while they change."""

    def table() -> Table:
        shown = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("member", "", "time", ""):
            shown.add_column(name, no_wrap=name != "")
        for row in rows:
            taken = duration(row.seconds) if row.seconds else ""
            shown.add_row(row.label, row.state, taken, Text(row.text))
        return shown

    return Live(get_renderable=table, refresh_per_second=4, transient=True)
