"""Requests as data: what one step does, what it needs, and the key it is known by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_spec import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.facts import Facts
    from mlops_spec.spec import Spec


@dataclass(frozen=True)
class Step:
    """One exact request as data.

    Attributes:
        id: Its name in the plan.
        action: Who performs it: `module.function` of mlops_spec.actions, or of a deployer.
        payload: The request, JSON values only; `${{ID}}` stands for the outputs of a needed step.
        needs: The steps whose outputs it reads.
        code: The modules that do the work; their digests are part of the key.
        drift: Why the world no longer matches a finished result; empty when it does.
        beside: Steps whose outputs it takes along as they are: other ones are no reason to run it.
        anyway: It runs even where a needed step said no: that is a result, too.
        obstacle: Why it could not be performed now, and what to do about that; empty when it can.
        variables: Of its process's environment, unless a person set them: what is no part of the
            key, since it changes nothing about what the step makes.
        terms: On which it is performed elsewhere: machines, limits, whether to wait. No part of
            the key either.
    """

    id: str
    action: str
    payload: dict[str, Any]
    needs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    drift: str = ""
    beside: tuple[str, ...] = ()
    anyway: bool = False
    obstacle: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    terms: dict[str, Any] = field(default_factory=dict)


def keys_of(requests: Sequence[Step], facts: Facts) -> dict[str, str]:
    """The key of each step: sha256 of its request, the keys of its needs and its code."""
    keys: dict[str, str] = {}
    for step in requests:
        needs = [keys[need] for need in step.needs]
        keys[step.id] = files.sha256_of([step.action, step.payload, needs, code_of(step, facts)])
    return keys


def code_of(step: Step, facts: Facts) -> dict[str, str]:
    """The modules that perform a step, with their digests."""
    return {name: digest for module in step.code for name, digest in facts.code[module].items()}


def local(
    spec: Spec, step_id: str, arguments: Sequence[str], part: dict[str, Any], **more: Any
) -> Step:
    """A step of this package's own command line as a process on this machine."""
    verb = step_id.partition("_")[0]
    command = ["python", "-m", "trainers", verb, "--spec", "${{spec}}", *arguments]
    payload = {
        "command": [*command, "--out", "${{out}}"],
        "environment": spec.compute.environment,
        "spec": part,
    }
    return Step(step_id, "local.run", payload, **more)
