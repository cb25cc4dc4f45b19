# The account of the state: `terraform -chdir=infra/bootstrap test`, no subscription needed.

mock_provider "azurerm" {
  override_during = plan

  mock_data "azurerm_client_config" {
    defaults = { object_id = "22222222-0000-0000-0000-000000000000" }
  }
  mock_resource "azurerm_storage_account" {
    defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a" }
  }
}

variables {
  subscription_id = "00000000-0000-0000-0000-000000000000"
  location        = "westeurope"
  tags            = { managed-by = "mlops_spec" }
  names           = { resource_group = "rg-state", storage_account = "ststate", container = "state" }
}

run "a_state_is_kept_and_opened_by_a_role" {
  command = plan

  assert {
    condition = output.backend == {
      resource_group_name  = var.names.resource_group
      storage_account_name = var.names.storage_account
      container_name       = var.names.container
    }
    error_message = "The state is elsewhere: ${jsonencode(output.backend)}."
  }
  assert {
    condition = (
      azurerm_storage_account.this.shared_access_key_enabled == false
      && azurerm_storage_account.this.local_user_enabled == false
      && azurerm_storage_account.this.allow_nested_items_to_be_public == false
      && azurerm_storage_container.this.container_access_type == "private"
    )
    error_message = "The account accepts keys, local users or everyone."
  }
  assert {
    condition = (
      azurerm_storage_account.this.blob_properties[0].versioning_enabled == true
      && azurerm_storage_account.this.blob_properties[0].delete_retention_policy[0].days >= 7
    )
    error_message = "The state before the last apply is lost."
  }
  assert {
    condition     = azurerm_storage_container.this.storage_account_id == azurerm_storage_account.this.id
    error_message = "The container is in another account."
  }
  assert {
    condition = (
      azurerm_role_assignment.state.scope == azurerm_storage_account.this.id
      && azurerm_role_assignment.state.role_definition_name == "Storage Blob Data Contributor"
      && azurerm_role_assignment.state.principal_id == data.azurerm_client_config.current.object_id
    )
    error_message = "Who applies may not write the state, or another may."
  }
  assert {
    condition     = azurerm_storage_account.this.tags == var.tags && azurerm_storage_account.this.location == var.location
    error_message = "The account lacks the tags, or is in another region."
  }
}
