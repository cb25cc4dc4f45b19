# The page. A pipeline pushes its image and says which one runs; nobody has a password to publish with.

resource "azurerm_user_assigned_identity" "web" {
  count = var.web == null ? 0 : 1

  name                = var.names.web_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

resource "azurerm_role_assignment" "web" {
  for_each = var.web == null ? {} : {
    image     = { scope = azurerm_container_registry.this.id, role = "AcrPull" }
    secrets   = { scope = azurerm_key_vault.this.id, role = "Key Vault Secrets User" }
    telemetry = { scope = azurerm_application_insights.this.id, role = "Monitoring Metrics Publisher" }
  }

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.web[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_service_plan" "this" {
  count = var.web == null ? 0 : 1

  name                = var.names.service_plan
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  os_type             = "Linux"
  sku_name            = var.web.sku
  tags                = var.tags
}

resource "azurerm_linux_web_app" "this" {
  count = var.web == null ? 0 : 1

  name                                           = var.names.web_app
  resource_group_name                            = azurerm_resource_group.this.name
  location                                       = azurerm_resource_group.this.location
  service_plan_id                                = azurerm_service_plan.this[0].id
  https_only                                     = true
  client_affinity_enabled                        = false # the page keeps nothing of a visitor
  ftp_publish_basic_authentication_enabled       = false
  webdeploy_publish_basic_authentication_enabled = false
  public_network_access_enabled                  = !var.private
  virtual_network_subnet_id                      = var.private ? azurerm_subnet.this["web"].id : null
  vnet_image_pull_enabled                        = var.private
  key_vault_reference_identity_id                = azurerm_user_assigned_identity.web[0].id
  tags                                           = var.tags

  # The key of the scoring service is a reference that the app resolves: it is in no plan and no state.
  # The connection string names the place of the telemetry and opens nothing; the identity does.
  app_settings = {
    SCORING_KEY                               = "@Microsoft.KeyVault(VaultName=${azurerm_key_vault.this.name};SecretName=scoring-key)"
    AZURE_CLIENT_ID                           = azurerm_user_assigned_identity.web[0].client_id
    APPLICATIONINSIGHTS_CONNECTION_STRING     = azurerm_application_insights.this.connection_string
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING = "Authorization=AAD;ClientId=${azurerm_user_assigned_identity.web[0].client_id}"
    WEBSITES_ENABLE_APP_SERVICE_STORAGE       = "false" # nothing is mounted, so nothing needs a key
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.web[0].id]
  }

  site_config {
    container_registry_use_managed_identity       = true
    container_registry_managed_identity_client_id = azurerm_user_assigned_identity.web[0].client_id
    ftps_state                                    = "Disabled"
    http2_enabled                                 = true
    minimum_tls_version                           = "1.2"
    scm_minimum_tls_version                       = "1.2"
    health_check_path                             = var.web.health
    health_check_eviction_time_in_min             = 5
    vnet_route_all_enabled                        = var.private # a private vault is found in no other way

    application_stack {
      docker_image_name   = var.web.image
      docker_registry_url = "https://${azurerm_container_registry.this.login_server}"
    }
  }

  logs {
    detailed_error_messages = true
    failed_request_tracing  = true

    http_logs {
      file_system {
        retention_in_days = 7
        retention_in_mb   = 35
      }
    }
  }

  lifecycle {
    ignore_changes = [site_config[0].application_stack[0].docker_image_name] # the image is a pipeline's to change
  }

  depends_on = [azurerm_role_assignment.web]
}
