"""What a request is called where rights are given, and how Azure refuses one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlops_spec.emulator.identity import CLIENT
from mlops_spec.emulator.routing import ServiceError
from mlops_spec.emulator.sas import DOMAIN

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_PROVIDER = re.compile(r"(.*)/providers/([^/]+)((?:/[^/]+)+)", re.IGNORECASE)


def operation(method: str, path: str) -> str:
    """A request as roles name it: `Microsoft.MachineLearningServices/workspaces/jobs/write`."""
    match = _PROVIDER.fullmatch(path)
    if match is None:
        return f"Microsoft.Resources/subscriptions/{_VERBS.get(method, 'action')}"
    kinds = match[3].strip("/").split("/")
    verb = _VERBS.get(method)
    if verb is None:  # what is done to a resource is the last part of the address
        verb = f"{kinds.pop() if len(kinds) % 2 else 'do'}/action"
    return "/".join([match[2], *kinds[::2], verb])


def refusal(call: Call) -> ServiceError:
    """What somebody is told who may not do that."""
    if call.host.endswith(f".{DOMAIN}"):
        message = "This request is not authorized to perform this operation using this permission."
        return ServiceError(403, "AuthorizationPermissionMismatch", message)
    who = f"The client '{CLIENT}' with object id '{CLIENT}'"
    message = (
        f"{who} does not have authorization to perform action"
        f" '{operation(call.method, call.path)}' over scope '{call.path}' or the scope is invalid."
        " If access was recently granted, please refresh your credentials."
    )
    return ServiceError(403, "AuthorizationFailed", message)
