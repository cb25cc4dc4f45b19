"""The section `quantization` of a target, and the step of a run that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from deployers.scoring.settings import Count  # noqa: TC001 - pydantic reads it
from mlops_spec.spec import Float, Section
from mlops_spec.steps import Step

if TYPE_CHECKING:
    from mlops_spec.spec import Spec


class Quantization(Section):
    """How a model is made int8, where `serving.precision` is that."""

    max_drop: Annotated[Float, Field(ge=0, le=1)]  # of accuracy on the test split; more is refused
    images: Count  # of the validation split, at most, to calibrate with
    batch: Count  # images at a time


def step(spec: Spec, how: Quantization) -> Step:
    """Quantising the champion: the bundle that the step `register` names."""
    folders = ["--registered", "${{register}}", "--data", "${{data}}", "--out", "${{out}}"]
    numbers = ["--max-drop", str(how.max_drop), "--images", str(how.images)]
    command = ["python", "-m", "deployers.scoring.quantize", *folders, *numbers]
    payload = {
        "command": [*command, "--batch", str(how.batch)],
        "environment": spec.compute.environment,
    }
    code = ("deployers.scoring.quantize",)
    return Step("quantize", "local.run", payload, ("data", "register"), code)
