# Custom Vision.

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

run "two_accounts" {
  command = plan

  assert {
    condition     = { for name, a in azurerm_cognitive_account.custom_vision : name => a.kind } == { training = "CustomVision.Training", prediction = "CustomVision.Prediction" }
    error_message = "The accounts are of another kind."
  }
  assert {
    condition     = alltrue([for a in azurerm_cognitive_account.custom_vision : a.sku_name == var.custom_vision.sku && a.custom_subdomain_name == a.name])
    error_message = "An account has another price, or no address of its own."
  }
  assert {
    condition     = alltrue([for a in azurerm_cognitive_account.custom_vision : a.local_auth_enabled == false])
    error_message = "An account accepts keys."
  }
  assert {
    condition     = azurerm_cognitive_account.custom_vision["training"].name == var.names.custom_vision_training && azurerm_cognitive_account.custom_vision["prediction"].name == var.names.custom_vision_prediction
    error_message = "An account is named otherwise."
  }
  assert {
    condition = { for name, r in azurerm_role_assignment.custom_vision : name => [r.scope, r.principal_id, r.role_definition_name] } == {
      for name, a in azurerm_cognitive_account.custom_vision : name => [a.id, data.azurerm_client_config.current.object_id, "Cognitive Services Custom Vision Contributor"]
    }
    error_message = "Who applies may not train and ask, or another may."
  }
  assert {
    condition     = output.custom_vision == { for name, a in azurerm_cognitive_account.custom_vision : name => a.endpoint }
    error_message = "The addresses are ${jsonencode(output.custom_vision)}."
  }
}

run "without_custom_vision_there_is_none" {
  command = plan

  variables {
    custom_vision = null
  }

  assert {
    condition     = length(azurerm_cognitive_account.custom_vision) == 0 && length(azurerm_role_assignment.custom_vision) == 0 && output.custom_vision == {}
    error_message = "There is an account, or a role."
  }
  assert {
    condition     = output.names.custom_vision_training == null && output.names.custom_vision_prediction == null
    error_message = "An output names Custom Vision."
  }
}
