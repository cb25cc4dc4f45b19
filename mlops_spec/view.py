"""What a person or a machine sees of plans and runs: a live table, plain lines, or JSON lines."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from mlops_spec import azure_sizes
from mlops_spec.errors import ExitCode
from mlops_spec.origins import where_is

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

    from mlops_spec.compose import Composition
    from mlops_spec.plan import Plan, Planned
    from mlops_spec.run import Result

MARKS = {
    "run": ("●", "yellow"),
    "reuse": ("=", "dim"),
    "skip": ("-", "dim"),
    "running": ("▶", "cyan"),
    "done": ("✓", "green"),
    "reused": ("=", "dim"),
    "refused": ("✗", "yellow"),
    "failed": ("✗", "red"),
    "skipped": ("-", "dim"),
    "submitted": ("→", "cyan"),
    "interrupted": ("✗", "yellow"),
}


@dataclass(frozen=True)
class Style:
    """How to talk: chosen by flags, the environment and whether anybody looks."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: bool = True

    @property
    def live(self) -> bool:
        """Whether a live table makes sense: a real terminal and a person who wants to see."""
        dumb = os.environ.get("TERM", "") in ("dumb", "")
        return not (self.json or self.quiet or self.verbose or dumb) and sys.stdout.isatty()

    def paint(self, text: str, name: str) -> str:
        """Text in a colour, where colours are shown."""
        codes = {"dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1"}
        plain = os.environ.get("TERM", "") == "dumb" or bool(os.environ.get("NO_COLOR"))
        shown = self.color and not plain and sys.stdout.isatty()
        return f"\033[{codes[name]}m{text}\033[0m" if shown else text


@dataclass
class Row:
    """One member of a sweep as its table shows it."""

    label: str
    state: str = "waiting"
    text: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    exit_code: ExitCode | None = None


def numbers(metrics: dict[str, float]) -> str:
    """Metrics in one line."""
    return ", ".join(
        f"{name} {value:.0f}" if value.is_integer() else f"{name} {value:.4f}"
        for name, value in metrics.items()
    )


def said(result: Result) -> str:
    """What to show of a step that is over."""
    main = dict(list(result.metrics.items())[:2])
    return ", ".join(filter(None, (result.text, numbers(main))))


def duration(seconds: float | None) -> str:
    """Seconds for people; empty when unknown."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"  # noqa: PLR2004


def plan_lines(plan: Plan, style: Style) -> Iterator[str]:
    """A plan as plain lines."""
    run, total = len(plan.to_run), len(plan.steps)
    estimate = f", about {duration(plan.seconds)}" if run and plan.seconds is not None else ""
    yield style.paint(f"{plan.experiment}: {run} of {total} steps to run{estimate}", "bold")
    if plan.costs:
        yield f"  {money(plan)}"
    width = max(len(planned.step.id) for planned in plan.steps)
    for planned in plan.steps:
        mark, color = MARKS[planned.status]
        text = f"  {mark} {planned.status:<5}  {planned.step.id:<{width}}  {planned.why}"
        yield style.paint(text, color)
        yield from (f"{'':<{width + 11}}{line}" for line in _about(planned))


def _about(planned: Planned) -> list[str]:
    """What the infrastructure lacks, in numbers and one by one; or that nobody knows."""
    terms = planned.step.terms
    if terms.get("unknown"):
        return [f"not compared: {terms['unknown']}"]
    changes: list[str] = terms.get("changes", [])
    return [terms["sum"], *changes] if changes else []


def money(plan: Plan) -> str:
    """What the jobs of a plan cost, in words."""
    if plan.usd_at_most is None:
        return "jobs: nobody knows what they cost; say so by compute.price_per_hour"
    known = f"about {plan.usd:.2f} USD, " if plan.usd is not None else ""
    return f"jobs: {known}{plan.usd_at_most:.2f} USD at most ({azure_sizes.source()})"


def settings_lines(composition: Composition, style: Style) -> Iterator[str]:
    """What this spec sets beyond the defaults: keys from the experiment and the command line."""
    for key, settings in composition.origins.items():
        last = settings[-1]
        if is_chosen(last.where) and not isinstance(last.value, dict):
            text = yaml_text(last.value)
            yield f"  {key} = {text}  " + style.paint(f"({last.where})", "dim")


def unread_lines(result: Result, composition: Composition) -> Iterator[str]:
    """A warning for each key that was set and that the step did not look at."""
    for key in result.unread:
        where = where_is(composition.origins, key)
        yield f"{result.id}: warning: nothing read {key} ({where})"


def is_chosen(where: str) -> bool:
    """Whether a value comes from an experiment or the command line, not from a default."""
    return where == "command line" or "experiment" in where.rpartition(":")[0].split("/")[-2:-1]


def yaml_text(value: object) -> str:
    """A value in one line, as it would be written in YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return str(text).replace("\n...", "").strip()


def closing_lines(
    code: ExitCode, plan: Plan, overrides: Sequence[str], run_dir: Path | None
) -> Iterator[str]:
    """How a run ended, where its record is, and what to try next."""
    if code is ExitCode.STEP_FAILED:
        yield "a step failed; mend it and run the same command again: it continues from there"
        return
    if code is ExitCode.REFUSED:
        yield "the gate said no; the champion stays"
    if run_dir is None:
        yield f"{plan.experiment}: nothing to do, all {len(plan.steps)} steps are up to date"
        return
    yield f"recorded in {run_dir}" + ("/report.html" if (run_dir / "report.html").exists() else "")
    words = " ".join(shlex.quote(w) for w in overrides if not w.startswith("seed="))
    yield "next:"
    yield f"  python -m mlops_spec plan {words} seed=1    # what a change runs again, and why"
    yield f"  python -m mlops_spec show {words}    # every value and the line that set it"
    yield f"  python -m mlops_spec -m {words} seed=1,2    # a sweep"


def echo(text: str, stream: TextIO | None = None) -> None:
    """Says a line, at once."""
    print(text, file=stream or sys.stdout, flush=True)
