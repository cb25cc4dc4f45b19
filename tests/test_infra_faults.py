"""Of each seeded fault in `infra/` the right check says the right thing."""

from __future__ import annotations

import shutil

import pytest
from infra_module import CHECKS, copied, failed, provider_schemas, spoil, surroundings
from schema_provider import serving

pytestmark = pytest.mark.slow

IDENTITY = """
  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.workspace.id]
  }
"""
JOBS = """  count = length(var.clusters) > 0 ? 1 : 0

  name                = var.names.jobs_identity"""
VAULT_ID = "key_vault_id                   = azurerm_key_vault.this.id"
STORAGE_ID = VAULT_ID.replace("azurerm_key_vault", "azurerm_storage_account")
VAULT_ROLE = "vault          = { scope = azurerm_key_vault.this.id"
PRIVATE = "public_network_access_enabled   = !var.private"

FAULTS = {  # file, text, what replaces it, the check that sees it, part of what it says
    # the language, and what schemas know
    "layout": ("main.workspace", "admin_enabled  ", "admin_enabled", "fmt", "admin_enabled"),
    "argument name": (
        *("main.workspace", "admin_enabled  ", "admin_user  "),
        *("validate", "Unsupported argument"),
    ),
    "argument type": ("main.workspace", "= 30 ", "= [30] ", "validate", "number required"),
    "no argument": (
        *("main.workspace", '  sku_name                      = "standard"\n', ""),
        *("validate", "sku_name"),
    ),
    "no block": ("main.workspace", IDENTITY, "", "validate", "Insufficient identity blocks"),
    "no block inside": (
        *("main.aks", '    max_surge = "10%"\n', ""),
        *("validate", '"max_surge" is required'),
    ),
    "reference": (
        *("main.workspace", VAULT_ID, VAULT_ID.replace("this", "main")),
        *("validate", "undeclared resource"),
    ),
    "attribute": (
        *("main.workspace", "current.object_id", "current.me"),
        *("validate", "Unsupported attribute"),
    ),
    "key of a variable": (
        *("main.aks", "var.kubernetes.vm_size", "var.kubernetes.size"),
        *("validate", "Unsupported attribute"),
    ),
    "removed argument": (
        *("main.aks", "auto_scaling_enabled  ", "enable_auto_scaling  "),
        *("validate", "Unsupported argument"),
    ),
    "argument of Azure DevOps": (
        *("main.devops", "requester_can_approve ", "requestor_can_approve "),
        *("validate", "Unsupported argument"),
    ),
    "argument of azapi": (
        *("main.aks", "  body = {", "  properties = {"),
        *("validate", "Unsupported argument"),
    ),
    "deprecated": (
        *("main.workspace", "rbac_authorization_enabled", "enable_rbac_authorization"),
        *("deprecated", "azurerm_key_vault.enable_rbac_authorization"),
    ),
    "deprecated, elsewhere": (
        *("main.devops", "  user_assigned_identity_id = a", "  parent_id                 = a"),
        *("deprecated", "azurerm_federated_identity_credential.parent_id"),
    ),
    "what is sent untyped": (
        "main.aks",
        "resourceId  =",
        "resource_id =",
        "described",
        "resource_id",
    ),
    # wiring
    "kind of id": ("main.workspace", VAULT_ID, STORAGE_ID, "test main", "storageAccounts/a"),
    "kind of name": (
        *("main.workspace", "= var.names.storage_account", "= var.names.key_vault"),
        *("test main", "is named otherwise"),
    ),
    "another's identity": (
        *("main.compute", "jobs[0].id]", "jobs[0].principal_id]"),
        *("test compute", "cluster has another identity"),
    ),
    "nodes as the cluster": (
        *("main.aks", "user_assigned_identity_id = azurerm_user_assigned_identity.nodes[0]"),
        "user_assigned_identity_id = azurerm_user_assigned_identity.kubernetes[0]",
        *("test aks", "nodes have another identity"),
    ),
    "attached to itself": (
        *("main.aks", "resourceId  = azurerm_kubernetes_cluster.this[0].id"),
        "resourceId  = azurerm_machine_learning_workspace.this.id",
        *("test aks", "Something else is attached"),
    ),
    "trusted workspace": (
        *("main.aks", "sourceResourceId = azurerm_machine_learning_workspace.this.id"),
        "sourceResourceId = azurerm_resource_group.this.id",
        *("test aks", "trusts something else"),
    ),
    "another certificate": (
        *("main.aks", '"scoringFe.sslSecret" = var.kubernetes.tls.secret'),
        '"scoringFe.sslSecret" = var.kubernetes.tls.host',
        *("test aks", "Another certificate is used"),
    ),
    "kind of Custom Vision": (
        *("main.vision", "CustomVision.Prediction", "CustomVision.Training"),
        *("test vision", "another kind"),
    ),
    "another's trust": (
        *("main.devops", "subject                   = each.value.subject"),
        "subject                   = each.value.id",
        *("test devops", "trusts something else"),
    ),
    "endpoint of another": (
        *("main.network", 'part  = "file"', 'part  = "blob"'),
        *("test network", "endpoint file leads elsewhere"),
    ),
    "zone of another": (
        *("main.network", '["privatelink.file.core.windows.net"]'),
        '["privatelink.blob.core.windows.net"]',
        *("test network", "Invalid index"),
    ),
    "budget of a year": ("main.budget", '"Monthly"', '"Annually"', "test budget", "is another"),
    "start of a budget": (
        "main.budget",
        "YYYY-MM-01",
        "YYYY-MM-DD",
        "test budget",
        "first of a month",
    ),
    "tags": ("main.workspace", "  tags     = var.tags\n", "", "test main", "lacks the tags"),
    "nodes": (
        *("main.compute", "= each.value.min_nodes", "= each.value.max_nodes"),
        *("test compute", "scales otherwise"),
    ),
    # keys, passwords and what is open
    "keys": (
        *("main.workspace", "  shared_access_key_enabled       = false\n", ""),
        *("test main", "account accepts keys"),
    ),
    "keys of the state": (
        *("bootstrap/main", "shared_access_key_enabled        = false"),
        "shared_access_key_enabled        = true",
        *("bootstrap", "accepts keys"),
    ),
    "datastore": ("main.workspace", '"Identity"', '"AccessKey"', "test main", "storage with a key"),
    "admin": (
        *("main.workspace", "admin_enabled                 = false"),
        "admin_enabled                 = true",
        *("test main", "admin account"),
    ),
    "ssh": (
        *("main.compute", "  ssh_public_access_enabled     = false", "  #"),
        *("test compute", "open SSH port"),
    ),
    "local accounts": (
        *("main.aks", "local_account_disabled            = true"),
        "local_account_disabled            = false",
        *("test aks", "cluster has local accounts"),
    ),
    "keys of Custom Vision": (
        *("main.vision", "local_auth_enabled            = false"),
        "local_auth_enabled            = true",
        *("test vision", "accepts keys"),
    ),
    "password to publish": (
        *("main.web", "ftp_publish_basic_authentication_enabled       = false"),
        "ftp_publish_basic_authentication_enabled       = true",
        *("test web", "password to publish"),
    ),
    "plain HTTP": ("main.web", "  https_only   ", "  enabled   ", "test web", "without TLS"),
    "key written down": (
        "main.web",
        '"@Microsoft.KeyVault(',
        '"(',
        "test web",
        "key is written down",
    ),
    "secret of a connection": (
        *("main.devops", '"WorkloadIdentityFederation"', '"ServicePrincipal"'),
        *("test devops", "connection has a secret"),
    ),
    "secrets for all": (
        *("main.devops", "allow_access = false", "allow_access = true"),
        *("test devops", "every pipeline may read"),
    ),
    "public storage": (
        *("main.workspace", PRIVATE, PRIVATE.replace("!var.private", "true")),
        *("test network", "internet gets to the workspace"),
    ),
    "public Custom Vision": (
        *("main.vision", "  public_network_access_enabled = !var.private\n", ""),
        *("test network", "internet gets to Custom Vision"),
    ),
    "public nodes": (
        *("main.compute", "  node_public_ip_enabled        = !var.private\n", ""),
        *("test network", "public address"),
    ),
    "network too late": (
        *("main.workspace", "provision_on_creation_enabled = true"),
        "provision_on_creation_enabled = false",
        *("test network", "comes too late"),
    ),
    # roles and approvals
    "scope of a role": (
        *("main.workspace", VAULT_ROLE, VAULT_ROLE.replace("key_vault", "resource_group")),
        *("test main", "reaches beyond one resource"),
    ),
    "role that hands out roles": (
        *("main.web", '"Key Vault Secrets User"', '"Owner"'),
        *("test main", "may hand out roles"),
    ),
    "register": (
        *("main.compute", "AzureML Data Scientist", "Reader"),
        *("test compute", "may not do what they must"),
    ),
    "images of the nodes": (
        *("main.aks", 'role = "AcrPull"', 'role = "AcrPush"'),
        *("test aks", "pull images"),
    ),
    "scope of the pipelines": (
        *("main.devops", "azurerm_key_vault.this.id, role", "azurerm_resource_group.this.id, role"),
        *("test devops", "Pipelines may not do what they must"),
    ),
    "authorisation": (
        *("main.devops", "environment in azuredevops_environment.this", "environment in {}"),
        *("test devops", "would ask a person at its first run"),
    ),
    "approval": (
        *("main.devops", ": name if approve]", ": name if !approve]"),
        *("test devops", "Production is not approved"),
    ),
    "own approval": (
        *("main.devops", "requester_can_approve      = false"),
        "requester_can_approve      = true",
        *("test devops", "Production is not approved"),
    ),
    "count": (
        *("main.compute", JOBS, JOBS.replace(": 0", ": 1")),
        *("test compute", "an identity of jobs"),
    ),
    # order, and what is kept
    "too early": (
        *("main.workspace", "  depends_on = [azurerm_role_assignment.w", "  # ["),
        *("order", "assignment.workspace"),
    ),
    "attached too early": (
        *("main.aks", "[azurerm_kubernetes_cluster_extension.azureml, ", "["),
        *("order", "kubernetes_compute -> azurerm_kubernetes_cluster_extension"),
    ),
    "key known too late": (
        *("main.devops", 'name => { type = "endpoint"', 'connection.id => { type = "endpoint"'),
        *("first apply", "Invalid for_each argument"),
    ),
    "destroyed": (
        *("main.workspace", "prevent_destroy = true # data", "prevent_destroy = false # data"),
        *("kept", "azurerm_storage_account.this: may be destroyed"),
    ),
    "image taken back": (
        *("main.web", "ignore_changes = [site_config[0].application_stack[0].docker_image_name]"),
        "ignore_changes = [tags]",
        *("kept", "azurerm_linux_web_app.this: docker_image_name"),
    ),
}


@pytest.fixture(scope="module")
def environment():
    with serving(provider_schemas()) as reattach:
        yield surroundings(reattach)


@pytest.fixture(scope="module")
def ready(environment, tmp_path_factory):
    """The module, made ready once."""
    folder = copied(tmp_path_factory.mktemp("terraform") / "infra")
    assert failed(environment, f"-chdir={folder}", "init") == ""
    return folder


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault, ready, environment, tmp_path, monkeypatch):
    file, old, new, check, said = FAULTS[fault]
    monkeypatch.chdir(shutil.copytree(ready, tmp_path / "infra"))
    spoil(f"{file}.tf", old, new)
    assert said in CHECKS[check](environment)
