# The workspace and what it leans on. Nothing here accepts a key or a password: every access is an
# identity with a role, on one resource.

data "azurerm_client_config" "current" {}

resource "azurerm_resource_group" "this" {
  name     = var.names.resource_group
  location = var.location
  tags     = var.tags
}

resource "azurerm_storage_account" "this" {
  name                            = var.names.storage_account
  resource_group_name             = azurerm_resource_group.this.name
  location                        = azurerm_resource_group.this.location
  account_tier                    = "Standard" # a workspace refuses Premium
  account_replication_type        = "LRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true # the portal asks for a key otherwise
  local_user_enabled              = false
  allow_nested_items_to_be_public = false
  public_network_access_enabled   = !var.private
  tags                            = var.tags

  blob_properties {
    delete_retention_policy {
      days = 14
    }
    container_delete_retention_policy {
      days = 14
    }
  }

  network_rules {
    default_action = var.private ? "Deny" : "Allow"
    bypass         = ["AzureServices"] # the workspace itself reads from Microsoft's side
  }

  lifecycle {
    prevent_destroy = true # data, models, and every run's output; a lock would keep roles from being taken away
  }
}

resource "azurerm_key_vault" "this" {
  name                          = var.names.key_vault
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  tenant_id                     = data.azurerm_client_config.current.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true # roles, as everywhere here, instead of access policies
  purge_protection_enabled      = true
  soft_delete_retention_days    = 7 # the least; a later apply recovers the vault under its name
  public_network_access_enabled = !var.private
  tags                          = var.tags

  network_acls {
    default_action = var.private ? "Deny" : "Allow"
    bypass         = "AzureServices"
  }
}

resource "azurerm_container_registry" "this" {
  name                          = var.names.container_registry
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  sku                           = var.private ? "Premium" : "Standard" # private endpoints come with Premium
  admin_enabled                 = false
  public_network_access_enabled = !var.private
  tags                          = var.tags
}

resource "azurerm_log_analytics_workspace" "this" {
  name                         = var.names.log_analytics
  resource_group_name          = azurerm_resource_group.this.name
  location                     = azurerm_resource_group.this.location
  sku                          = "PerGB2018"
  retention_in_days            = 30 # included in the price
  local_authentication_enabled = false
  tags                         = var.tags
}

resource "azurerm_application_insights" "this" {
  name                         = var.names.application_insights
  resource_group_name          = azurerm_resource_group.this.name
  location                     = azurerm_resource_group.this.location
  workspace_id                 = azurerm_log_analytics_workspace.this.id
  application_type             = "web"
  local_authentication_enabled = false
  tags                         = var.tags
}

# An identity of our own, because its roles must be there before the workspace is; one that Azure
# makes with the workspace can only get them afterwards.
resource "azurerm_user_assigned_identity" "workspace" {
  name                = var.names.workspace_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

locals {
  # What Microsoft lists for the identity of a workspace whose resources already exist. Contributor is
  # also what approves the private endpoints that a managed network asks for.
  workspace_roles = {
    storage        = { scope = azurerm_storage_account.this.id, role = "Contributor" }
    storage_blobs  = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Contributor" }
    storage_files  = { scope = azurerm_storage_account.this.id, role = "Storage File Data Privileged Contributor" }
    vault          = { scope = azurerm_key_vault.this.id, role = "Contributor" }
    vault_contents = { scope = azurerm_key_vault.this.id, role = "Key Vault Administrator" }
    registry       = { scope = azurerm_container_registry.this.id, role = "Contributor" }
    insights       = { scope = azurerm_application_insights.this.id, role = "Contributor" }
  }
}

resource "azurerm_role_assignment" "workspace" {
  for_each = local.workspace_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.workspace.principal_id
  principal_type       = "ServicePrincipal" # spares the look-up of an identity a second old
}

resource "azurerm_machine_learning_workspace" "this" {
  name                           = var.names.workspace
  resource_group_name            = azurerm_resource_group.this.name
  location                       = azurerm_resource_group.this.location
  storage_account_id             = azurerm_storage_account.this.id
  key_vault_id                   = azurerm_key_vault.this.id
  container_registry_id          = azurerm_container_registry.this.id
  application_insights_id        = azurerm_application_insights.this.id
  storage_account_access_type    = "Identity"
  primary_user_assigned_identity = azurerm_user_assigned_identity.workspace.id
  public_network_access_enabled  = !var.private
  # A private registry does not build images itself, a cluster does; it is named before it is there.
  image_build_compute_name = var.private ? try(keys(var.clusters)[0], null) : null
  tags                     = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.workspace.id]
  }

  # The network of the machines is the workspace's own, not a subnet of ours: it brings its private
  # endpoints and rules along and covers clusters, instances and serverless jobs alike. Outbound stays
  # open, for packages and pretrained weights; a list of allowed names costs a firewall. Made at once,
  # because a node without a public address is refused until it is there.
  dynamic "managed_network" {
    for_each = var.private ? [1] : []
    content {
      isolation_mode                = "AllowInternetOutbound"
      provision_on_creation_enabled = true
    }
  }

  lifecycle {
    prevent_destroy = true # the registered models, and the history of every run
  }

  depends_on = [azurerm_role_assignment.workspace]
}

resource "azurerm_role_assignment" "workspace_itself" {
  scope                = azurerm_machine_learning_workspace.this.id
  role_definition_name = "Contributor"
  principal_id         = azurerm_user_assigned_identity.workspace.principal_id
  principal_type       = "ServicePrincipal"
}

# Submitting a job uploads its code, and owning the account does not allow that: who applied first
# may submit. Another who applies later is granted it by hand, so that two do not take turns.
resource "azurerm_role_assignment" "submitter" {
  scope                = azurerm_storage_account.this.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = data.azurerm_client_config.current.object_id

  lifecycle {
    ignore_changes = [principal_id]
  }
}
