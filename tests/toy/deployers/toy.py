"""`target.kind: toy`: writes a note; its own action, and a fact that tells when it is gone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mlops_spec.spec import OpenSection
from mlops_spec.steps import Step


class Spec(OpenSection):
    kind: Literal["toy"]
    note: str


def facts(spec: Any) -> dict[str, bool]:
    return {"note": Path(spec.target.note).exists()}


def steps(spec: Any, facts: Any) -> Iterator[Step]:
    drift = "" if facts.target["note"] else "the note is gone"
    payload = {"note": spec.target.note, "model": spec.registered_model}
    yield Step("deploy", "toy.note", payload, ("register",), ("deployers.toy",), drift)


def _note(step: Step, context: Any) -> Any:
    from mlops_spec.actions import Outcome

    Path(step.payload["note"]).write_text((context.inputs["register"] / "version.json").read_text())
    return Outcome(f"noted {step.payload['model']}")


ACTIONS = {"toy.note": _note}
