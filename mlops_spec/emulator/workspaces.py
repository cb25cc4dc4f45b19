"""Which workspace a request is about, and where its things are kept."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator.routing import ServiceError

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.store import Store

_PROVIDER = "Microsoft.MachineLearningServices"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{2,32}"
_ADDRESS = re.compile(rf"([0-9A-Za-z-]+)/([\w.()-]{{1,90}})/({_NAME})", re.ASCII)
_OF_ID = re.compile(
    r"/?subscriptions/([^/]+)/resourceGroups/([^/]+)/(?:providers/[^/]+/)?workspaces/([^/]+)",
    re.IGNORECASE,
)
STORES = {"workspaceblobstore": "azureml-blobstore-", "workspaceartifactstore": "azureml-"}
DEFAULT_STORE, ARTIFACTS = STORES


@dataclass(frozen=True)
class Workspace:
    """A workspace by the three names that lead to it."""

    subscription: str
    group: str
    name: str

    @property
    def id(self) -> str:
        """As ARM calls it."""
        scope = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{scope}/providers/{_PROVIDER}/workspaces/{self.name}"

    @property
    def key(self) -> str:
        """Where its documents are; ARM compares these names without case."""
        return f"{self.subscription}/{self.group}/{self.name}".lower()

    @property
    def guid(self) -> str:
        """The same for the same names, so that containers are found again."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.key))

    def container(self, datastore: str) -> str:
        """Where a datastore's blobs are."""
        return STORES[datastore] + self.guid


def parse(text: str) -> Workspace | None:
    """SUBSCRIPTION/GROUP/NAME; None for anything else."""
    match = _ADDRESS.fullmatch(text)
    return Workspace(*match.groups()) if match else None


def of_id(resource_id: str) -> Workspace | None:
    """The workspace that an ARM id, or a long azureml:// address, lies in."""
    match = _OF_ID.search(resource_id)
    return Workspace(*match.groups()) if match else None


def asked(call: Call) -> Workspace:
    """The workspace of a request, whether it exists or not."""
    return Workspace(*(call.found[name] for name in ("subscription", "group", "workspace")))


def existing(store: Store, call: Call) -> Workspace:
    """The workspace of a request, as it was written when it was made.

    Raises:
        ServiceError: There is none of that name.
    """
    workspace = asked(call)
    document = store.get(f"workspaces/{workspace.key}")
    if document is None:
        raise _missing(store, workspace)
    return Workspace(*document["names"])


def _missing(store: Store, workspace: Workspace) -> ServiceError:
    """What is not there; subscriptions and groups are here that have a workspace."""
    within = f"workspaces/{workspace.subscription.lower()}/"
    if not any(store.under(within)):
        message = f"The subscription '{workspace.subscription}' could not be found."
        return ServiceError(404, "SubscriptionNotFound", message)
    if not any(store.under(f"{within}{workspace.group.lower()}/")):
        message = f"Resource group '{workspace.group}' could not be found."
        return ServiceError(404, "ResourceGroupNotFound", message)
    message = (
        f"The Resource '{_PROVIDER}/workspaces/{workspace.name}' under resource group"
        f" '{workspace.group}' was not found. For more details please go to"
        " https://aka.ms/ARMResourceNotFoundFix"
    )
    return ServiceError(404, "ResourceNotFound", message)


def now() -> str:
    """The time as Azure writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def system_data() -> dict[str, Any]:
    """Who made a resource, and when."""
    who = {"createdBy": "emulator", "createdByType": "Application"}
    changed = {"lastModifiedBy": "emulator", "lastModifiedByType": "Application"}
    return {**who, **changed, "createdAt": now(), "lastModifiedAt": now()}
