# What exists, in the shape of what was asked for: `names` and `clusters` can be compared with the spec.

output "names" {
  description = "Names as Azure has them, in the shape of the variable; null for what does not exist."
  value = {
    resource_group           = azurerm_resource_group.this.name
    workspace                = azurerm_machine_learning_workspace.this.name
    storage_account          = azurerm_storage_account.this.name
    key_vault                = azurerm_key_vault.this.name
    container_registry       = azurerm_container_registry.this.name
    log_analytics            = azurerm_log_analytics_workspace.this.name
    application_insights     = azurerm_application_insights.this.name
    workspace_identity       = azurerm_user_assigned_identity.workspace.name
    jobs_identity            = one(azurerm_user_assigned_identity.jobs[*].name)
    kubernetes_identity      = one(azurerm_user_assigned_identity.kubernetes[*].name)
    web_identity             = one(azurerm_user_assigned_identity.web[*].name)
    compute_instance         = one(azurerm_machine_learning_compute_instance.this[*].name)
    kubernetes               = one(azurerm_kubernetes_cluster.this[*].name)
    kubernetes_compute       = one(azapi_resource.kubernetes_compute[*].name)
    custom_vision_training   = try(azurerm_cognitive_account.custom_vision["training"].name, null)
    custom_vision_prediction = try(azurerm_cognitive_account.custom_vision["prediction"].name, null)
    service_plan             = one(azurerm_service_plan.this[*].name)
    web_app                  = one(azurerm_linux_web_app.this[*].name)
    virtual_network          = one(azurerm_virtual_network.this[*].name)
    budget                   = one(azurerm_consumption_budget_resource_group.this[*].name)

    # Those of main.devops.tf, which may not be there to ask.
    devops_identity   = var.devops == null ? null : var.names.devops_identity
    devops_project    = var.devops == null ? null : var.names.devops_project
    devops_repository = var.devops == null ? null : var.names.devops_repository
  }
}

output "clusters" {
  description = "Names of the clusters that train."
  value       = [for cluster in azurerm_machine_learning_compute_cluster.this : cluster.name]
}

output "workspace_id" {
  description = "Resource id of the workspace."
  value       = azurerm_machine_learning_workspace.this.id
}

output "kubernetes_compute" {
  description = "Name by which the workspace knows the Kubernetes cluster, null where there is none."
  value       = one(azapi_resource.kubernetes_compute[*].name)
}

output "custom_vision" {
  description = "Addresses of Custom Vision: training and prediction; none where it is not wanted."
  value       = { for name, account in azurerm_cognitive_account.custom_vision : name => account.endpoint }
}

output "web_url" {
  description = "Address of the page, null where there is none."
  value       = one([for app in azurerm_linux_web_app.this : "https://${app.default_hostname}"])
}
