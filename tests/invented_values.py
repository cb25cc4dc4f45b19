"""What Azure would say of a resource: its id, and a value for whatever else it decides itself.

The same resource gets the same values each time, so that one that was looked up agrees with the one
that was made.
"""

from __future__ import annotations

import re
import uuid

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"  # until a provider is told another
TENANT = "7e0a0000-0000-4000-8000-000000000001"
WHO = {  # who applies
    "tenant_id": TENANT,
    "object_id": "7e0a0000-0000-4000-8000-000000000002",
    "client_id": "7e0a0000-0000-4000-8000-000000000003",
}

_GROUP = "/subscriptions/{subscription}/resourceGroups"
_IN_GROUP = {  # what is made in a resource group: its type, as Azure spells it
    "azurerm_application_insights": "Microsoft.Insights/components",
    "azurerm_cognitive_account": "Microsoft.CognitiveServices/accounts",
    "azurerm_container_registry": "Microsoft.ContainerRegistry/registries",
    "azurerm_key_vault": "Microsoft.KeyVault/vaults",
    "azurerm_kubernetes_cluster": "Microsoft.ContainerService/managedClusters",
    "azurerm_linux_web_app": "Microsoft.Web/sites",
    "azurerm_log_analytics_workspace": "Microsoft.OperationalInsights/workspaces",
    "azurerm_machine_learning_workspace": "Microsoft.MachineLearningServices/workspaces",
    "azurerm_private_dns_zone": "Microsoft.Network/privateDnsZones",
    "azurerm_private_endpoint": "Microsoft.Network/privateEndpoints",
    "azurerm_service_plan": "Microsoft.Web/serverFarms",
    "azurerm_storage_account": "Microsoft.Storage/storageAccounts",
    "azurerm_user_assigned_identity": "Microsoft.ManagedIdentity/userAssignedIdentities",
    "azurerm_virtual_network": "Microsoft.Network/virtualNetworks",
}
_IDS = {
    "azapi_resource": "{parent_id}/{child}/{name}",
    "azurerm_federated_identity_credential": (
        "{user_assigned_identity_id}/federatedIdentityCredentials/{name}"
    ),
    "azurerm_key_vault_secret": "https://{vault}.vault.azure.net/secrets/{name}/1",
    "azurerm_kubernetes_cluster_extension": (
        "{cluster_id}/providers/Microsoft.KubernetesConfiguration/extensions/{name}"
    ),
    "azurerm_kubernetes_cluster_node_pool": "{kubernetes_cluster_id}/agentPools/{name}",
    "azurerm_machine_learning_compute_cluster": "{machine_learning_workspace_id}/computes/{name}",
    "azurerm_machine_learning_compute_instance": "{machine_learning_workspace_id}/computes/{name}",
    "azurerm_machine_learning_inference_cluster": "{machine_learning_workspace_id}/computes/{name}",
    "azurerm_machine_learning_datastore_blobstorage": "{workspace_id}/dataStores/{name}",
    "azurerm_management_lock": "{scope}/providers/Microsoft.Authorization/locks/{name}",
    "azurerm_monitor_diagnostic_setting": "{target_resource_id}|{name}",
    "azurerm_resource_group": _GROUP + "/{name}",
    "azurerm_role_assignment": ("{scope}/providers/Microsoft.Authorization/roleAssignments/{guid}"),
    "azurerm_storage_container": "{storage_account_id}/blobServices/default/containers/{name}",
    "azurerm_subnet": (
        _GROUP + "/{resource_group_name}/providers/Microsoft.Network"
        "/virtualNetworks/{virtual_network_name}/subnets/{name}"
    ),
    "azurerm_subscription": "/subscriptions/{subscription}",
    **{
        kind: f"{_GROUP}/{{resource_group_name}}/providers/{path}/{{name}}"
        for kind, path in _IN_GROUP.items()
    },
}
_NUMBERED = {  # Azure DevOps counts these
    "azuredevops_agent_queue",
    "azuredevops_build_definition",
    "azuredevops_check_approval",
    "azuredevops_environment",
    "azuredevops_variable_group",
}
_ADDRESSES = {  # attribute, a regular expression -> what Azure calls it
    r"(?:primary|secondary)_([a-z]+)_(?:[a-z]+_)?host": "{name}.{part}.core.windows.net",
    r"(?:primary|secondary)_([a-z]+)_(?:[a-z]+_)?endpoint": "https://{name}.{part}.core.windows.net/",
    r"vault_uri": "https://{name}.vault.azure.net/",
    r"login_server": "{name}.azurecr.io",
    r"discovery_url": "https://{location}.api.azureml.ms/discovery",
    r"default_(hostname)": "{name}.azurewebsites.net",
    r"(?:.*_)?(endpoint|uri|url)": "https://{name}.example.invalid/",
    r"(?:.*_)?(host|hostname|fqdn)": "{name}.example.invalid",
    r".*_(location)": "{location}",
    r"role_definition_id": (
        "/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
    ),
}


