# What Azure would answer, for every provider: ids in their real shapes, one for each kind and one for
# each of several of a kind, so that an argument that was given the id of something else is seen.

mock_data "azurerm_client_config" {
  defaults = {
    tenant_id = "11111111-0000-0000-0000-000000000000"
    object_id = "22222222-0000-0000-0000-000000000000"
  }
}

mock_resource "azurerm_resource_group" {
  defaults = { id = "/subscriptions/s/resourceGroups/g" }
}

mock_resource "azurerm_storage_account" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a" }
}

mock_resource "azurerm_key_vault" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v" }
}

mock_resource "azurerm_container_registry" {
  defaults = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerRegistry/registries/r"
    login_server = "r.azurecr.io"
  }
}

mock_resource "azurerm_log_analytics_workspace" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.OperationalInsights/workspaces/l" }
}

mock_resource "azurerm_application_insights" {
  defaults = {
    id                = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Insights/components/i"
    connection_string = "InstrumentationKey=0;IngestionEndpoint=https://i/"
  }
}

mock_resource "azurerm_machine_learning_workspace" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w" }
}

mock_resource "azurerm_kubernetes_cluster" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/k" }
}

mock_resource "azurerm_service_plan" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/serverFarms/p" }
}

mock_resource "azurerm_linux_web_app" {
  defaults = {
    id               = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Web/sites/p"
    default_hostname = "p.azurewebsites.net"
  }
}

mock_resource "azurerm_virtual_network" {
  defaults = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n" }
}

mock_resource "azapi_resource" {
  defaults = {
    id     = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/computes/c"
    output = {}
  }
}

override_resource {
  target = azurerm_user_assigned_identity.workspace
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/workspace"
    principal_id = "33333333-0000-0000-0000-000000000000"
    client_id    = "33333333-0000-0000-0000-00000000000c"
  }
}

override_resource {
  target = azurerm_user_assigned_identity.jobs
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/jobs"
    principal_id = "44444444-0000-0000-0000-000000000000"
    client_id    = "44444444-0000-0000-0000-00000000000c"
  }
}

override_resource {
  target = azurerm_user_assigned_identity.kubernetes
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/kubernetes"
    principal_id = "55555555-0000-0000-0000-000000000000"
    client_id    = "55555555-0000-0000-0000-00000000000c"
  }
}

override_resource {
  target = azurerm_user_assigned_identity.nodes
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes"
    principal_id = "66666666-0000-0000-0000-000000000000"
    client_id    = "66666666-0000-0000-0000-00000000000c"
  }
}

override_resource {
  target = azurerm_user_assigned_identity.web
  values = {
    id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/web"
    principal_id = "77777777-0000-0000-0000-000000000000"
    client_id    = "77777777-0000-0000-0000-00000000000c"
  }
}

override_resource {
  target = azurerm_cognitive_account.custom_vision["training"]
  values = {
    id       = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/training"
    endpoint = "https://training.cognitiveservices.azure.com/"
  }
}

override_resource {
  target = azurerm_cognitive_account.custom_vision["prediction"]
  values = {
    id       = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/prediction"
    endpoint = "https://prediction.cognitiveservices.azure.com/"
  }
}

override_resource {
  target = azapi_resource.kubernetes_access
  values = {
    id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/k/trustedAccessRoleBindings/b"
  }
}

override_resource {
  target = azurerm_subnet.this["endpoints"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/endpoints" }
}

override_resource {
  target = azurerm_subnet.this["kubernetes"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/kubernetes" }
}

override_resource {
  target = azurerm_subnet.this["web"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/web" }
}

override_resource {
  target = azurerm_private_endpoint.this["blob"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateEndpoints/blob" }
}

override_resource {
  target = azurerm_private_endpoint.this["file"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateEndpoints/file" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.api.azureml.ms"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.api.azureml.ms" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.notebooks.azure.net"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.notebooks.azure.net" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.blob.core.windows.net"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.file.core.windows.net"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.file.core.windows.net" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.vaultcore.azure.net"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.vaultcore.azure.net" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.azurecr.io"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.azurecr.io" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.azurewebsites.net"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.azurewebsites.net" }
}

override_resource {
  target = azurerm_private_dns_zone.this["privatelink.cognitiveservices.azure.com"]
  values = { id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/privatelink.cognitiveservices.azure.com" }
}
