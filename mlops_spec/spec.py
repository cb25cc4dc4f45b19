"""The spec: what is wanted, validated, frozen, and silent about how.

Sections that name code (`data`, `training`, `benchmark`, `target`, `frontend`) are open: `kind`
picks a module and the module's `Spec` validates the section. The engine's own sections are closed.
No field has a default here: every value is written in YAML, once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializeAsAny

from mlops_spec import secrets, signing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Section(BaseModel):
    """A part of a spec: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __getattribute__(self, name: str) -> Any:
        if _reads is not None:
            _reads.add((_copied.get(id(self), id(self)), name))
        return super().__getattribute__(name)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed; reading it counts as reading what it is made from."""
        made = super().model_copy(update=update, deep=deep)
        _copied[id(made)] = _copied.get(id(self), id(self))
        return made

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        if _reads is not None:  # dict(section)
            _reads.update((id(self), name) for name in type(self).model_fields)
        return super().__iter__()


# (section, attribute) asked for since `note_reads`; None while nobody wants to know
_reads: set[tuple[int, str]] | None = None


_copied: dict[int, int] = {}  # section -> the one that it is a copy of


def note_reads() -> None:
    """From here on it is noted which values of a spec anybody asks for."""
    global _reads  # noqa: PLW0603 - one process performs one step
    _reads = set()


class OpenSection(Section):
    """A section whose `kind` names the module that understands it, by its own `Spec`."""

    kind: str


# Strict: `yes`, which YAML reads as true, is not 1
Int = Annotated[int, Field(strict=True)]
Float = Annotated[float, Field(strict=True)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]


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


Share = Annotated[Float, Field(ge=0, le=1)]
NotNegative = Annotated[Float, Field(ge=0)]


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


class LocalCompute(Section):
    """Steps run as processes on this machine."""

    kind: Literal["local"]
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Annotated[Int, Field(ge=1)]
    nodes: Annotated[Int, Field(ge=1, le=1)]  # this machine
    environment: dict[str, str]


_CRON = r"^[0-9*,/-]+( [0-9A-Za-z*,/-]+){4}$"


def _cron(value: str) -> str:
    if not re.fullmatch(_CRON, value):
        raise ValueError("should be five fields of cron, such as '0 6 * * 1'")
    return value


Cron = Annotated[str, AfterValidator(_cron), Field(json_schema_extra={"pattern": _CRON})]
_CLUSTER = r"^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$"


class AzuremlCompute(Section):
    """Training runs as a job of an Azure ML workspace, on a cluster or on machines lent for it."""

    kind: Literal["azureml"]
    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Annotated[Int, Field(ge=1)]  # of a node
    nodes: Annotated[Int, Field(ge=1)]  # that train one model together
    environment: dict[str, str]
    cluster: Annotated[str, Field(pattern=_CLUSTER)] | None  # none: serverless
    vm_size: Annotated[str, Field(pattern=r"^Standard_\w+$")]
    tier: Literal["dedicated", "low_priority"]
    min_nodes: Annotated[Int, Field(ge=0)]
    max_nodes: Annotated[Int, Field(ge=1)]
    idle_seconds: Annotated[Int, Field(ge=60)]
    max_minutes: Annotated[Int, Field(ge=1)]  # that a job may take; then Azure ML ends it
    price_per_hour: NotNegative | None  # USD of one machine; none: as listed
    image: str
    shape: Literal["jobs", "pipeline"]  # a job for each step, or one for all
    wait: bool  # false: submit and leave; the same command again collects
    schedule: Cron | None  # when the pipeline starts, UTC


ComputeSpec = Annotated[LocalCompute | AzuremlCompute, Field(discriminator="kind")]


class LocalWorkspace(Section):
    """Tracking and registry in one sqlite file."""

    kind: Literal["local"]
    database: str


_GUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class CloudWorkspace(Section):
    """An Azure ML workspace; its name and those of all around it follow from the spec."""

    subscription_id: Annotated[str, Field(pattern=_GUID)]
    location: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    prefix: Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,7}$")]


class AzureWorkspace(CloudWorkspace):
    """In Azure."""

    kind: Literal["azure"]


class EmulatorWorkspace(CloudWorkspace):
    """In the emulator on this machine, which is started when need be."""

    kind: Literal["emulator"]
    state: str  # its folder: all that it remembers


WorkspaceSpec = Annotated[
    LocalWorkspace | AzureWorkspace | EmulatorWorkspace, Field(discriminator="kind")
]


def _public(value: str) -> str:
    if value:
        signing.public_key(value)
    return value


class Budget(Section):
    """What may be spent."""

    per_run: NotNegative | None  # USD that the jobs of one command may cost at most


class LineageSpec(Section):
    """Who vouches for registered models, and whose word a deployment takes."""

    sign_with: Annotated[str, Field(pattern=rf"^({secrets.REFERENCE})?$")]  # empty: nobody signs
    trusted_key: Annotated[str, AfterValidator(_public)]  # empty: an unsigned model will do


Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$")]


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
    lineage: LineageSpec
    budget: Budget


def unread(whole: Section, prefix: str = "") -> Iterator[str]:
    """Dotted keys below a section that nobody asked for since `note_reads`.

    Dumping one section reads all of it, whichever way; dumping the whole is how it is recorded.
    `kind` is read to find who reads the rest.
    """
    seen = _reads or set()
    for name in type(whole).model_fields:
        value = whole.__dict__[name]
        if isinstance(value, Section):
            if not seen & {(id(value), dump) for dump in ("model_dump", "model_dump_json")}:
                yield from unread(value, f"{prefix}{name}.")
        elif value is not None and name != "kind" and (id(whole), name) not in seen:
            yield f"{prefix}{name}"


def leaves(values: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a nested mapping that holds no mapping itself, with its value."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, values
