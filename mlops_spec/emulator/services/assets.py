"""Versioned assets: data, environments, code, components and models, which differ in little."""

from __future__ import annotations

import re
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import locations, versions, workspaces
from mlops_spec.emulator.paging import page
from mlops_spec.emulator.routing import ARM, WORKSPACE, Reply, Route, ServiceError, invalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.workspaces import Workspace
    from mlops_spec.emulator.world import World

_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,254}", re.ASCII)
# What makes a version what it is, and can not be changed afterwards
_CONTENT = {
    "data": ("dataUri", "dataType"),
    "models": ("modelUri", "modelType"),
    "codes": ("codeUri",),
    "components": ("componentSpec",),
    "environments": ("image", "condaFile", "build"),
}
_TYPE = "Microsoft.MachineLearningServices/workspaces/"
# What Azure answers besides what was sent; its clients fail without some of it
_DEFAULTS: dict[str, dict[str, Any]] = {
    "models": {"flavors": {}, "stage": None},
    "environments": {"environmentType": "UserCreated"},
}
_UNCHANGEABLE = "A asset with this name and version already exists with a different {}."


async def put_version(kind: str, world: World, call: Call) -> Reply:
    """Makes a version, or changes its description, tags and properties."""
    workspace, name, version = _asked(world, call)
    if not (_NAME.fullmatch(name) and _NAME.fullmatch(version)):
        raise invalid(f"Not a valid name and version: {name}, {version}")
    properties = dict((call.body or {}).get("properties") or {})
    if not any(properties.get(field) for field in _CONTENT[kind]):
        raise invalid(f"One of these is required: {', '.join(_CONTENT[kind])}")
    for field in ("dataUri", "modelUri"):
        if field in properties:
            properties |= _resolved(world, workspace, field, properties[field])
    if properties.get("properties"):
        properties["properties"] = {n: str(v) for n, v in properties["properties"].items()}
    key = versions.key(workspace, kind, name, version)
    known = world.store.get(key)
    for field in _CONTENT[kind] if known else ():
        if known and properties.get(field) != known["properties"].get(field):
            raise ServiceError(409, "Conflict", _UNCHANGEABLE.format(field))
    versions.put(world.store, key, properties)
    return Reply(200 if known else 201, _version(kind, world, workspace, name, version))


def _resolved(world: World, workspace: Workspace, field: str, uri: str) -> dict[str, Any]:
    """What is kept of an address: where the blobs are, and which job made them."""
    job = re.fullmatch(r"azureml://(?:.*/)?jobs/([^/]+)/outputs/.*", uri)
    made = {"jobName": job[1]} if job and field == "modelUri" else {}
    return {field: locations.resolved(world.store, workspace, uri), **made}


async def get_version(kind: str, world: World, call: Call) -> Reply:
    """One version."""
    workspace, name, version = _asked(world, call)
    return Reply(body=_version(kind, world, workspace, name, version))


async def delete_version(kind: str, world: World, call: Call) -> Reply:
    """Removes a version."""
    workspace, name, version = _asked(world, call)
    gone = world.store.delete(f"{workspace.key}/{kind}/{name}/{version}")
    return Reply(200 if gone else 204)


async def list_versions(kind: str, world: World, call: Call) -> Reply:
    """Versions of a name, newest first; code that is asked for by its hash may have any name."""
    workspace = workspaces.existing(world.store, call)
    name = call.found["name"]
    prefix = f"{workspace.key}/{kind}/" + ("" if "hash" in call.query else f"{name}/")
    found = [
        [name, *key.split("/")][-2:]
        for key, document in world.store.under(prefix)
        if _is_wanted(document["properties"], call)
    ]
    resources = [_version(kind, world, workspace, *names) for names in reversed(found)]
    return Reply(body=page(call, resources))


def _is_wanted(properties: dict[str, Any], call: Call) -> bool:
    view = call.query.get("listViewType", "ActiveOnly")
    archived = bool(properties.get("isArchived"))
    digest = call.query.get("hash")
    kept = (properties.get("properties") or {}).get("hash_sha256")
    return view in ("All", "ArchivedOnly" if archived else "ActiveOnly") and digest in (None, kept)


async def put_named(kind: str, world: World, call: Call) -> Reply:
    """Makes or changes what all versions of a name share."""
    workspace, name, _ = _asked(world, call)
    key = f"{workspace.key}/{kind}-named/{name}"
    known = world.store.get(key) or {"system": workspaces.system_data()}
    properties = dict((call.body or {}).get("properties") or {})
    world.store.put(key, {**known, "properties": properties})
    return Reply(200 if "latest" in known else 201, _named(kind, world, workspace, name))


