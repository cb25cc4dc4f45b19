"""Which blobs an address means: Azure ML has five ways to write one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlops_spec.emulator import workspaces
from mlops_spec.emulator.routing import ServiceError, invalid

if TYPE_CHECKING:
    from mlops_spec.emulator.sas import Account
    from mlops_spec.emulator.store import Store
    from mlops_spec.emulator.workspaces import Workspace

_DATASTORE = re.compile(r"azureml://(?:.*/)?datastores/([^/]+)/(?:paths/)?(.*)")
_JOB = re.compile(r"azureml://(?:.*/)?jobs/([^/]+)/outputs/([^/]+)(?:/paths)?/?(.*)")
_ASSET = re.compile(
    r"(?:azureml:)?/.*/(data|models|codes|environments|components)/([^/]+)/versions/([^/]+)"
)
_URI = {"data": "dataUri", "models": "modelUri", "codes": "codeUri"}


@dataclass(frozen=True)
class Place:
    """Blobs of a container whose names begin so; or the one whose name it is."""

    container: str
    name: str


def datastore_uri(workspace: Workspace, datastore: str, path: str) -> str:
    """The long form of an address in a datastore."""
    return (
        f"azureml://subscriptions/{workspace.subscription}/resourcegroups/{workspace.group}"
        f"/workspaces/{workspace.name}/datastores/{datastore}/paths/{path}"
    )


def resolved(store: Store, workspace: Workspace, uri: str) -> str:
    """An address without a detour: of an asset or a job's output, where its blobs are.

    Raises:
        ServiceError: There is no such asset or output.
    """
    if match := _JOB.fullmatch(uri):
        job, output, rest = match.groups()
        base = _output(store, workspace, job, output).rstrip("/")
        return f"{base}/{rest}" if rest else base
    if match := _ASSET.fullmatch(uri):
        kind, name, version = match.groups()
        found = asset(store, workspace, kind, name, version)
        return str(found["properties"][_URI[kind]]) if kind in _URI else uri
    return uri


def asset(store: Store, workspace: Workspace, kind: str, name: str, version: str) -> dict[str, Any]:
    """A version of an asset.

    Raises:
        ServiceError: There is none.
    """
    found = store.get(f"{workspace.key}/{kind}/{name}/{version}")
    if found is None:
        raise ServiceError(404, "UserError", f"Not found: {kind} {name}, version {version}.")
    return found


def _output(store: Store, workspace: Workspace, job: str, output: str) -> str:
    document = store.get(f"{workspace.key}/jobs/{job}")
    places = document["run"]["outputs"] if document else {}
    if output not in places:
        raise ServiceError(404, "UserError", f"Not found: output {output} of job {job}.")
    return str(places[output])


def place(store: Store, workspace: Workspace, account: Account, uri: str) -> Place:
    """Where the blobs of an address are.

    Raises:
        ServiceError: Nowhere here, or it is no address.
    """
    uri = resolved(store, workspace, uri)
    if match := _DATASTORE.fullmatch(uri):
        datastore, path = match.groups()
        if datastore not in workspaces.STORES:
            raise ServiceError(404, "UserError", f"Not found: datastore {datastore}.")
        return Place(workspace.container(datastore), path.strip("/"))
    own = f"https://{account.host}/"
    if uri.startswith(own):
        container, _, name = unquote(uri.removeprefix(own).partition("?")[0]).partition("/")
        return Place(container, name.strip("/"))
    raise invalid(f"The address is not in the emulator's blob storage: {uri}")
