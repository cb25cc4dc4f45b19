"""What `check` looks at of a spec that works in Azure ML; each thing is asked for once.

Nothing is made, changed or started. What can not be found out is said, and is no reason to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_spec import ground
from mlops_spec.azure import client, emulation, images, machines, questions, refusals, rights
from mlops_spec.azure.place import Place
from mlops_spec.errors import StateError
from mlops_spec.infra_spec import TerraformInfra
from mlops_spec.where import AzuremlCompute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlops_spec.spec import Spec
    from mlops_spec.where import CloudWorkspace


class Found(NamedTuple):
    """Something that was looked at; `cure` is empty when nothing needs doing."""

    name: str
    text: str
    cure: str = ""


def checks(spec: Spec) -> Iterator[Found]:
    """Everything that can be looked at before a run of a spec whose workspace is in Azure ML."""
    place = Place.of(spec)
    if isinstance(spec.compute, AzuremlCompute):
        yield _image(spec.compute)
    lacking = client.missing()
    if lacking:
        yield Found("sdk", f"not installed: {', '.join(lacking)}", client.INSTALL)
    else:
        yield Found("sdk", "azure-ai-ml and azure-identity are installed")
    if place.emulator:
        yield from _emulator(place)
    if not lacking and (not place.emulator or emulation.running(place)):
        with client.variables(place, lambda _: None):
            yield from _asked(spec, place)


def _image(compute: AzuremlCompute) -> Found:
    since = images.retired(compute.image)
    if not since:
        return Found("image", f"{compute.image} is not known to be retired")
    text = f"{compute.image} is retired: no new versions since {since}"
    return Found("image", text, f"set compute.image={images.instead(compute.image)}")


def _emulator(place: Place) -> Iterator[Found]:
    missing = emulation.missing()
    for what, cure in missing:
        yield Found("emulator", f"{what} is missing, which the emulator needs", cure)
    if not missing:
        state = "runs" if emulation.running(place) else "does not run; a run starts it"
        yield Found("emulator", f"node, npm and its libraries are here; it {state}")


def _asked(spec: Spec, place: Place) -> Iterator[Found]:
    """What only Azure can tell; nothing of it without a login or a subscription."""
    cloud: CloudWorkspace = spec.workspace  # type: ignore[assignment]
    try:
        with client.told(place):
            who = questions.who()
    except StateError as error:
        yield Found("login", error.message, error.cure)
        return
    known = ", ".join(f"{name} {value}" for name, value in who.items())
    yield Found("login", f"logged in to Azure: {known or 'the token does not say who'}")
    try:
        with client.told(place):
            there = questions.workspace(place)
    except StateError as error:
        yield Found("workspace", error.message, error.cure)
        return
    made = ground.is_by_terraform(spec)
    yield _workspace(place, exists=there is not None, made=made)
    if there is not None:
        yield from _softly("role", place, lambda: _role(spec, place, who.get("oid", "WHO")))
    location = str((there or {}).get("location") or cloud.location)
    if isinstance(spec.compute, AzuremlCompute):
        yield from _machines(spec.compute, place, location, exists=there is not None)
    if made:
        yield from _softly("size", place, lambda: _sizes(spec, place, location))


def _softly(
    name: str, place: Place, look: Callable[[], Iterable[tuple[str, str]]]
) -> Iterator[Found]:
    """What was found; that it is not known where Azure does not tell."""
    try:
        with client.told(place):
            found = [*look()]
    except StateError as error:
        found = [(f"not known: {error.message}", "")]
    yield from (Found(name, *one) for one in found)


def _workspace(place: Place, *, exists: bool, made: bool) -> Found:
    if exists:
        return Found("workspace", f"{place} is there")
    if place.emulator or made:
        return Found("workspace", f"there is no {place} yet; a run makes it")
    return Found("workspace", f"there is no {place}", refusals.MAKE)


def _role(spec: Spec, place: Place, who: str) -> Iterator[tuple[str, str]]:
    wanted = rights.needed(spec)
    lacking = rights.lacking(wanted, questions.permissions(place))
    for lack in lacking:
        text = f"this login lacks {', '.join(lack.rights)} in {place}"
        yield text, rights.assign(lack.role, who, place.path)
    if not lacking:
        yield f"this login has the {len(wanted)} rights that a run needs", ""


def _sizes(spec: Spec, place: Place, location: str) -> Iterator[tuple[str, str]]:
    """Whether the region has the other machines of Azure ML that Terraform makes.

    Those of Kubernetes are no machines of Azure ML, and stand in another list.
    """
    others = {f"{key}.vm_size": one.vm_size for key, one in ground.clusters(spec).items()}
    others.pop("compute.vm_size", None)
    if isinstance(spec.infra, TerraformInfra) and "instance" in ground.parts(spec):
        others["infra.instance.vm_size"] = spec.infra.instance.vm_size
    known = {str(size.get("name", "")).lower() for size in questions.sizes(place, location)}
    for key, name in others.items():
        if name.lower() in known:
            yield f"{location} has {name}, for {key}", ""
        else:
            yield f"{location} has no {name}", f"choose another {key}, or workspace.location"


def _machines(
    compute: AzuremlCompute, place: Place, location: str, *, exists: bool
) -> Iterator[Found]:
    there: dict[str, Any] = {}  # what one question brings, the next ones need
    size: dict[str, Any] = {}

    def cluster() -> Iterator[tuple[str, str]]:
        there.update(questions.cluster(place, str(compute.cluster)) or {})
        yield machines.cluster(compute, there)

    def in_region() -> Iterator[tuple[str, str]]:
        size.update(machines.find(compute, questions.sizes(place, location)))
        yield machines.size(compute, size, location)

    def enough() -> Iterator[tuple[str, str]]:
        usages = questions.usages(place, location)
        yield machines.quota(compute, size, usages, machines.running(there))

    if compute.cluster and exists:
        yield from _softly("cluster", place, cluster)
    yield from _softly("size", place, in_region)
    if "name" in size:
        yield from _softly("quota", place, enough)
