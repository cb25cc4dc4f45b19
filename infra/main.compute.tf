# The clusters that train, with an identity that can do less than the workspace's: read and write
# blobs, pull images, and register models, which the last job of a pipeline does. And a machine for
# notebooks, which works as the person it belongs to.

resource "azurerm_user_assigned_identity" "jobs" {
  count = length(var.clusters) > 0 ? 1 : 0

  name                = var.names.jobs_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "jobs" {
  for_each = length(var.clusters) == 0 ? {} : {
    blobs  = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Contributor" }
    images = { scope = azurerm_container_registry.this.id, role = "AcrPull" }
  }

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.jobs[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "jobs_register" {
  count = length(var.clusters) > 0 ? 1 : 0

  scope                = azurerm_machine_learning_workspace.this.id
  role_definition_name = "AzureML Data Scientist"
  principal_id         = azurerm_user_assigned_identity.jobs[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_machine_learning_compute_cluster" "this" {
  for_each = var.clusters

  name                          = each.key
  location                      = azurerm_resource_group.this.location
  machine_learning_workspace_id = azurerm_machine_learning_workspace.this.id
  vm_size                       = each.value.vm_size
  vm_priority                   = each.value.vm_priority
  local_auth_enabled            = false
  ssh_public_access_enabled     = false # Azure opens the port where nothing is said
  node_public_ip_enabled        = !var.private
  tags                          = var.tags

  scale_settings {
    min_node_count                       = each.value.min_nodes
    max_node_count                       = each.value.max_nodes
    scale_down_nodes_after_idle_duration = each.value.idle
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.jobs[0].id]
  }

  depends_on = [azurerm_role_assignment.jobs] # nodes kept from the start pull images at once
}

resource "azurerm_machine_learning_compute_instance" "this" {
  count = var.instance == null ? 0 : 1

  name                          = var.names.compute_instance
  machine_learning_workspace_id = azurerm_machine_learning_workspace.this.id
  virtual_machine_size          = var.instance.vm_size
  authorization_type            = "personal" # only its user gets in; no SSH key is given, so that port stays shut
  local_auth_enabled            = false
  node_public_ip_enabled        = !var.private
  tags                          = var.tags

  assign_to_user {
    object_id = coalesce(var.instance.owner, data.azurerm_client_config.current.object_id)
    tenant_id = data.azurerm_client_config.current.tenant_id
  }

  lifecycle {
    ignore_changes = [assign_to_user] # another who applies does not take the machine away, with all that is on it
  }
}
