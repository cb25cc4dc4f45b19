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


_HOST = r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$"


class Tls(Section):
    """How a cluster that serves is called over HTTPS."""

    # The name of a secret of Kubernetes in the namespace azureml; called so, since values of keys
    # with `secret` in their names are taken for secrets
    certificate: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
    host: Annotated[str, Field(pattern=_HOST)]  # the name that its certificate is for


class Kubernetes(Section):
    """The cluster that serves, attached to the workspace."""

    vm_size: VmSize
    min_nodes: Annotated[Int, Field(ge=1)]
    max_nodes: Annotated[Int, Field(ge=1, le=1000)]
    tls: Tls | None


class CustomVision(Section):
    """The accounts of the Custom Vision benchmark."""

    sku: Literal["F0", "S0"]


_IMAGE = r"^[a-z0-9]+([._/-][a-z0-9]+)*:\w[\w.-]{0,127}$"


class Web(Section):
    """The App Service of a front end."""

    sku: Annotated[str, Field(pattern=r"^([BS][1-3]|P[1-3]v2|P[0-3]v[34]|P[1-5]mv[34])$")]
    image: Annotated[str, Field(pattern=_IMAGE)]  # in the registry
    health: Annotated[str, Field(pattern=r"^/[\w./-]*$")]  # a path that answers when all is well


_ORGANIZATION = r"^(https://dev\.azure\.com/[a-zA-Z0-9]([a-zA-Z0-9-]{0,48}[a-zA-Z0-9])?)?$"
_FILE = r"^[\w.-][\w./-]*\.ya?ml$"
_ENVIRONMENT = r"^\w[\w -]{0,126}$"
_VARIABLE = r"^[a-zA-Z0-9-]{1,127}$"


class Devops(Section):
    """The Azure DevOps project with its pipelines."""

    organization: Annotated[str, Field(pattern=_ORGANIZATION)]
    approvers: Annotated[str, Field(pattern=r"\S")]  # a group of the project
    branch: Annotated[str, Field(pattern=r"^\w([\w./-]*\w)?$")]
    pipelines: dict[str, Annotated[str, Field(pattern=_FILE)]]  # name -> its file
    environments: dict[Annotated[str, Field(pattern=_ENVIRONMENT)], bool]  # are approvers asked
    variables: list[Annotated[str, Field(pattern=_VARIABLE)]]  # secrets of the key vault, by name


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
