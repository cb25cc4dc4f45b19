"""What Terraform's errors mean: one message with the command that cures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_spec.errors import StateError
from mlops_spec.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_LETTERS = 600
_AGAIN = "run the same command again"
_COMPARE = f"{_AGAIN}: it compares anew"
_LOCK = re.compile(r"^\s*(ID|Operation|Who|Created):\s*(.*?)\s*$", re.MULTILINE)
_GUIDE = "docs/infrastructure.md"
_MEANT = (  # what Terraform says -> what has happened, and what to do
    (
        "Saved plan (is stale|does not match)",
        "the infrastructure has changed since its differences were shown; nothing was applied",
        _COMPARE,
    ),
    (
        "Instance cannot be destroyed",
        "data or models would be deleted, or replaced by something empty; they are protected",
        f"take back what causes it, mostly another name or region; on purpose: {_GUIDE}",
    ),
    (
        "(?i)azuredevops|azure devops|AZDO_",
        "Azure DevOps does not answer, or not to this login",
        (
            "log in (az login); where a spec wants no Azure DevOps, its provider asks nevertheless:"
            f" set AZDO_ORG_SERVICE_URL, or leave out infra/main.devops.tf; see {_GUIDE}"
        ),
    ),
    (
        (
            r"(?i)could not configure \w+ Authorizer|unable to build authorizer|az login|"
            r"building account|obtain a token|Authenticating using"
        ),
        "nobody is logged in to Azure",
        (
            "az login, or the variables ARM_CLIENT_ID, ARM_TENANT_ID and ARM_USE_OIDC=true or"
            " ARM_CLIENT_SECRET"
        ),
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
        "needs to be imported into the State|already exists",
        "something of this name exists and is not Terraform's",
        "choose another one (workspace.names), or take it over: terraform import",
    ),
    (
        (
            "(?i)backend (configuration|initialization)|containers?.* not (be )?found|"
            "ResourceGroupNotFound.*state|error loading state|failed to get existing workspaces"
        ),
        "the store of Terraform's state does not answer, or nobody has made it",
        (
            "make it once: terraform -chdir=infra/bootstrap init && terraform"
            f" -chdir=infra/bootstrap apply; then {_AGAIN}"
        ),
    ),
    (
        "Failed to query available provider packages|could not connect to registry",
        "Terraform's providers can not be downloaded",
        "look at the network and the proxy, or set up a mirror of providers",
    ),
    (
        "(?i)dependency lock file",
        "infra/.terraform.lock.hcl has other providers than infra/*.tf asks for",
        "terraform -chdir=infra init -upgrade",
    ),
)


def refusal(diagnostics: Sequence[Mapping[str, Any]]) -> StateError:
    """The error of a command that failed, from what it said.

    The first one counts: others mostly follow from it.
    """
    first = diagnostics[0] if diagnostics else {"summary": "Terraform ended without a word"}
    summary, detail = str(first["summary"]), str(first.get("detail", ""))
    whole = f"{summary}: {detail}"
    if "state lock" in summary:
        return _locked(dict(_LOCK.findall(whole)), whole)
    where = f"{first['address']}: " if first.get("address") else ""
    for said, message, cure in _MEANT:
        if re.search(said, whole):
            return StateError(f"{message}\n  {where}{_short(whole)}", cure)
    return StateError(f"Terraform: {where}{_short(whole)}", _AGAIN)


def _locked(lock: Mapping[str, str], whole: str) -> StateError:
    if "ID" not in lock:
        return StateError(f"Terraform's state can not be locked\n  {_short(whole)}", _AGAIN)
    who, since = lock.get("Who", "somebody"), lock.get("Created", "")[:19]
    message = f"{who} works on the same infrastructure since {since} ({lock.get('Operation', '')})"
    cure = f"wait; if nobody does any more: terraform -chdir=infra force-unlock {lock['ID']}"
    return StateError(message, cure)


def _short(text: str) -> str:
    one = redact(" ".join(text.split()))
    return one if len(one) <= _MOST_LETTERS else f"{one[:_MOST_LETTERS]}..."
