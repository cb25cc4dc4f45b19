# The page.

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

run "it_runs_the_image_without_a_password" {
  command = plan

  assert {
    condition     = azurerm_linux_web_app.this[0].site_config[0].application_stack[0].docker_image_name == var.web.image && azurerm_linux_web_app.this[0].site_config[0].application_stack[0].docker_registry_url == "https://${azurerm_container_registry.this.login_server}"
    error_message = "Another image runs, or from another registry."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].site_config[0].container_registry_use_managed_identity == true && azurerm_linux_web_app.this[0].site_config[0].container_registry_managed_identity_client_id == azurerm_user_assigned_identity.web[0].client_id
    error_message = "The image is not pulled as the page."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].site_config[0].health_check_path == var.web.health
    error_message = "Nobody asks whether the page is well."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].service_plan_id == azurerm_service_plan.this[0].id && azurerm_service_plan.this[0].os_type == "Linux" && azurerm_service_plan.this[0].sku_name == var.web.sku
    error_message = "The page has another plan."
  }
  assert {
    condition     = output.web_url == "https://p.azurewebsites.net"
    error_message = "The page is at ${output.web_url}."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].https_only == true
    error_message = "The page answers without TLS."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].ftp_publish_basic_authentication_enabled == false && azurerm_linux_web_app.this[0].webdeploy_publish_basic_authentication_enabled == false && azurerm_linux_web_app.this[0].site_config[0].ftps_state == "Disabled"
    error_message = "There is a password to publish with."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].site_config[0].minimum_tls_version == "1.2" && azurerm_linux_web_app.this[0].site_config[0].scm_minimum_tls_version == "1.2"
    error_message = "The page accepts old TLS."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].identity[0].identity_ids == toset([azurerm_user_assigned_identity.web[0].id]) && azurerm_linux_web_app.this[0].key_vault_reference_identity_id == azurerm_user_assigned_identity.web[0].id
    error_message = "The page has another identity."
  }
  assert {
    condition     = startswith(azurerm_linux_web_app.this[0].app_settings["SCORING_KEY"], "@Microsoft.KeyVault(VaultName=${azurerm_key_vault.this.name};")
    error_message = "A key is written down."
  }
  assert {
    condition     = strcontains(azurerm_linux_web_app.this[0].app_settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"], azurerm_user_assigned_identity.web[0].client_id)
    error_message = "Telemetry is sent as another."
  }
  assert {
    condition = { for r in azurerm_role_assignment.web : r.role_definition_name => r.scope } == {
      "AcrPull"                      = azurerm_container_registry.this.id
      "Key Vault Secrets User"       = azurerm_key_vault.this.id
      "Monitoring Metrics Publisher" = azurerm_application_insights.this.id
    }
    error_message = "The page may not do what it must, or may do something else."
  }
  assert {
    condition     = toset([for r in azurerm_role_assignment.web : r.principal_id]) == toset([azurerm_user_assigned_identity.web[0].principal_id])
    error_message = "Roles of the page go to another."
  }
}

run "without_a_page_there_is_none" {
  command = plan

  variables {
    web = null
  }

  assert {
    condition     = length(azurerm_linux_web_app.this) == 0 && length(azurerm_service_plan.this) == 0 && output.web_url == null
    error_message = "There is a page, or a plan for it."
  }
  assert {
    condition     = length(azurerm_user_assigned_identity.web) == 0 && length(azurerm_role_assignment.web) == 0
    error_message = "There is an identity of the page, or roles for it."
  }
  assert {
    condition     = output.names.web_app == null && output.names.service_plan == null && output.names.web_identity == null
    error_message = "An output names the page."
  }
}
