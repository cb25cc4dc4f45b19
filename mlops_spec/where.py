"""Where a spec comes true: the machines that train, and the workspace that keeps what was made."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlops_spec.section import Int, NotNegative, Section, Shape

Guid = Annotated[
    str,
    Shape(
        r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        "an id such as 01234567-89ab-cdef-0123-456789abcdef",
    ),
]
VmSize = Annotated[str, Shape(r"^Standard_\w+$", "a size of Azure's, such as Standard_DS3_v2")]
Cron = Annotated[
    str,
    Shape(r"^[0-9*,/-]+( [0-9A-Za-z*,/-]+){4}$", "five fields of cron, such as '0 6 * * 1'"),
]
_Location = Annotated[str, Shape(r"^[a-z0-9]+$", "a region's short name, such as westeurope")]
_Prefix = Annotated[
    str, Shape(r"^[a-z][a-z0-9]{0,7}$", "1 to 8 small letters and digits, a letter first")
]


class LocalCompute(Section):
    """Steps run as processes on this machine."""

    kind: Literal["local"]
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Annotated[Int, Field(ge=1)]
    nodes: Annotated[Int, Field(ge=1, le=1)]  # this machine
    environment: dict[str, str]


class AzuremlCompute(Section):
    """Training runs as a job of an Azure ML workspace, on a cluster or on machines lent for it."""

    kind: Literal["azureml"]
    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Annotated[Int, Field(ge=1)]  # of a node
    nodes: Annotated[Int, Field(ge=1)]  # that train one model together
    environment: dict[str, str]
    cluster: Annotated[str, Field(min_length=1)] | None  # none: serverless
    vm_size: VmSize
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


class CloudWorkspace(Section):
    """An Azure ML workspace; names of it and of all around it follow from the spec."""

    subscription_id: Guid
    location: _Location
    prefix: _Prefix
    names: dict[str, str]  # that somebody chose, of those in `mlops_spec.names`


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
