# Plans against a provider that invents what Azure would answer: `terraform test`, no subscription needed.
# The ids have their real shapes, one for each kind, and are known while planning, so that an argument
# that was given the id of something else is seen. Only for `command = plan`.

mock_provider "azurerm" {
  override_during = plan

  mock_data "azurerm_client_config" {
    defaults = {
      tenant_id = "11111111-0000-0000-0000-000000000000"
      object_id = "22222222-0000-0000-0000-000000000000"
    }
  }
  mock_resource "azurerm_resource_group" {
    defaults = { id = "/subscriptions/s/resourceGroups/g" }
  }
  mock_resource "azurerm_storage_account" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a" }
  }
  mock_resource "azurerm_key_vault" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v" }
  }
  mock_resource "azurerm_container_registry" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r" }
  }
  mock_resource "azurerm_log_analytics_workspace" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/l" }
  }
  mock_resource "azurerm_application_insights" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Insights/components/i" }
  }
  mock_resource "azurerm_machine_learning_workspace" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w" }
  }
}

override_resource {
  target          = azurerm_user_assigned_identity.workspace
  override_during = plan
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/w"
    principal_id = "33333333-0000-0000-0000-000000000000"
  }
}

override_resource {
  target          = azurerm_user_assigned_identity.jobs
  override_during = plan
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/j"
    principal_id = "44444444-0000-0000-0000-000000000000"
  }
}

variables {
  subscription_id = "00000000-0000-0000-0000-000000000000"
  location        = "westeurope"
  tags            = { experiment = "quickstart", managed-by = "mlops_spec" }
  names = {
    resource_group       = "rg-quickstart"
    workspace            = "mlw-quickstart"
    storage_account      = "stquickstart"
    key_vault            = "kv-quickstart"
    container_registry   = "crquickstart"
    log_analytics        = "log-quickstart"
    application_insights = "appi-quickstart"
  }
  cluster = {
    name        = "cpu"
    vm_size     = "Standard_DS3_v2"
    vm_priority = "LowPriority"
    min_nodes   = 0
    max_nodes   = 2
    idle        = "PT10M"
  }
}

run "what_was_asked_for" {
  command = plan

  assert {
    condition     = output.names == var.names
    error_message = "A resource is named otherwise: ${jsonencode(output.names)}."
  }
  assert {
    condition     = output.cluster == var.cluster.name
    error_message = "The cluster is named ${output.cluster}."
  }
  assert {
    condition     = output.workspace_id == azurerm_machine_learning_workspace.this.id
    error_message = "workspace_id is the id of something else."
  }
  assert {
    condition = alltrue([
      for r in concat([
        azurerm_resource_group.this,
        azurerm_storage_account.this,
        azurerm_key_vault.this,
        azurerm_container_registry.this,
        azurerm_log_analytics_workspace.this,
        azurerm_application_insights.this,
        azurerm_user_assigned_identity.workspace,
        azurerm_machine_learning_workspace.this,
      ], azurerm_user_assigned_identity.jobs, azurerm_machine_learning_compute_cluster.this) :
      r.tags == var.tags && r.location == var.location
    ])
    error_message = "A resource lacks the tags, or is in another region."
  }
  assert {
    condition = azurerm_machine_learning_compute_cluster.this[0].scale_settings[0] == {
      min_node_count                       = var.cluster.min_nodes
      max_node_count                       = var.cluster.max_nodes
      scale_down_nodes_after_idle_duration = var.cluster.idle
    }
    error_message = "The cluster scales otherwise."
  }
  assert {
    condition     = azurerm_machine_learning_compute_cluster.this[0].vm_size == var.cluster.vm_size && azurerm_machine_learning_compute_cluster.this[0].vm_priority == var.cluster.vm_priority
    error_message = "The cluster has other machines."
  }
}

run "no_key_opens_anything" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this.shared_access_key_enabled == false
    error_message = "The storage account accepts keys."
  }
  assert {
    condition     = azurerm_storage_account.this.local_user_enabled == false && azurerm_storage_account.this.allow_nested_items_to_be_public == false
    error_message = "The storage account has local users or public blobs."
  }
  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled == true
    error_message = "The key vault has access policies."
  }
  assert {
    condition     = azurerm_container_registry.this.admin_enabled == false
    error_message = "The registry has an admin account."
  }
  assert {
    condition     = azurerm_log_analytics_workspace.this.local_authentication_enabled == false
    error_message = "The logs accept keys."
  }
  assert {
    condition     = azurerm_application_insights.this.local_authentication_enabled == false
    error_message = "Application Insights accepts keys."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.storage_account_access_type == "Identity"
    error_message = "The workspace reads its storage with a key."
  }
  assert {
    condition     = azurerm_machine_learning_compute_cluster.this[0].local_auth_enabled == false && azurerm_machine_learning_compute_cluster.this[0].ssh_public_access_enabled == false
    error_message = "The cluster has local accounts or an open SSH port."
  }
}

