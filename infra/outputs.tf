# What exists, in the shape of what was asked for: `names` and `cluster` can be compared with the spec.

output "names" {
  description = "Names as Azure has them."
  value = {
    resource_group       = azurerm_resource_group.this.name
    workspace            = azurerm_machine_learning_workspace.this.name
    storage_account      = azurerm_storage_account.this.name
    key_vault            = azurerm_key_vault.this.name
    container_registry   = azurerm_container_registry.this.name
    log_analytics        = azurerm_log_analytics_workspace.this.name
    application_insights = azurerm_application_insights.this.name
  }
}

output "cluster" {
  description = "Name of the cluster, null where there is none."
  value       = one(azurerm_machine_learning_compute_cluster.this[*].name)
}

output "workspace_id" {
  description = "Resource id of the workspace."
  value       = azurerm_machine_learning_workspace.this.id
}
