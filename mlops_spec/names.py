"""Every cloud name, from the spec alone: Terraform, pipelines, SDK and front end agree on them.

Sources of the rules: Azure's naming rules of each service (length, characters, global uniqueness).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from mlops_spec import files
from mlops_spec.errors import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.where import CloudWorkspace

_STEM = 14  # characters of prefix and experiment; leaves room for the hash in the shortest name


@dataclass(frozen=True)
class Names:
    """The names of a workspace, of what it stands on, and of what is made around it."""

    resource_group: str
    workspace: str
    storage_account: str  # unique in the world, as are vault, registry, vision accounts and web app
    key_vault: str
    container_registry: str
    log_analytics: str
    application_insights: str
    workspace_identity: str
    jobs_identity: str
    kubernetes_identity: str
    web_identity: str
    devops_identity: str
    compute_instance: str  # unique in the region
    kubernetes: str
    kubernetes_compute: str  # as the workspace calls it
    custom_vision_training: str
    custom_vision_prediction: str
    service_plan: str
    web_app: str
    virtual_network: str
    budget: str
    devops_project: str
    devops_repository: str


@dataclass(frozen=True)
class State:
    """The names of what keeps Terraform's state; one for subscription, prefix and region."""

    resource_group: str
    storage_account: str  # unique in the world
    container: str


_GROUP = (1, 90, r"[\w().-]*[\w()-]", "letters, digits or _().- and no dot at the end")
_STORAGE = (3, 24, "[a-z0-9]*", "lower-case letters or digits")
_IDENTITY = (3, 128, r"[a-zA-Z0-9][\w-]*", "letters, digits, _ or -, from a letter or digit")
_DASHED = "[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DASHES = "letters, digits or -, with neither end a -"
_LETTER = "[a-zA-Z]([a-zA-Z0-9-]*[a-zA-Z0-9])?"
_FROM = "letters, digits or -, from a letter to a letter or digit"
_COMPUTE = rf"(?!.*-[0-9]+$){_LETTER}"  # of a workspace
_NO_NUMBER = f"{_FROM}, and no - before a number at the end"
_VISION = (2, 64, "[a-z0-9]([a-z0-9-]*[a-z0-9])?", f"lower-case {_DASHES}")
_DEVOPS = r"[a-zA-Z0-9]([\w .-]*[\w-])?"
_PLAIN = "letters, digits, spaces or _.-, from a letter or digit, and no dot at the end"
RULES = {  # name -> least and most characters, their form, and that in words
    "resource_group": _GROUP,
    "workspace": (3, 33, r"[a-zA-Z0-9][\w-]*", "letters, digits, _ or -, from a letter or digit"),
    "storage_account": _STORAGE,
    "key_vault": (3, 24, rf"(?!.*--){_LETTER}", "letters, digits or single -, from a letter"),
    "container_registry": (5, 50, "[a-zA-Z0-9]*", "letters or digits"),
    "log_analytics": (4, 63, _DASHED, _DASHES),
    "application_insights": (1, 255, *_GROUP[2:]),
    "workspace_identity": _IDENTITY,
    "jobs_identity": _IDENTITY,
    "kubernetes_identity": (3, 122, *_IDENTITY[2:]),  # that of its nodes has six more
    "web_identity": _IDENTITY,
    "devops_identity": _IDENTITY,
    "cluster": (3, 24, _COMPUTE, _NO_NUMBER),
    "compute_instance": (3, 24, _COMPUTE, _NO_NUMBER),
    "kubernetes": (1, 54, _LETTER, _FROM),  # which begins an address, too
    "kubernetes_compute": (3, 16, _COMPUTE, _NO_NUMBER),
    "custom_vision_training": _VISION,
    "custom_vision_prediction": _VISION,
    "service_plan": (1, 60, _DASHED, _DASHES),
    "web_app": (2, 60, _DASHED, _DASHES),
    "virtual_network": (2, 64, r"[a-zA-Z0-9][\w.-]*\w", "letters, digits or _.-"),
    "budget": (1, 63, r"[\w-]*", "letters, digits, _ or -"),
    "devops_project": (1, 64, _DEVOPS, _PLAIN),
    "devops_repository": (1, 64, _DEVOPS, _PLAIN),
    "container": (3, 63, _DASHED, _DASHES),
}


