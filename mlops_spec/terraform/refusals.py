"""What Terraform's errors mean: one message with the command that cures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import StateError
from mlops_spec.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    By_hand = Callable[..., str]

_MOST_LETTERS = 600
_AGAIN = "run the same command again"
_COMPARE = f"{_AGAIN}: it compares anew"
_LOCK = re.compile(r"^\s*(ID|Operation|Who|Created):\s*(.*?)\s*$", re.MULTILINE)
_GUIDE = "docs/infrastructure.md"
_LOGIN = (
    "az login, or the variables ARM_CLIENT_ID, ARM_TENANT_ID and ARM_USE_OIDC=true or"
    " ARM_CLIENT_SECRET"
)
_DEVOPS = (
    "az login; where a spec wants no Azure DevOps, its provider asks nevertheless: set"
    f" AZDO_ORG_SERVICE_URL, or leave out infra/main.devops.tf; see {_GUIDE}"
)
_BOOTSTRAP = f"make it once, by the commands that `render` prints; then {_AGAIN}"
_TAKEN = "choose another one (workspace.names), or take it over by terraform import"
_MEANT = (  # what Terraform says -> what has happened, and what to do
    (
        "Saved plan (is stale|does not match)",
        "the infrastructure has changed since its differences were shown; nothing was applied",
        _COMPARE,
    ),
    (
        "Failed to query available provider packages|could not connect to registry",
        "Terraform's providers can not be downloaded",
        "look at the network and the proxy, or set up a mirror of providers",
    ),
    (
        "Unsupported Terraform Core version",
        "infra/*.tf asks for another Terraform",
        "install it: https://developer.hashicorp.com/terraform/install",
    ),
    (
        "Invalid value for variable|No value for required variable|undeclared variable",
        "infra/variables*.tf does not take what the spec says",
        "mend the spec, or the rule where it is yours; then render",
    ),
    (
        r"AZDO_|(?i:azuredevops|azure devops).{0,300}(?i:\b40[13]\b|auth|token|organi[sz]ation)",
        "Azure DevOps does not answer, or not to this login",
        _DEVOPS,
    ),
    (
        r"AADSTS\d|invalid_client",
        "Azure does not take this login",
        f"{_LOGIN}; a pipeline's identity has to be federated with that pipeline",
    ),
    (
        (
            r"(?i)could not configure \w+ Authorizer|unable to build authorizer|az login|"
            r"building account|obtain a token|Authenticating using"
        ),
        "nobody is logged in to Azure",
        _LOGIN,
    ),
    (
        "AuthorizationPermissionMismatch|AuthorizationFailure",
        "this login may not read or write Terraform's state, or not from this network",
        (
            "az role assignment create --role 'Storage Blob Data Contributor' --assignee WHO"
            " --scope ID, of the storage account in infra/*.backend.json; give it minutes"
        ),
    ),
    (
        (
            "ContainerNotFound|containers[.]Client|error loading state|"
            "(?i:failed to get existing workspaces|backend (configuration|initialization))"
        ),
        "the store of Terraform's state does not answer, or nobody has made it",
        _BOOTSTRAP,
    ),
    (
        r"SkuNotAvailable|NotAvailableForSubscription|(?i:sku|size).{0,80}not available",
        "the region has not this size, or not for this subscription",
        "choose another size, or workspace.location; `check` lists sizes that the region has",
    ),
    (
        "(?i)quota",
        "the quota is used up",
        "ask for more in the portal (Quotas), or choose another size or workspace.location",
    ),
    (
        "AuthorizationFailed|does not have authorization",
        "this login may not do that",
        "it takes Contributor and Role Based Access Control Administrator on the subscription",
    ),
    (
        "needs to be imported into the State|(?i:already ?(exists|taken|in use)|NameUnavailable)",
        "something of this name exists and is not Terraform's",
        _TAKEN,
    ),
    ("acquiring the state lock", "Terraform's state can not be locked", _AGAIN),
)


def refusal(diagnostics: Sequence[Mapping[str, Any]], by_hand: By_hand) -> StateError:
    """The error of a command that failed, from what it said.

    The first one counts: others mostly follow from it.

    Args:
        diagnostics: What it said.
        by_hand: How a command is written that a person gives.
    """
    first = diagnostics[0]
    summary, detail = str(first["summary"]), str(first.get("detail", ""))
    whole = f"{summary}: {detail}"
    lock = dict(_LOCK.findall(whole))
    if "acquiring the state lock" in summary and "ID" in lock:
        return _locked(lock, by_hand)
    where = f"{first['address']}: " if first.get("address") else ""
    if summary == "Instance cannot be destroyed":
        return _protected(detail, by_hand)
    if "dependency lock file" in summary:
        message = "infra/.terraform.lock.hcl has other providers than infra/*.tf asks for"
        return StateError(message, f"delete it, then {_AGAIN}")
    for said, message, cure in _MEANT:
        if re.search(said, whole):
            return StateError(f"{message}\n  {where}{_short(whole)}", cure)
    return StateError(f"Terraform: {where}{_short(whole)}", _AGAIN)


def silent(seconds: float) -> StateError:
    """The error of a command that has waited so long for the store of the state."""
    message = f"the store of Terraform's state has not answered in {seconds:g} s"
    return StateError(message, f"{_BOOTSTRAP}; or look at the network and the proxy")


def _protected(detail: str, by_hand: By_hand) -> StateError:
    """What holds data or models would go: because of the spec, or because it was made by half."""
    named = re.search(r"Resource (\S+) has", detail)
    address = named[1] if named else "ADDRESS"
    message = f"{address} holds data or models and would be deleted, or replaced by an empty one"
    cure = f"take back what causes it, mostly another name or region (on purpose: {_GUIDE}); if an"
    half = f"apply that broke half-way has left it: {by_hand('untaint', address)}"
    return StateError(message, f"{cure} {half}")


def _locked(lock: Mapping[str, str], by_hand: By_hand) -> StateError:
    who, since = lock.get("Who", "somebody"), lock.get("Created", "")[:19]
    message = f"{who} works on the same infrastructure since {since} ({lock.get('Operation', '')})"
    free = by_hand("force-unlock", lock["ID"])
    return StateError(message, f"wait; if nobody does any more: {free}")


def _short(text: str) -> str:
    one = redact(" ".join(text.split()))
    return one if len(one) <= _MOST_LETTERS else f"{one[:_MOST_LETTERS]}..."