async def get_named(kind: str, world: World, call: Call) -> Reply:
    """What all versions of a name share."""
    workspace, name, _ = _asked(world, call)
    return Reply(body=_named(kind, world, workspace, name))


async def list_named(kind: str, world: World, call: Call) -> Reply:
    """Every name."""
    workspace = workspaces.existing(world.store, call)
    found = [*world.store.under(f"{workspace.key}/{kind}-named/")]
    names = [name for name, document in found if _is_wanted(document["properties"], call)]
    return Reply(body=page(call, [_named(kind, world, workspace, name) for name in names]))


async def pending_upload(kind: str, world: World, call: Call) -> Reply:
    """A new container for a version that is to be."""
    _, name, version = _asked(world, call)
    account = world.blobs.account
    container = f"{name[:20].lower().strip('-_')}-{uuid.uuid4()}"
    container = re.sub(r"[^a-z0-9]+", "-", container).strip("-")
    await world.blobs.make_container(container)
    expired = world.faults.take("expired_sas", call) is not None
    blob_uri = account.url(container)
    signed = f"{blob_uri}?{account.for_container(container, expired=expired)}"
    return Reply(
        body={
            "pendingUploadId": f"{kind}-{name}-{version}",
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": blob_uri,
                "storageAccountArmId": f"/emulator/storageAccounts/{account.name}",
                "credential": {"credentialType": "SAS", "sasUri": signed},
            },
        }
    )


def _asked(world: World, call: Call) -> tuple[Workspace, str, str]:
    workspace = workspaces.existing(world.store, call)
    return workspace, call.found["name"], call.found.get("version", "")


def _version(
    kind: str, world: World, workspace: Workspace, name: str, version: str
) -> dict[str, Any]:
    document = locations.asset(world.store, workspace, kind, name, version)
    shown = {"isArchived": False, "isAnonymous": False, "description": None}
    return {
        "id": f"{workspace.id}/{kind}/{name}/versions/{version}",
        "name": version,
        "type": f"{_TYPE}{kind}/versions",
        "systemData": document["system"],
        "properties": {
            **shown,
            "tags": {},
            "properties": {},
            **_DEFAULTS.get(kind, {}),
            **document["properties"],
            **_state(kind),
        },
    }


def _state(kind: str) -> dict[str, str]:
    """All kinds but one say that they have been made."""
    return {} if kind == "data" else {"provisioningState": "Succeeded"}


def _named(kind: str, world: World, workspace: Workspace, name: str) -> dict[str, Any]:
    document = world.store.get(f"{workspace.key}/{kind}-named/{name}")
    if document is None:
        raise ServiceError(404, "UserError", f"Not found: {kind} {name}.")
    found: dict[str, Any] = {
        "latestVersion": document.get("latest"),
        "nextVersion": versions.following(world.store, workspace, kind, name),
        **_state(kind),
    }
    if kind == "data":
        latest = f"{workspace.key}/{kind}/{name}/{document.get('latest')}"
        known = world.store.get(latest) or {"properties": {}}
        found["dataType"] = known["properties"].get("dataType", "uri_folder")
    shown: dict[str, Any] = {"isArchived": False, "description": None, "tags": {}}
    return {
        "id": f"{workspace.id}/{kind}/{name}",
        "name": name,
        "type": f"{_TYPE}{kind}",
        "systemData": document["system"],
        "properties": {**shown, "properties": {}, **document["properties"], **found},
    }


def _routes(kind: str) -> Iterator[Route]:
    names, one = f"{WORKSPACE}/{kind}", f"{WORKSPACE}/{kind}/{{name}}"
    version = f"{one}/versions/{{version}}"
    yield Route("GET", ARM, names, partial(list_named, kind))
    yield Route("GET", ARM, one, partial(get_named, kind))
    yield Route("PUT", ARM, one, partial(put_named, kind))
    yield Route("GET", ARM, f"{one}/versions", partial(list_versions, kind))
    yield Route("GET", ARM, version, partial(get_version, kind))
    yield Route("PUT", ARM, version, partial(put_version, kind))
    yield Route("DELETE", ARM, version, partial(delete_version, kind))
    yield Route("POST", ARM, f"{version}/startPendingUpload", partial(pending_upload, kind))


ROUTES = tuple(route for kind in _CONTENT for route in _routes(kind))
