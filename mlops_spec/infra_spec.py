"""What is made in a subscription under a workspace, besides the workspace itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlops_spec.section import Int, Section, Shape
from mlops_spec.where import AzuremlCompute, Guid, VmSize  # noqa: TC001 - of a pydantic model

Part = Literal["instance", "kubernetes", "custom_vision", "web", "devops"]
PARTS: tuple[Part, ...] = ("instance", "kubernetes", "custom_vision", "web", "devops")


class NoInfra(Section):
    """Somebody else made what is needed, or nothing is."""

    kind: Literal["none"]


class Instance(Section):
    """A machine to work on by hand, with notebooks."""

    vm_size: VmSize
    owner: Guid | None  # object id of who uses it; none: who applies


_Certificate = Annotated[
    str,
    Shape(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "a name of Kubernetes: small letters, digits, . -"),
]
_Host = Annotated[
    str,
    Shape(r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$", "a host, such as scoring.example.com"),
]


class Tls(Section):
    """How a cluster that serves is called over HTTPS."""

    # The name of a secret of Kubernetes in the namespace azureml; called so, since values of keys
    # with `secret` in their names are taken for secrets
    certificate: _Certificate
    host: _Host  # the name that its certificate is for


class Kubernetes(Section):
    """The cluster that serves, attached to the workspace."""

    vm_size: VmSize
    min_nodes: Annotated[Int, Field(ge=1)]
    max_nodes: Annotated[Int, Field(ge=1, le=1000)]
    tls: Tls | None


class CustomVision(Section):
    """The accounts of the Custom Vision benchmark."""

    sku: Literal["F0", "S0"]


_Sku = Annotated[
    str,
    Shape(
        r"^([BS][1-3]|P[1-3]v2|P[0-3]v[34]|P[1-5]mv[34])$",
        "a size of App Service for Linux, such as B1, S2, P1v3 or P1mv4",
    ),
]
_Image = Annotated[
    str,
    Shape(
        r"^[a-z0-9]+([._/-][a-z0-9]+)*:\w[\w.-]{0,127}$",
        "an image in small letters with its tag, such as frontend:1",
    ),
]
_Health = Annotated[str, Shape(r"^/[\w./-]*$", "a path that starts with /, such as /healthz")]


class Web(Section):
    """The App Service of a front end."""

    sku: _Sku
    image: _Image  # in the registry
    health: _Health  # a path that answers when all is well


_Organization = Annotated[
    str,
    Shape(
        r"^(https://dev\.azure\.com/[a-zA-Z0-9]([a-zA-Z0-9-]{0,48}[a-zA-Z0-9])?)?$",
        "https://dev.azure.com/ and a name, or empty",
    ),
]
_Group = Annotated[str, Shape(r"^.*\S.*$", "a group of the project, such as Contributors")]
_Branch = Annotated[str, Shape(r"^\w([\w./-]*\w)?$", "a branch, such as main")]
_File = Annotated[
    str, Shape(r"^[\w.-][\w./-]*\.ya?ml$", "a YAML file of the repository, such as ado/train.yml")
]
_Environment = Annotated[
    str, Shape(r"^\w[\w -]{0,126}$", "a name of at most 127 letters, digits, spaces, - and _")
]
_Variable = Annotated[
    str, Shape(r"^[a-zA-Z0-9-]{1,127}$", "a secret's name: at most 127 letters, digits and -")
]


class Devops(Section):
    """The Azure DevOps project with its pipelines."""

    organization: _Organization
    approvers: _Group  # a group of the project
    branch: _Branch
    pipelines: dict[str, _File]  # name -> its file
    environments: dict[_Environment, bool]  # are approvers asked
    variables: list[_Variable]  # secrets of the key vault, by name


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
