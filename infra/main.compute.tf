# The cluster that trains, with an identity that can do less than the workspace's: read and write
# blobs, pull images, and register models, which the last job of a pipeline does.

resource "azurerm_user_assigned_identity" "jobs" {
  count = var.cluster == null ? 0 : 1

  name                = "${var.names.workspace}-jobs"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "jobs" {
  for_each = var.cluster == null ? {} : {
    blobs  = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Contributor" }
    images = { scope = azurerm_container_registry.this.id, role = "AcrPull" }
  }

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.jobs[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_machine_learning_compute_cluster" "this" {
  count = var.cluster == null ? 0 : 1

  name                          = var.cluster.name
  location                      = azurerm_resource_group.this.location
  machine_learning_workspace_id = azurerm_machine_learning_workspace.this.id
  vm_size                       = var.cluster.vm_size
  vm_priority                   = var.cluster.vm_priority
  local_auth_enabled            = false
  ssh_public_access_enabled     = false # Azure opens the port where nothing is said
  tags                          = var.tags

  scale_settings {
    min_node_count                       = var.cluster.min_nodes
    max_node_count                       = var.cluster.max_nodes
    scale_down_nodes_after_idle_duration = var.cluster.idle
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.jobs[0].id]
  }

  depends_on = [azurerm_role_assignment.jobs] # nodes kept from the start pull images at once
}

resource "azurerm_role_assignment" "jobs_register" {
  count = var.cluster == null ? 0 : 1

  scope                = azurerm_machine_learning_workspace.this.id
  role_definition_name = "AzureML Data Scientist"
  principal_id         = azurerm_user_assigned_identity.jobs[0].principal_id
  principal_type       = "ServicePrincipal"
}
