"""Infrastructure by Terraform: the differences that were shown are applied, or left to somebody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.actions import Context, Outcome
from mlops_spec.errors import StateError, StepError
from mlops_spec.terraform import binary, comparison

if TYPE_CHECKING:
    from mlops_spec.steps import Step

_OUTPUTS = "outputs.json"
_FINE = "as the spec wants it"


def plan(step: Step, context: Context) -> Outcome:
    """Goes on where nothing differs; otherwise leaves the saved plan to whoever may apply it.

    Raises:
        StepError: The infrastructure is not as the spec wants it.
    """
    changes = step.terms["changes"]
    if changes:
        for line in changes:
            context.emit(line)
        command = binary.by_hand(step.payload["name"], "apply", step.terms["saved"])
        raise StepError(f"the infrastructure differs: {step.terms['sum']}", f"apply it: {command}")
    return _told(step, context, _FINE)


def apply(step: Step, context: Context) -> Outcome:
    """Applies the saved plan that was shown, and nothing else; then its outputs are facts.

    Raises:
        StateError: The plan is not the one that was shown, or Terraform failed; what it had made
            until then is in its state, and the next run continues.
    """
    if not step.terms["changes"]:
        return _told(step, context, _FINE)
    saved = Path(step.terms["saved"])
    if not saved.exists() or files.sha256_file(saved) != step.terms["digest"]:
        message = f"{saved} is not the plan that was shown; nothing was applied"
        raise StateError(message, "run the same command again: it compares anew")
    try:
        words = ["apply", "-input=false", "-lock-timeout=60s", str(saved)]
        text = binary.run(step.payload["name"], words, context.emit)
    finally:
        saved.unlink(missing_ok=True)  # it holds what the state holds
    return _told(step, context, text)


def _told(step: Step, context: Context, text: str) -> Outcome:
    """The outputs of what is there, once they are what the spec is about.

    Raises:
        StepError: It is something else.
    """
    found = binary.document(step.payload["name"], "output")
    outputs = {name: one["value"] for name, one in found.items() if not one["sensitive"]}
    wrong = comparison.otherwise(step.payload["variables"]["names"], outputs["names"])
    if wrong:
        raise StepError(f"Terraform made other names than it planned: {'; '.join(wrong[:3])}")
    files.write_json(context.folder / "out" / _OUTPUTS, files.versioned(outputs))
    return Outcome(text)
