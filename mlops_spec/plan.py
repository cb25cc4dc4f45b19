"""From a spec and the facts to a plan: every step an exact request, marked run or reuse, and why.

`plan` is a pure function: no clock, no network, no randomness. What it returns is what is executed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from mlops_spec import azure_sizes, reasons, tracking
from mlops_spec.errors import Problem, SpecError, StateError
from mlops_spec.origins import where_is
from mlops_spec.road import steps
from mlops_spec.spec import leaves
from mlops_spec.steps import Step, code_of, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.facts import Facts, Record
    from mlops_spec.origins import Origins
    from mlops_spec.spec import Spec


@dataclass(frozen=True)
class Planned:
    """A step with its key and what is to happen to it."""

    step: Step
    key: str
    status: Literal["run", "reuse", "skip"]
    why: str
    code: dict[str, str]  # module -> digest
    needs: dict[str, str]  # id of a needed step -> its key
    beside: dict[str, str]  # the same of those that it takes along
    seconds: float | None  # how long it took the last time


@dataclass(frozen=True)
class Plan:
    """Everything that one command will do, in order."""

    experiment: str
    steps: tuple[Planned, ...]

    @property
    def to_run(self) -> list[Planned]:
        """The steps that will run."""
        return [planned for planned in self.steps if planned.status == "run"]

    @property
    def seconds(self) -> float | None:
        """Estimate of the whole, from the last time; None when a step never ran."""
        known = [planned.seconds for planned in self.to_run]
        return sum(s for s in known if s is not None) if None not in known else None

    @property
    def costs(self) -> bool:
        """Whether machines are lent for something that will run."""
        return any(planned.step.terms.get("costs") for planned in self.to_run)

    @property
    def usd(self) -> float | None:
        """What the jobs cost if they take as long as the last time; None when nobody knows."""
        found = [_usd(planned, planned.seconds) for planned in self.to_run]
        return sum(u for u in found if u is not None) if None not in found else None

    @property
    def usd_at_most(self) -> float | None:
        """What they cost if each takes all the time that it may; None without a price."""
        found = [_usd_at_most(planned) for planned in self.to_run]
        return sum(u for u in found if u is not None) if None not in found else None

    def document(self) -> dict[str, Any]:
        """The plan as JSON values."""
        money = {"usd": self.usd, "usd_at_most": self.usd_at_most} if self.costs else {}
        return {**asdict(self), "seconds": self.seconds, **money}


def _usd(planned: Planned, seconds: float | None) -> float | None:
    hourly = [cost["usd_an_hour"] for cost in planned.step.terms.get("costs", ())]
    if not hourly:
        return 0.0
    if seconds is None or None in hourly:
        return None
    return float(seconds / 3600 * sum(hourly) / len(hourly))  # jobs of a pipeline take turns


def _usd_at_most(planned: Planned) -> float | None:
    costs = planned.step.terms.get("costs", ())
    if any(cost["usd_an_hour"] is None for cost in costs):
        return None
    return float(sum(cost["usd_an_hour"] * cost["minutes"] / 60 for cost in costs))


def plan(spec: Spec, facts: Facts, origins: Origins | None = None) -> Plan:
    """Decides what must happen for the world to match the spec.

    Args:
        spec: What is wanted.
        facts: What the world is.
        origins: Where each key was written, to name the line that causes a step to run.

    Raises:
        StateError: A step has to run and can not.
        SpecError: Its jobs could cost more than the budget.
    """
    written = {key: where_is(origins, key) for key in origins} if origins else {}
    requests = [_told(step, written) for step in steps(spec, facts)]
    keys = keys_of(requests, facts)
    planned: dict[str, Planned] = {}
    for step in requests:
        draft = Planned(
            step=step,
            key=keys[step.id],
            status="run",
            why="",
            code=code_of(step, facts),
            needs={need: keys[need] for need in step.needs},
            beside={other: keys[other] for other in step.beside},
            seconds=_seconds(step, facts),
        )
        planned[step.id] = _decide(draft, planned, facts, origins or {})
        if planned[step.id].status == "run" and step.obstacle:
            raise StateError(*step.obstacle)
    todo = Plan(spec.name, tuple(planned.values()))
    _check_budget(todo, spec, origins or {})
    return todo


def _check_budget(todo: Plan, spec: Spec, origins: Origins) -> None:
    """Refuses jobs that together could cost more than a run may.

    Raises:
        SpecError: They could.
    """
    most, allowed = todo.usd_at_most, spec.budget.per_run
    if allowed is None or most is None or most <= allowed:
        return
    jobs = sum(len(planned.step.terms.get("costs", ())) for planned in todo.to_run)
    what = f"{allowed:g} USD is less than {jobs} jobs may cost, {most:.2f} USD"
    cure = "lower compute.max_minutes or compute.nodes, choose another size, or allow more"
    key = "budget.per_run"
    said = f"{what} ({azure_sizes.source()}); {cure}"
    raise SpecError([Problem(where_is(origins, key), key, said)])


def _told(step: Step, written: Mapping[str, str]) -> Step:
    """A report with where its settings were written, which is no reason to make it anew."""
    if step.action != "local.run" or "whole" not in step.payload.get("spec", {}):
        return step
    keys = (key for key, _ in leaves(step.payload["spec"]["whole"]))
    known = {key: written[key] for key in keys if key in written}
    return replace(step, variables={**step.variables, tracking.ORIGINS: json.dumps(known)})


def _seconds(step: Step, facts: Facts) -> float | None:
    """How long a step, or else the one it varies (`evaluate_champion`), took the last time."""
    for step_id in (step.id, step.id.partition("_")[0]):
        before = facts.latest.get(step_id)
        if before is not None and before.payload:
            return before.seconds
    return None


def _decide(
    draft: Planned, planned: Mapping[str, Planned], facts: Facts, origins: Origins
) -> Planned:
    """Marks a step run, reuse or skip, with the reason."""
    needs = [planned[need] for need in draft.step.needs]
    for need in needs:
        record = facts.finished.get(need.key)
        if need.status == "skip":
            return replace(draft, status="skip", why=need.why)
        if need.status == "reuse" and record and record.refused and not draft.step.anyway:
            return replace(draft, status="skip", why=f"{need.step.id} said no")
    running = [need.step.id for need in needs if need.status == "run"]
    record = facts.finished.get(draft.key)
    if record is None:
        return replace(draft, why=reasons.difference(draft, running, facts, origins))
    others = [need.step.id for need in needs if _differs(record, need, facts)]
    reason = (
        record.damage
        or draft.step.drift
        or (f"{running[0]} runs" if running else "")
        or (f"{others[0]} has other outputs now" if others else "")
    )
    if reason:
        return replace(draft, why=reason)
    main = [f"{k} {v:.4g}" for k, v in list(record.metrics.items())[:2]]
    return replace(draft, status="reuse", why=", ".join(filter(None, [record.text, *main])))


def _differs(record: Record, need: Planned, facts: Facts) -> bool:
    """Whether a needed step was performed again since, and made something else."""
    made = facts.finished.get(need.key)
    return made is not None and record.inputs.get(need.step.id, made.digest) != made.digest
