# Plans against providers that invent what Azure would answer (azure.tfmock.hcl): `terraform test`, no
# subscription needed. The ids are known while planning; only for `command = plan`. What is asked for
# is in terraform.tfvars.

mock_provider "azurerm" {
  source          = "./tests"
  override_during = plan
}

mock_provider "azapi" {
  source          = "./tests"
  override_during = plan
}

mock_provider "azuredevops" {
  source          = "./tests"
  override_during = plan
}

run "what_was_asked_for" {
  command = plan

  assert {
    condition = { for name, value in output.names : name => value if value != null } == {
      for name, value in var.names : name => value if !(name == "virtual_network" || startswith(name, "devops_"))
    }
    error_message = "A resource is named otherwise: ${jsonencode(output.names)}."
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
        ],
        azurerm_user_assigned_identity.jobs,
        azurerm_user_assigned_identity.kubernetes,
        azurerm_user_assigned_identity.nodes,
        azurerm_user_assigned_identity.web,
        values(azurerm_machine_learning_compute_cluster.this),
        azurerm_kubernetes_cluster.this,
        azapi_resource.kubernetes_compute,
        values(azurerm_cognitive_account.custom_vision),
        azurerm_service_plan.this,
        azurerm_linux_web_app.this,
      ) :
      r.tags == var.tags && r.location == var.location
    ])
    error_message = "A resource lacks the tags, or is in another region."
  }
  assert {
    condition     = azurerm_machine_learning_compute_instance.this[0].tags == var.tags
    error_message = "The instance lacks the tags."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.storage_account_id == azurerm_storage_account.this.id
    error_message = "storage_account_id is ${jsonencode(azurerm_machine_learning_workspace.this.storage_account_id)}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.key_vault_id == azurerm_key_vault.this.id
    error_message = "key_vault_id is ${jsonencode(azurerm_machine_learning_workspace.this.key_vault_id)}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.container_registry_id == azurerm_container_registry.this.id
    error_message = "container_registry_id is ${jsonencode(azurerm_machine_learning_workspace.this.container_registry_id)}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.application_insights_id == azurerm_application_insights.this.id
    error_message = "application_insights_id is ${jsonencode(azurerm_machine_learning_workspace.this.application_insights_id)}."
  }
  assert {
    condition     = azurerm_application_insights.this.workspace_id == azurerm_log_analytics_workspace.this.id
    error_message = "workspace_id is ${jsonencode(azurerm_application_insights.this.workspace_id)}."
  }
  assert {
    condition     = azurerm_key_vault.this.tenant_id == data.azurerm_client_config.current.tenant_id
    error_message = "tenant_id is ${jsonencode(azurerm_key_vault.this.tenant_id)}."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.primary_user_assigned_identity == azurerm_user_assigned_identity.workspace.id && azurerm_machine_learning_workspace.this.identity[0].identity_ids == toset([azurerm_user_assigned_identity.workspace.id])
    error_message = "The workspace has another identity."
  }
  assert {
    condition     = azurerm_role_assignment.submitter.principal_id == data.azurerm_client_config.current.object_id
    error_message = "Another than who applies may submit."
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
    condition     = toset([for r in azurerm_role_assignment.workspace : r.principal_id]) == toset([azurerm_user_assigned_identity.workspace.principal_id])
    error_message = "Roles of the workspace go to another."
  }
  assert {
    condition = toset([for r in azurerm_role_assignment.workspace : "${r.role_definition_name} on ${r.scope}"]) == toset([
      "Contributor on ${azurerm_storage_account.this.id}",
      "Storage Blob Data Contributor on ${azurerm_storage_account.this.id}",
      "Storage File Data Privileged Contributor on ${azurerm_storage_account.this.id}",
      "Contributor on ${azurerm_key_vault.this.id}",
      "Key Vault Administrator on ${azurerm_key_vault.this.id}",
      "Contributor on ${azurerm_container_registry.this.id}",
      "Contributor on ${azurerm_application_insights.this.id}",
    ])
    error_message = "The workspace lacks a role on what it leans on, or has one elsewhere."
  }
  assert {
    condition = alltrue([
      for r in concat(
        values(azurerm_role_assignment.workspace),
        values(azurerm_role_assignment.jobs),
        azurerm_role_assignment.jobs_register,
        values(azurerm_role_assignment.kubernetes),
        values(azurerm_role_assignment.nodes),
        azurerm_role_assignment.kubernetes_operator,
        azurerm_role_assignment.kubernetes_attach,
        values(azurerm_role_assignment.custom_vision),
        values(azurerm_role_assignment.web),
        [azurerm_role_assignment.workspace_itself, azurerm_role_assignment.submitter],
      ) :
      strcontains(r.scope, "/providers/") && !contains(["Owner", "User Access Administrator", "Role Based Access Control Administrator"], r.role_definition_name)
    ])
    error_message = "A role reaches beyond one resource, or may hand out roles."
  }
  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled == true
    error_message = "The vault can be purged."
  }
  assert {
    condition     = azurerm_storage_account.this.blob_properties[0].delete_retention_policy[0].days >= 7 && azurerm_storage_account.this.blob_properties[0].container_delete_retention_policy[0].days >= 7
    error_message = "Deleted data is gone at once."
  }
}

run "nothing_but_the_workspace" {
  command = plan

  variables {
    clusters      = {}
    instance      = null
    kubernetes    = null
    custom_vision = null
    web           = null
    budget        = null
  }

  assert {
    condition = { for name, value in output.names : name => value if value != null } == {
      for name in [
        "resource_group", "workspace", "storage_account", "key_vault", "container_registry", "log_analytics",
        "application_insights", "workspace_identity",
      ] : name => var.names[name]
    }
    error_message = "Something else is there: ${jsonencode(output.names)}."
  }
  assert {
    condition = length(concat(
      azurerm_machine_learning_compute_instance.this, azurerm_kubernetes_cluster.this, azapi_resource.kubernetes_access,
      azapi_resource.kubernetes_compute, azurerm_kubernetes_cluster_extension.azureml, azurerm_service_plan.this,
      azurerm_linux_web_app.this, azurerm_consumption_budget_resource_group.this, azurerm_virtual_network.this,
      values(azurerm_machine_learning_compute_cluster.this), values(azurerm_cognitive_account.custom_vision),
      values(azurerm_subnet.this), values(azurerm_private_endpoint.this), values(azurerm_private_dns_zone.this),
    )) == 0
    error_message = "Something that is not wanted is made."
  }
  assert {
    condition = length(concat(
      azurerm_user_assigned_identity.jobs, azurerm_user_assigned_identity.kubernetes, azurerm_user_assigned_identity.nodes,
      azurerm_user_assigned_identity.web, values(azurerm_role_assignment.jobs), azurerm_role_assignment.jobs_register,
      values(azurerm_role_assignment.kubernetes), values(azurerm_role_assignment.nodes),
      azurerm_role_assignment.kubernetes_operator, azurerm_role_assignment.kubernetes_attach,
      values(azurerm_role_assignment.custom_vision), values(azurerm_role_assignment.web),
      values(azurerm_role_assignment.workspace_endpoints),
    )) == 0
    error_message = "There is an identity for nothing, or roles for it."
  }
  assert {
    condition     = output.clusters == [] && output.kubernetes_compute == null && output.custom_vision == {} && output.web_url == null
    error_message = "An output names what is not there."
  }
}
