"""What is made in a subscription under a workspace, besides the workspace itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlops_spec.section import Int, Section
from mlops_spec.where import GUID, AzuremlCompute, VmSize

Part = Literal["instance", "kubernetes", "custom_vision", "web", "devops"]
PARTS: tuple[Part, ...] = ("instance", "kubernetes", "custom_vision", "web", "devops")


class NoInfra(Section):
    """Somebody else made what is needed, or nothing is."""

    kind: Literal["none"]


class Instance(Section):
    """A machine to work on by hand, with notebooks."""

    vm_size: VmSize
    owner: Annotated[str, Field(pattern=GUID)] | None  # object id of who uses it; none: who applies


class Tls(Section):
    """How a cluster that serves is called over HTTPS."""

    secret: str  # of Kubernetes, in the namespace azureml
    host: str  # the name that its certificate is for


class Kubernetes(Section):
    """The cluster that serves, attached to the workspace."""

    vm_size: VmSize
    min_nodes: Annotated[Int, Field(ge=1)]
    max_nodes: Annotated[Int, Field(ge=1)]
    tls: Tls | None


class CustomVision(Section):
    """The accounts of the Custom Vision benchmark."""

    sku: Literal["F0", "S0"]


class Web(Section):
    """The App Service of a front end."""

    sku: Annotated[str, Field(pattern=r"^[A-Z]+\d*(v\d)?$")]
    image: Annotated[str, Field(pattern=r"^[a-z0-9/._-]+:[\w.-]+$")]  # in the registry
    health: Annotated[str, Field(pattern=r"^/\S*$")]  # a path that answers when all is well


_FILE = r"^[\w./-]+\.ya?ml$"
_SECRET = r"^[a-zA-Z0-9-]{1,127}$"  # noqa: S105 - the form of a name


class Devops(Section):
    """The Azure DevOps project with its pipelines."""

    organization: Annotated[str, Field(pattern=r"^(https://dev\.azure\.com/[\w-]+)?$")]
    approvers: Annotated[str, Field(min_length=1)]  # a group of the project
    branch: Annotated[str, Field(pattern=r"^[\w./-]+$")]
    pipelines: dict[str, Annotated[str, Field(pattern=_FILE)]]  # name -> its file
    environments: dict[str, bool]  # name -> whether the approvers are asked
    secrets: list[Annotated[str, Field(pattern=_SECRET)]]  # of the key vault, by name


class TerraformInfra(Section):
    """`infra/*.tf`, with variables of this spec."""

    kind: Literal["terraform"]
    apply: bool  # false: a run compares, and somebody else applies
    destroy: bool  # whether a run may delete or replace something
    remote_state: bool
    private: bool
    parts: list[Part]  # besides what the other sections ask for
    clusters: dict[str, AzuremlCompute]  # besides the one that trains
    instance: Instance
    kubernetes: Kubernetes
    custom_vision: CustomVision
    web: Web
    devops: Devops


InfraSpec = Annotated[NoInfra | TerraformInfra, Field(discriminator="kind")]