class _Known(dict):
    """Words by name; one that is lacking is made up, so that every template can be filled."""

    def __missing__(self, key):
        return f"no-{key.replace('_', '-')}"


def guid(*seeds):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(map(str, seeds))))


def _child(typed):
    """Where a resource of azapi lies below its parent; `A.B/c/d@2025` is one of its `d`."""
    kind = typed.partition("@")[0]
    return kind.rpartition("/")[2] if kind.count("/") > 1 else f"providers/{kind}"


def _words(values, subscription):
    """What templates may name: the strings that are known, and what follows from them."""
    known = {name: value for name, value in values.items() if isinstance(value, str)}
    return _Known(
        known,
        subscription=subscription,
        vault=known.get("key_vault_id", "").rpartition("/")[2],
        child=_child(known.get("type", "")),
    )


def identifier(kind, values, subscription):
    """The id of a resource from its type and values, in the shape that Azure gives it."""
    words = _words(values, subscription)
    plain = {name: str(value) for name, value in values.items() if isinstance(value, str | int)}
    decided = sorted((name, value) for name, value in plain.items() if name != "id")
    if kind in _NUMBERED:
        return str(uuid.UUID(guid(kind, *decided)).int % 1_000_000)
    words["guid"] = words.get("name") or guid(kind, *decided)
    return _IDS[kind].format_map(words) if kind in _IDS else guid(kind, *decided)


class Inventor:
    """Values for one resource, whose id is known."""

    def __init__(self, values, subscription):
        self._words = _words(values, subscription)
        self._id = values["id"]
        self._values = values

    def invented(self, path, attribute):
        """A value of an attribute's type."""
        if inner := attribute.get("nested_type"):
            of = {name: self.invented((*path, name), a) for name, a in inner["attributes"].items()}
            return {"single": of, "map": {}}.get(inner["nesting_mode"], [of])
        kind = attribute["type"]
        if attribute.get("optional") and kind[0] in ("list", "set"):
            return []  # what was not asked for is not there; what Azure alone decides is
        return self._of_type(path, kind, secret=attribute.get("sensitive"))

    def _of_type(self, path, kind, *, secret):
        """A value of a type as Terraform writes it in JSON; of a list of objects one."""
        match kind:
            case ["object", of]:
                return {n: self._of_type((*path, n), k, secret=secret) for n, k in of.items()}
            case ["list" | "set", ["object", _] as one]:
                return [self._of_type((*path, 0), one, secret=secret)]
            case "string":
                return f"secret-{guid(self._id, *path)}" if secret else self._text(path)
        simple = {
            "number": self._values.get("min", 1),
            "bool": False,
            "dynamic": [b'["object",{}]', {}],
        }
        return simple[kind] if isinstance(kind, str) else {} if kind[0] == "map" else []

    def _text(self, path):
        """A string by its attribute's name: an address, or a GUID; of `random` as long as asked."""
        name = path[-1]
        words = _Known(self._words, guid=guid(self._id, *path))
        if name == "tenant_id":
            return TENANT
        for pattern, template in _ADDRESSES.items():
            if found := re.fullmatch(pattern, str(name)):
                words["part"] = found[1] if found.groups() else ""
                return template.format_map(words)
        if name == "result" and isinstance(length := self._values.get("length"), int):
            return guid(self._id).replace("-", "")[:length]
        return words["guid"]
