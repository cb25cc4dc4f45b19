"""Azure's resource manager, asked without its SDK: each question once, and nothing is changed."""

from __future__ import annotations

import base64
import binascii
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mlops_spec.azure import client
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from mlops_spec.azure.place import Place

_LEARNING = "2024-04-01"  # api-version of Microsoft.MachineLearningServices
_AUTHORIZATION = "2022-04-01"
_PROVIDER = "Microsoft.MachineLearningServices"
_SECONDS = 20
_KINDS = {401: "ClientAuthenticationError", 404: "ResourceNotFoundError"}
_MOST_PAGES = 50


def who() -> dict[str, str]:
    """What the token of this login says of its owner; the token itself is not told."""
    payload = client.token().partition(".")[2].partition(".")[0]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return {name: str(claims[name]) for name in ("oid", "appid", "tid") if name in claims}
    except (binascii.Error, ValueError, TypeError):
        return {}


def workspace(place: Place) -> dict[str, Any] | None:
    """The workspace; None where there is none."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return _ask(place.path, _LEARNING)
    except ResourceNotFoundError as error:
        if error.error is not None and error.error.code == "SubscriptionNotFound":
            raise
        return None


def cluster(place: Place, name: str) -> dict[str, Any] | None:
    """A compute target; None where there is none."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return _ask(f"{place.path}/computes/{name}", _LEARNING)
    except ResourceNotFoundError:
        return None


def permissions(place: Place) -> list[dict[str, Any]]:
    """What this login may do in a workspace."""
    path = f"{place.path}/providers/Microsoft.Authorization/permissions"
    return _all(path, _AUTHORIZATION)


def sizes(place: Place, location: str) -> list[dict[str, Any]]:
    """The machines that Azure ML has in a region."""
    return _all(f"{_region(place, location)}/vmSizes", _LEARNING)


def usages(place: Place, location: str) -> list[dict[str, Any]]:
    """How many vCPUs are used in a region, and how many may be."""
    return _all(f"{_region(place, location)}/usages", _LEARNING)


def _region(place: Place, location: str) -> str:
    return f"/subscriptions/{place.subscription}/providers/{_PROVIDER}/locations/{location}"


def _all(path: str, version: str) -> list[dict[str, Any]]:
    document = _ask(path, version)
    found: list[dict[str, Any]] = []
    for _ in range(_MOST_PAGES):
        found += document.get("value") or []
        following = str(document.get("nextLink") or "")
        if not following:
            return found
        if not following.startswith(f"{client.MANAGEMENT}/"):
            raise StateError("Azure's list goes on at an address that is not its own")
        document = _ask(following.removeprefix(client.MANAGEMENT))
    return found


def _ask(path: str, version: str = "") -> dict[str, Any]:
    """One answer, or the error of Azure's that `client.told` knows."""
    from azure.core import PipelineClient, exceptions
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy
    from azure.core.rest import HttpRequest

    parameters = {"api-version": version} if version else {}
    proves = BearerTokenCredentialPolicy(client.identity(), f"{client.MANAGEMENT}/.default")
    request = HttpRequest("GET", f"{client.MANAGEMENT}{path}", params=parameters)
    azure: Any = PipelineClient(client.MANAGEMENT, policies=[proves])
    with azure:
        answer = azure.send_request(request, connection_timeout=_SECONDS, read_timeout=_SECONDS)
    if answer.status_code in _KINDS:
        raise getattr(exceptions, _KINDS[answer.status_code])(response=answer)
    if answer.status_code != HTTPStatus.OK:
        raise exceptions.HttpResponseError(response=answer)
    document: dict[str, Any] = answer.json()
    return document
