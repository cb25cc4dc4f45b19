# Custom Vision, against which a trained model is measured: one account trains, the other answers.
# A subscription has one free (F0) account of each.

resource "azurerm_cognitive_account" "custom_vision" {
  for_each = var.custom_vision == null ? {} : {
    training   = { name = var.names.custom_vision_training, kind = "CustomVision.Training" }
    prediction = { name = var.names.custom_vision_prediction, kind = "CustomVision.Prediction" }
  }

  name                          = each.value.name
  resource_group_name           = azurerm_resource_group.this.name
  location                      = azurerm_resource_group.this.location
  kind                          = each.value.kind
  sku_name                      = var.custom_vision.sku
  custom_subdomain_name         = each.value.name # tokens instead of keys are accepted at an address of its own only
  local_auth_enabled            = false
  public_network_access_enabled = !var.private
  tags                          = var.tags
}

# Who applied first may train, publish and ask; others are granted it by hand.
resource "azurerm_role_assignment" "custom_vision" {
  for_each = azurerm_cognitive_account.custom_vision

  scope                = each.value.id
  role_definition_name = "Cognitive Services Custom Vision Contributor"
  principal_id         = data.azurerm_client_config.current.object_id

  lifecycle {
    ignore_changes = [principal_id]
  }
}
