"""Workspaces, their datastores, and where their other services are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import identity, workspaces
from mlops_spec.emulator.routing import API, ARM, WORKSPACE, Reply, Route, ServiceError, invalid
from mlops_spec.emulator.sas import DOMAIN

if TYPE_CHECKING:
    from mlops_spec.emulator.routing import Call
    from mlops_spec.emulator.workspaces import Workspace
    from mlops_spec.emulator.world import World

REGION = "westeurope"
API_HOST = f"{REGION}.api.azureml.ms"


async def make(world: World, workspace: Workspace, sent: dict[str, Any] | None = None) -> None:
    """Makes a workspace with its containers, or changes what was sent for it."""
    names = [workspace.subscription, workspace.group, workspace.name]
    key = f"workspaces/{workspace.key}"
    known = world.store.get(key) or {"names": names, "system": workspaces.system_data()}
    for datastore in workspaces.STORES:
        await world.blobs.make_container(workspace.container(datastore))
    world.store.put(key, {**known, "sent": {**known.get("sent", {}), **(sent or {})}})


async def put(world: World, call: Call) -> Reply:
    """Makes or changes a workspace."""
    workspace = workspaces.asked(call)
    if workspaces.parse(f"{workspace.subscription}/{workspace.group}/{workspace.name}") is None:
        raise invalid(f"The workspace name is not valid: {workspace.name}")
    await make(world, workspace, call.body or {})
    return Reply(200, _resource(world, workspaces.existing(world.store, call)))


async def get(world: World, call: Call) -> Reply:
    """One workspace."""
    return Reply(body=_resource(world, workspaces.existing(world.store, call)))


async def list_of_group(world: World, call: Call) -> Reply:
    """The workspaces of a resource group."""
    found = (workspaces.Workspace(*d["names"]) for _, d in world.store.under("workspaces/"))
    prefix = f"{call.found['subscription']}/{call.found['group']}/".lower()
    return Reply(body={"value": [_resource(world, w) for w in found if w.key.startswith(prefix)]})


async def delete(world: World, call: Call) -> Reply:
    """Removes a workspace; its documents stay, and are there again when it is."""
    world.store.delete(f"workspaces/{workspaces.existing(world.store, call).key}")
    return Reply(200)


def _resource(world: World, workspace: Workspace) -> dict[str, Any]:
    document = world.store.get(f"workspaces/{workspace.key}") or {}
    sent = document["sent"]
    account = world.blobs.account.name
    scope = f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.group}/providers"
    return {
        "id": workspace.id,
        "name": workspace.name,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": sent.get("location", REGION),
        "tags": sent.get("tags") or {},
        "kind": "Default",
        "identity": {
            "type": "SystemAssigned",
            "principalId": identity.CLIENT,
            "tenantId": identity.TENANT,
        },
        "sku": {"name": "Basic", "tier": "Basic"},
        "systemData": document["system"],
        "properties": {
            "friendlyName": workspace.name,
            "storageAccount": f"{scope}/Microsoft.Storage/storageAccounts/{account}",
            "keyVault": f"{scope}/Microsoft.KeyVault/vaults/emulator",
            "applicationInsights": f"{scope}/microsoft.insights/components/emulator",
            **sent.get("properties", {}),
            "workspaceId": workspace.guid,
            "tenantId": identity.TENANT,
            "provisioningState": "Succeeded",
            "discoveryUrl": f"https://{API_HOST}/discovery",
            "mlFlowTrackingUri": f"azureml://{API_HOST}/mlflow/v1.0{workspace.id}",
            "publicNetworkAccess": "Enabled",
            "hbiWorkspace": False,
            "v1LegacyMode": False,
        },
    }


async def discovery(_: World, call: Call) -> Reply:
    """Where a workspace's other services are."""
    base = f"https://{call.host}"
    names = ("api", "history", "experimentation", "modelmanagement", "catalog", "metrics")
    return Reply(body=dict.fromkeys(names, base))


async def datastores(world: World, call: Call) -> Reply:
    """Every datastore, or the default one."""
    workspace = workspaces.existing(world.store, call)
    default = call.query.get("isDefault", "").lower() == "true"
    names = [workspaces.DEFAULT_STORE] if default else [*workspaces.STORES]
    return Reply(body={"value": [_datastore(world, workspace, name) for name in names]})


async def datastore(world: World, call: Call) -> Reply:
    """One datastore."""
    workspace = workspaces.existing(world.store, call)
    return Reply(body=_datastore(world, workspace, call.found["name"]))


async def list_secrets(world: World, call: Call) -> Reply:
    """A signature for a datastore's container."""
    workspace = workspaces.existing(world.store, call)
    container = _datastore(world, workspace, call.found["name"])["properties"]["containerName"]
    expired = world.faults.take("expired_sas", call) is not None
    token = world.blobs.account.for_container(container, expired=expired)
    return Reply(body={"secretsType": "Sas", "sasToken": token})


def _datastore(world: World, workspace: Workspace, name: str) -> dict[str, Any]:
    if name not in workspaces.STORES:
        message = f"Could not find datastore {name} in this workspace"
        raise ServiceError(404, "UserError", message)
    made = (world.store.get(f"workspaces/{workspace.key}") or {})["system"]
    return {
        "id": f"{workspace.id}/datastores/{name}",
        "name": name,
        "type": "Microsoft.MachineLearningServices/workspaces/datastores",
        "systemData": made,
        "properties": {
            "datastoreType": "AzureBlob",
            "accountName": world.blobs.account.name,
            "containerName": workspace.container(name),
            "endpoint": DOMAIN.removeprefix("blob."),
            "protocol": "https",
            "isDefault": name == workspaces.DEFAULT_STORE,
            "credentials": {"credentialsType": "AccountKey"},
            "serviceDataAccessAuthIdentity": "None",
            "description": None,
            "properties": {},
            "tags": {},
        },
    }


_STORE = WORKSPACE + "/datastores"
ROUTES = (
    Route("GET", ARM, WORKSPACE.rpartition("/")[0], list_of_group),
    Route("PUT", ARM, WORKSPACE, put),
    Route("GET", ARM, WORKSPACE, get),
    Route("DELETE", ARM, WORKSPACE, delete),
    Route("GET", API, "/discovery", discovery, public=True),
    Route("GET", ARM, _STORE, datastores),
    Route("GET", ARM, _STORE + "/{name}", datastore),
    Route("POST", ARM, _STORE + "/{name}/listSecrets", list_secrets),
)