run "each_is_given_what_it_needs" {
  command = plan

  assert {
    condition     = azurerm_machine_learning_workspace.this.storage_account_id == azurerm_storage_account.this.id
    error_message = "storage_account_id is ${azurerm_machine_learning_workspace.this.storage_account_id}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.key_vault_id == azurerm_key_vault.this.id
    error_message = "key_vault_id is ${azurerm_machine_learning_workspace.this.key_vault_id}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.container_registry_id == azurerm_container_registry.this.id
    error_message = "container_registry_id is ${azurerm_machine_learning_workspace.this.container_registry_id}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.application_insights_id == azurerm_application_insights.this.id
    error_message = "application_insights_id is ${azurerm_machine_learning_workspace.this.application_insights_id}."
  }
  assert {
    condition     = azurerm_application_insights.this.workspace_id == azurerm_log_analytics_workspace.this.id
    error_message = "workspace_id is ${azurerm_application_insights.this.workspace_id}."
  }
  assert {
    condition     = azurerm_machine_learning_compute_cluster.this[0].machine_learning_workspace_id == azurerm_machine_learning_workspace.this.id
    error_message = "machine_learning_workspace_id is ${azurerm_machine_learning_compute_cluster.this[0].machine_learning_workspace_id}."
  }
  assert {
    condition     = azurerm_key_vault.this.tenant_id == data.azurerm_client_config.current.tenant_id
    error_message = "tenant_id is ${azurerm_key_vault.this.tenant_id}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.primary_user_assigned_identity == azurerm_user_assigned_identity.workspace.id && azurerm_machine_learning_workspace.this.identity[0].identity_ids == toset([azurerm_user_assigned_identity.workspace.id])
    error_message = "The workspace has another identity."
  }
  assert {
    condition     = azurerm_machine_learning_compute_cluster.this[0].identity[0].identity_ids == toset([azurerm_user_assigned_identity.jobs[0].id])
    error_message = "The cluster has another identity."
  }
  assert {
    condition     = toset([for r in azurerm_role_assignment.workspace : r.principal_id]) == toset([azurerm_user_assigned_identity.workspace.principal_id])
    error_message = "Roles of the workspace go to another."
  }
  assert {
    condition     = toset([for r in azurerm_role_assignment.jobs : r.principal_id]) == toset([azurerm_user_assigned_identity.jobs[0].principal_id])
    error_message = "Roles of the jobs go to another."
  }
  assert {
    condition     = azurerm_role_assignment.submitter.principal_id == data.azurerm_client_config.current.object_id
    error_message = "Another than who applies may submit."
  }
  assert {
    condition = toset([for r in azurerm_role_assignment.workspace : r.scope]) == toset([
      azurerm_storage_account.this.id,
      azurerm_key_vault.this.id,
      azurerm_container_registry.this.id,
      azurerm_application_insights.this.id,
    ])
    error_message = "The workspace lacks a role on what it leans on, or has one elsewhere."
  }
  assert {
    condition = { for r in azurerm_role_assignment.jobs : r.role_definition_name => r.scope } == {
      "Storage Blob Data Contributor" = azurerm_storage_account.this.id
      "AcrPull"                       = azurerm_container_registry.this.id
    }
    error_message = "Jobs may do something else."
  }
  assert {
    condition = (
      azurerm_role_assignment.jobs_register[0].scope == azurerm_machine_learning_workspace.this.id
      && azurerm_role_assignment.jobs_register[0].role_definition_name == "AzureML Data Scientist"
      && azurerm_role_assignment.jobs_register[0].principal_id == azurerm_user_assigned_identity.jobs[0].principal_id
    )
    error_message = "Jobs may not register models in the workspace."
  }
  assert {
    condition = alltrue([
      for r in concat(
        values(azurerm_role_assignment.workspace),
        values(azurerm_role_assignment.jobs),
        azurerm_role_assignment.jobs_register,
        [azurerm_role_assignment.workspace_itself, azurerm_role_assignment.submitter],
      ) :
      strcontains(r.scope, "/providers/") && !contains(["Owner", "User Access Administrator"], r.role_definition_name)
    ])
    error_message = "A role reaches beyond one resource, or may hand out roles."
  }
}

run "without_a_cluster_there_is_none" {
  command = plan

  variables {
    cluster = null
  }

  assert {
    condition     = length(azurerm_machine_learning_compute_cluster.this) == 0 && output.cluster == null
    error_message = "There is a cluster."
  }
  assert {
    condition     = length(azurerm_user_assigned_identity.jobs) == 0 && length(azurerm_role_assignment.jobs) == 0
    error_message = "There is an identity of jobs, or roles for it."
  }
}