_APART = (  # what can not be called alike; of a project Azure DevOps makes a repository itself
    [name for name in RULES if name.endswith("_identity")],
    ("custom_vision_training", "custom_vision_prediction"),
    ("compute_instance", "kubernetes_compute"),
    ("devops_project", "devops_repository"),
)


def of(experiment: str, workspace: CloudWorkspace) -> Names:
    """The names for an experiment in a subscription; the same whoever asks, and whenever.

    They end in a hash of subscription, prefix and experiment: two experiments whose names begin
    alike do not meet, nor do two subscriptions where a name must be unique in the world. A name
    that somebody chose (`workspace.names`) is taken as it is.
    """
    prefix = workspace.prefix
    identity = [workspace.subscription_id.lower(), prefix, experiment]
    word = re.sub(r"[^a-z0-9]", "", f"{prefix}{experiment.lower()}")[:_STEM]
    unique = files.sha256_of(identity)[:6]
    stem = f"{word}-{unique}"
    derived = Names(
        resource_group=f"rg-{stem}",
        workspace=f"mlw-{stem}",
        storage_account=f"st{word}{unique}",
        key_vault=f"kv-{stem}",
        container_registry=f"cr{word}{unique}",
        log_analytics=f"log-{stem}",
        application_insights=f"appi-{stem}",
        workspace_identity=f"id-{stem}-workspace",
        jobs_identity=f"id-{stem}-jobs",
        kubernetes_identity=f"id-{stem}-kubernetes",
        web_identity=f"id-{stem}-web",
        devops_identity=f"id-{stem}-devops",
        compute_instance=f"ci-{word}{unique}",
        kubernetes=f"aks-{stem}",
        kubernetes_compute=f"aks{unique}",
        custom_vision_training=f"cvt-{stem}",
        custom_vision_prediction=f"cvp-{stem}",
        service_plan=f"asp-{stem}",
        web_app=f"app-{stem}",
        virtual_network=f"vnet-{stem}",
        budget=f"budget-{stem}",
        devops_project=stem,
        devops_repository=f"repo-{stem}",
    )
    return Names(**{**asdict(derived), **_chosen(workspace)})


def state(workspace: CloudWorkspace) -> State:
    """The names of what keeps the states of all experiments of a place."""
    prefix = workspace.prefix
    place = [workspace.subscription_id.lower(), prefix, workspace.location]
    unique = files.sha256_of(place)[:6]
    return State(f"rg-{prefix}-state-{unique}", f"st{prefix}state{unique}", "tfstate")


def problems(experiment: str, workspace: CloudWorkspace) -> Iterator[tuple[str, str]]:
    """What Azure would refuse of the names: the key that it comes from, and the rule."""
    known = {field.name for field in fields(Names)}
    for name in workspace.names.keys() - known:
        listed = ", ".join(sorted(known))
        yield f"workspace.names.{name}", f"unknown{suggest(name, known)} (known: {listed})"
    chosen, made = _chosen(workspace), asdict(of(experiment, workspace))
    for name, value in made.items():
        if said := refused(name, value):
            key = f"workspace.names.{name}" if name in chosen else "workspace.prefix"
            yield key, said
    yield from _alike(made, chosen)
    for name, value in asdict(state(workspace)).items():
        if said := refused(name, value):
            yield "workspace.prefix", said


def _alike(made: Mapping[str, str], chosen: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for one, other in itertools.chain(*(itertools.combinations(group, 2) for group in _APART)):
        if made[one].lower() == made[other].lower():
            key = f"workspace.names.{one if one in chosen else other}"
            yield key, f"{one} and {other} need two names, got {made[one]!r} for both"


def refused(name: str, value: str) -> str:
    """Why Azure does not take a name; empty of one that it takes."""
    least, most, form, words = RULES[name]
    count = len(value)
    if not least <= count <= most:
        which = "short" if count < least else "long"
        return f"too {which}: {least} to {most} characters, got {value!r} with {count}"
    if re.fullmatch(form, value, re.ASCII):
        return ""
    return f"should be {words}, got {value!r}"


def _chosen(workspace: CloudWorkspace) -> dict[str, str]:
    known = {field.name for field in fields(Names)}
    return {name: value for name, value in workspace.names.items() if name in known}
