"""The part of a spec that one step reads, as it is recorded beside it."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - with the types of a pydantic model
from typing import Any

from pydantic import SerializeAsAny  # noqa: TC002 - it is read when the model is made

from mlops_spec import files, kinds
from mlops_spec.spec import GateSpec, ModelSpec, OpenSection, Section

NOBODY = "none"  # stands for what is not given: an input of a job can not be empty


class StepEvaluation(Section):
    """The part of `evaluation` that one step reads."""

    batch_size: int | None = None
    top_k: int | None = None
    robustness: int | None = None
    gate: GateSpec | None = None


class StepCompute(Section):
    """The part of `compute` that a training process reads."""

    accelerator: str
    devices: int
    nodes: int


class StepSpec(Section):
    """The part of a spec that one step reads; recorded beside it as `spec.json`.

    It is the only interface between the engine and a step's process, here or on another machine.
    Keys stand where they stand in the spec; what a step does not need is absent.
    """

    seed: int | None = None
    data: SerializeAsAny[OpenSection] | None = None
    model: ModelSpec | None = None
    training: SerializeAsAny[OpenSection] | None = None
    evaluation: StepEvaluation | None = None
    benchmark: SerializeAsAny[OpenSection] | None = None
    compute: StepCompute | None = None
    lineage: dict[str, Any] | None = None  # origin of a model: facts, not settings
    whole: dict[str, Any] | None = None  # what a report shows, read by nobody else


def read_step_spec(path: Path) -> StepSpec:
    """Reads the recorded spec of a step; its open sections become their kinds' `Spec`."""
    document = files.read_json(path)
    del document["schema_version"]
    for group in kinds.GROUPS.keys() & document.keys():
        module = kinds.load(group, document[group]["kind"])
        document[group] = module.Spec.model_validate(document[group])
    return StepSpec.model_validate(document)
