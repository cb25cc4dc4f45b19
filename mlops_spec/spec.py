"""The spec: what is wanted, validated, frozen, and silent about how.

Sections that name code (`data`, `training`, `benchmark`, `target`, `frontend`) are open: `kind`
picks a module and the module's `Spec` validates the section. The engine's own sections are closed.
No field has a default here: every value is written in YAML, once.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializeAsAny

from mlops_spec import secrets, signing
from mlops_spec.infra_spec import InfraSpec  # noqa: TC001 - of a pydantic model
from mlops_spec.section import (
    Float,
    Fraction,
    Int,
    NotNegative,
    OpenSection,
    Section,
    Shape,
    Share,
    leaves,
    note_reads,
    unread,
)
from mlops_spec.where import ComputeSpec, WorkspaceSpec  # noqa: TC001 - of a pydantic model

# What sections are made of is imported from here, by plugins too
__all__ = [
    "Float",
    "Fraction",
    "Int",
    "OpenSection",
    "Section",
    "Shape",
    "leaves",
    "note_reads",
    "unread",
]


class Head(Section):
    """The classifier on top of the backbone."""

    hidden: Annotated[Int, Field(ge=0)]
    dropout: Fraction
    keep: bool


NO_FILE = ("none", "imagenet")  # weights from chance, or from the backbone's library


class ModelSpec(Section):
    """The network: backbone, weights, input and head."""

    backbone: str
    weights: Annotated[str, Field(min_length=1)]  # NO_FILE, or what `pretrained` understands
    channels: Literal[1, 3]
    resize: Annotated[Int, Field(ge=4, le=4096)]
    input_size: Annotated[Int, Field(ge=4, le=4096)]
    onnx_tolerance: Annotated[Float, Field(gt=0)]  # largest difference of a logit
    head: Head


class Floors(Section):
    """The least that a model must reach on the test split; null asks for nothing."""

    accuracy: Share | None
    top_k_accuracy: Share | None
    balanced_accuracy: Share | None
    macro_f1: Share | None
    micro_f1: Share | None  # where images may have several labels
    matthews: Annotated[Float, Field(ge=-1, le=1)] | None
    roc_auc: Share | None  # of two classes, or several labels
    mean_average_precision: Share | None


# Floors of what is measured only where images may have several labels, or only where they may not
SEVERAL_ONLY = ("micro_f1",)
ONE_ONLY = ("top_k_accuracy", "balanced_accuracy", "matthews")


class ClassFloors(Section):
    """The least that a model must reach for every class of the test split."""

    recall: Share | None
    precision: Share | None
    f1: Share | None


class Limits(Section):
    """The most that a model may have."""

    log_loss: NotNegative | None
    brier: NotNegative | None
    calibration_error: Share | None
    latency_ms: NotNegative | None  # median of one image, decoding included
    size_mb: NotNegative | None  # of model.onnx, in 10^6 bytes


class FloorGate(Section):
    """Promote whatever is good enough."""

    kind: Literal["floor"]
    floors: Floors
    class_floors: ClassFloors
    limits: Limits


class McnemarGate(Section):
    """Promote what is good enough and better than the champion on the same test images."""

    kind: Literal["mcnemar"]
    alpha: Annotated[Float, Field(gt=0, lt=0.5)]
    power: Annotated[Float, Field(ge=0.5, lt=1)]
    margin: Fraction
    floors: Floors
    class_floors: ClassFloors
    limits: Limits


GateSpec = Annotated[McnemarGate | FloorGate, Field(discriminator="kind")]


class EvaluationSpec(Section):
    """How a model is judged and what it must show to become champion."""

    batch_size: Annotated[Int, Field(ge=1)]
    top_k: Annotated[Int, Field(ge=2)]
    robustness: Annotated[Int, Field(ge=0)]
    reproduce_tolerance: Annotated[Float, Field(ge=0)]  # of a metric, for the verb `reproduce`
    gate: GateSpec


def _public(value: str) -> str:
    if value:
        signing.public_key(value)
    return value


_Address = Annotated[str, Shape(r"^[^@\s]+@[^@\s]+$", "an address, such as team@example.com")]
_Reference = Annotated[
    str, Shape(rf"^({secrets.REFERENCE})?$", "${secret:NAME} with a name of yours, or empty")
]


class Budget(Section):
    """What may be spent."""

    per_run: NotNegative | None  # USD that the jobs of one command may cost at most
    per_month: Annotated[Float, Field(ge=1)] | None  # of the resource group; alerts on the way
    alert: list[_Address]  # addresses that are told


class LineageSpec(Section):
    """Who vouches for registered models, and whose word a deployment takes."""

    sign_with: _Reference  # empty: nobody signs
    trusted_key: Annotated[str, AfterValidator(_public)]  # empty: an unsigned model will do


Name = Annotated[
    str,
    Shape(
        r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$",
        "at most 63 letters, digits, - and _, a letter or digit first",
    ),
]


class Spec(Section):
    """Everything between a folder of images and a served classifier."""

    name: Name
    registered_model: Name
    seed: Annotated[Int, Field(ge=0, lt=2**32)]
    data: SerializeAsAny[OpenSection]
    model: ModelSpec
    training: SerializeAsAny[OpenSection]
    evaluation: EvaluationSpec
    benchmark: SerializeAsAny[OpenSection]
    compute: ComputeSpec
    target: SerializeAsAny[OpenSection]
    frontend: SerializeAsAny[OpenSection]
    workspace: WorkspaceSpec
    infra: InfraSpec
    lineage: LineageSpec
    budget: Budget
