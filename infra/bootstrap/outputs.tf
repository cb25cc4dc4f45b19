output "backend" {
  description = "What `terraform init` is given with -backend-config, but for the key."
  value = {
    resource_group_name  = azurerm_resource_group.this.name
    storage_account_name = azurerm_storage_account.this.name
    container_name       = azurerm_storage_container.this.name
  }
}
