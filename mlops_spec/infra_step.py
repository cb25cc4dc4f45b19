"""The step under all others: the infrastructure that a spec stands on, by Terraform."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_spec import ground
from mlops_spec.infra_spec import TerraformInfra
from mlops_spec.render import terraform as documents
from mlops_spec.steps import Step
from mlops_spec.terraform import comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.facts import Facts, Infra
    from mlops_spec.spec import Spec

WORKSPACE = "azurerm_machine_learning_workspace.this"
_ID = "infra"
_GONE = ("-", "±")
_OUTPUT = "output."  # of Terraform: told, and neither made nor lost
_MOST = 5  # that a message names


def look(spec: Spec, *, must: bool) -> Infra | None:
    """What Terraform would change, where a spec asks for it.

    Raises:
        StateError: It must be known, and can not be.
    """
    return comparison.look(spec, must=must) if ground.is_by_terraform(spec) else None


def steps(spec: Spec, facts: Facts) -> tuple[Step, ...]:
    """The step, if there is one."""
    if not ground.is_by_terraform(spec):
        return ()
    assert isinstance(spec.infra, TerraformInfra)
    found = facts.infra
    changes = found.changes if found else ()
    payload = {
        "name": spec.name,
        "variables": documents.variables(spec),
        "code": found.code if found else "",
    }
    named = [(change[0], change[2:]) for change in changes]
    gone = [name for kind, name in named if kind in _GONE and not name.startswith(_OUTPUT)]
    meant = not gone or spec.infra.destroy or not spec.infra.apply
    terms = {
        "changes": list(changes),
        "sum": _sum(changes) + ("" if meant else ": needs infra.destroy=true"),
        "unknown": found.unknown if found else "",
        "saved": found.saved if found else "",
        "digest": found.digest if found else "",
    }
    action = "terraform.apply" if spec.infra.apply else "terraform.plan"
    drift = "what is there is not as it should be" if changes else ""
    made = Step(_ID, action, payload, drift=drift, terms=terms)
    if not meant and found and found.saved:  # who only looks is shown it
        more = f" and {len(gone) - _MOST} more" if gone[_MOST:] else ""
        what = f"Terraform would delete, or replace, {', '.join(gone[:_MOST])}{more}"
        made = replace(made, obstacle=(what, "if that is meant: infra.destroy=true"))
    return (made,)


def on(made: Sequence[Step], step: Step) -> Step:
    """A step that waits for the infrastructure, if it uses any; what that is, is no part of it."""
    is_here = step.action == "local.run" and step.id != "register"
    if not made or is_here:
        return step
    return replace(step, beside=(*step.beside, *(one.id for one in made)))


def _sum(changes: Sequence[str]) -> str:
    """Changes in numbers; empty when there are none."""
    if not changes:
        return ""
    kinds = [change[0] for change in changes if not change[2:].startswith(_OUTPUT)]
    made = kinds.count("+") + kinds.count("±")
    lost = kinds.count("-") + kinds.count("±")
    return f"{made} to add, {kinds.count('~')} to change, {lost} to destroy"
