"""What a spec stands on in a subscription: which parts are made, and what can not be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_spec import azure_sizes, kinds, names
from mlops_spec.errors import MlopsError, suggest
from mlops_spec.infra_spec import PARTS, TerraformInfra
from mlops_spec.where import AzuremlCompute, AzureWorkspace, CloudWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.infra_spec import Devops
    from mlops_spec.spec import Spec


def parts(spec: Spec) -> set[str]:
    """The parts that are made: what `infra.parts` lists, and what the chosen kinds stand on.

    A kind says so by `INFRASTRUCTURE`, a tuple of parts.

    Raises:
        MlopsError: A kind stands on something that nobody makes.
    """
    wanted: set[str] = set(spec.infra.parts) if isinstance(spec.infra, TerraformInfra) else set()
    for group in kinds.GROUPS:
        kind = getattr(spec, group).kind
        for part in getattr(kinds.load(group, kind), "INFRASTRUCTURE", ()):
            if part not in PARTS:
                message = f"{group}.kind {kind} stands on {part!r}{suggest(part, PARTS)}"
                raise MlopsError(message, f"parts are {', '.join(PARTS)}")
            wanted.add(part)
    return wanted


def is_by_terraform(spec: Spec) -> bool:
    """Whether Terraform makes what a run stands on; the emulator makes its own."""
    return isinstance(spec.infra, TerraformInfra) and isinstance(spec.workspace, AzureWorkspace)


def clusters(spec: Spec) -> dict[str, AzuremlCompute]:
    """The clusters that are made, by the key that describes them.

    Where another has the name of the one that trains, the one that trains is meant.
    """
    own = spec.compute if isinstance(spec.compute, AzuremlCompute) else None
    found = {"compute": own} if own and own.cluster else {}
    if isinstance(spec.infra, TerraformInfra):
        for key, one in spec.infra.clusters.items():
            if one.cluster and not (own and _same(one, own)):
                found[f"infra.clusters.{key}"] = one
    return found


def _same(one: AzuremlCompute, other: AzuremlCompute) -> bool:
    return str(one.cluster).lower() == str(other.cluster).lower()


def contradictions(spec: Spec) -> Iterator[tuple[str, str]]:
    """What can not be made: key and message."""
    if isinstance(spec.workspace, CloudWorkspace):
        yield from names.problems(spec.name, spec.workspace)
        for key, compute in clusters(spec).items():
            if said := names.refused("cluster", str(compute.cluster)):
                yield f"{key}.cluster", said
    if not isinstance(spec.infra, TerraformInfra):
        if spec.budget.per_month is not None:
            yield "budget.per_month", "who alerts is made by Terraform: infra=terraform"
        return
    if not isinstance(spec.workspace, CloudWorkspace):
        yield "infra.kind", "Terraform makes a workspace of Azure ML: workspace=azure"
    if spec.budget.per_month is not None and not spec.budget.alert:
        yield "budget.alert", "whom to tell of budget.per_month: budget.alert=[you@example.org]"
    yield from _of_clusters(spec)
    yield from _of_parts(spec.infra, parts(spec))


def at_most(key: str, most: int, got: int) -> str:
    """What to say of a number above another key's."""
    return f"should be at most {key}, {most}, got {got}"


def _of_clusters(spec: Spec) -> Iterator[tuple[str, str]]:
    """Of those besides the one that trains, which is looked at with or without Terraform."""
    others = {key: one for key, one in clusters(spec).items() if key != "compute"}
    for key, compute in others.items():
        yield from _retired(f"{key}.vm_size", compute.vm_size)
        if compute.min_nodes > compute.max_nodes:
            most = at_most(f"{key}.max_nodes", compute.max_nodes, compute.min_nodes)
            yield f"{key}.min_nodes", most
        twin = next(k for k, one in others.items() if _same(one, compute))
        if twin != key:
            yield f"{key}.cluster", f"{twin} is called {compute.cluster}, too: choose another name"


def _of_parts(infra: TerraformInfra, wanted: set[str]) -> Iterator[tuple[str, str]]:
    if "instance" in wanted:
        yield from _retired("infra.instance.vm_size", infra.instance.vm_size)
    if "kubernetes" in wanted:
        least, most = infra.kubernetes.min_nodes, infra.kubernetes.max_nodes
        yield from _retired("infra.kubernetes.vm_size", infra.kubernetes.vm_size)
        if least > most:
            key = "infra.kubernetes.max_nodes"
            yield "infra.kubernetes.min_nodes", at_most(key, most, least)
    if "devops" in wanted:
        yield from _of_devops(infra.devops)


def _of_devops(devops: Devops) -> Iterator[tuple[str, str]]:
    if not devops.organization:
        key = "infra.devops.organization"
        yield key, f"where the project is made: {key}=https://dev.azure.com/NAME"
    if devops.branch.startswith("refs/"):
        short = devops.branch.removeprefix("refs/heads/")
        yield "infra.devops.branch", f"should be the short name: {short}"
    for name in devops.pipelines:
        if set(name) & set('\\/:*?"<>|'):
            yield f"infra.devops.pipelines.{name}", 'a name has none of \\/:*?"<>|'


def _retired(key: str, vm_size: str) -> Iterator[tuple[str, str]]:
    since = azure_sizes.retired(vm_size)
    if since:
        yield key, f"{vm_size} is gone since {since}; {azure_sizes.USUAL}"
