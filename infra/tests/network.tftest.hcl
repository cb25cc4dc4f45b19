# Private networking, on and off.

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

run "everything_is_closed_and_reached_from_inside" {
  command = plan

  variables {
    private = true
  }

  assert {
    condition     = azurerm_storage_account.this.public_network_access_enabled == false && azurerm_key_vault.this.public_network_access_enabled == false && azurerm_container_registry.this.public_network_access_enabled == false && azurerm_machine_learning_workspace.this.public_network_access_enabled == false
    error_message = "The internet gets to the workspace, or to what it leans on."
  }
  assert {
    condition     = alltrue([for a in azurerm_cognitive_account.custom_vision : a.public_network_access_enabled == false])
    error_message = "The internet gets to Custom Vision."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].public_network_access_enabled == false
    error_message = "The internet gets to the page."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].private_cluster_enabled == true
    error_message = "The internet gets to Kubernetes."
  }
  assert {
    condition     = alltrue([for c in azurerm_machine_learning_compute_cluster.this : c.node_public_ip_enabled == false]) && azurerm_machine_learning_compute_instance.this[0].node_public_ip_enabled == false
    error_message = "A machine has a public address."
  }
  assert {
    condition     = azurerm_storage_account.this.network_rules[0].default_action == "Deny" && azurerm_key_vault.this.network_acls[0].default_action == "Deny"
    error_message = "Storage or vault lets in whom no rule names."
  }
  assert {
    condition     = azurerm_container_registry.this.sku == "Premium"
    error_message = "The registry can have no private endpoint."
  }
  assert {
    condition     = output.names.virtual_network == var.names.virtual_network
    error_message = "The network is named otherwise."
  }
  assert {
    condition     = azurerm_private_endpoint.this["workspace"].private_service_connection[0].private_connection_resource_id == azurerm_machine_learning_workspace.this.id && azurerm_private_endpoint.this["workspace"].private_service_connection[0].subresource_names == tolist(["amlworkspace"]) && azurerm_private_endpoint.this["workspace"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.api.azureml.ms"].id, azurerm_private_dns_zone.this["privatelink.notebooks.azure.net"].id])
    error_message = "The endpoint workspace leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["blob"].private_service_connection[0].private_connection_resource_id == azurerm_storage_account.this.id && azurerm_private_endpoint.this["blob"].private_service_connection[0].subresource_names == tolist(["blob"]) && azurerm_private_endpoint.this["blob"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.blob.core.windows.net"].id])
    error_message = "The endpoint blob leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["file"].private_service_connection[0].private_connection_resource_id == azurerm_storage_account.this.id && azurerm_private_endpoint.this["file"].private_service_connection[0].subresource_names == tolist(["file"]) && azurerm_private_endpoint.this["file"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.file.core.windows.net"].id])
    error_message = "The endpoint file leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["vault"].private_service_connection[0].private_connection_resource_id == azurerm_key_vault.this.id && azurerm_private_endpoint.this["vault"].private_service_connection[0].subresource_names == tolist(["vault"]) && azurerm_private_endpoint.this["vault"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.vaultcore.azure.net"].id])
    error_message = "The endpoint vault leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["registry"].private_service_connection[0].private_connection_resource_id == azurerm_container_registry.this.id && azurerm_private_endpoint.this["registry"].private_service_connection[0].subresource_names == tolist(["registry"]) && azurerm_private_endpoint.this["registry"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.azurecr.io"].id])
    error_message = "The endpoint registry leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["web"].private_service_connection[0].private_connection_resource_id == azurerm_linux_web_app.this[0].id && azurerm_private_endpoint.this["web"].private_service_connection[0].subresource_names == tolist(["sites"]) && azurerm_private_endpoint.this["web"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.azurewebsites.net"].id])
    error_message = "The endpoint web leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["training"].private_service_connection[0].private_connection_resource_id == azurerm_cognitive_account.custom_vision["training"].id && azurerm_private_endpoint.this["training"].private_service_connection[0].subresource_names == tolist(["account"]) && azurerm_private_endpoint.this["training"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.cognitiveservices.azure.com"].id])
    error_message = "The endpoint training leads elsewhere, or is found under another name."
  }
  assert {
    condition     = azurerm_private_endpoint.this["prediction"].private_service_connection[0].private_connection_resource_id == azurerm_cognitive_account.custom_vision["prediction"].id && azurerm_private_endpoint.this["prediction"].private_service_connection[0].subresource_names == tolist(["account"]) && azurerm_private_endpoint.this["prediction"].private_dns_zone_group[0].private_dns_zone_ids == tolist([azurerm_private_dns_zone.this["privatelink.cognitiveservices.azure.com"].id])
    error_message = "The endpoint prediction leads elsewhere, or is found under another name."
  }
  assert {
    condition     = alltrue([for e in azurerm_private_endpoint.this : e.subnet_id == azurerm_subnet.this["endpoints"].id && e.private_service_connection[0].is_manual_connection == false && e.tags == var.tags])
    error_message = "An endpoint is in another subnet, waits for a person, or lacks the tags."
  }
  assert {
    condition     = toset([for l in azurerm_private_dns_zone_virtual_network_link.this : l.private_dns_zone_name]) == toset([for z in azurerm_private_dns_zone.this : z.name]) && alltrue([for l in azurerm_private_dns_zone_virtual_network_link.this : l.virtual_network_id == azurerm_virtual_network.this[0].id])
    error_message = "A zone is not asked in the network."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.managed_network[0].isolation_mode == "AllowInternetOutbound" && azurerm_machine_learning_workspace.this.managed_network[0].provision_on_creation_enabled == true
    error_message = "The machines have no network, or it comes too late."
  }
  assert {
    condition     = contains(keys(var.clusters), azurerm_machine_learning_workspace.this.image_build_compute_name)
    error_message = "Nothing builds images for the private registry."
  }
  assert {
    condition     = { for k, r in azurerm_role_assignment.workspace_endpoints : k => [r.scope, r.principal_id, r.role_definition_name] } == { for k in ["blob", "file"] : k => [azurerm_private_endpoint.this[k].id, azurerm_user_assigned_identity.workspace.principal_id, "Reader"] }
    error_message = "The workspace does not see the way to its storage, or sees another."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].default_node_pool[0].vnet_subnet_id == azurerm_subnet.this["kubernetes"].id
    error_message = "Kubernetes is in another subnet."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["internalLoadBalancerProvider"] == "azure" && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["scoringFe.serviceType.internalLoadBalancer"] == "true"
    error_message = "Kubernetes serves the internet."
  }
  assert {
    condition = { for r in azurerm_role_assignment.kubernetes : r.role_definition_name => r.scope } == {
      "Managed Identity Operator" = azurerm_user_assigned_identity.nodes[0].id
      "Network Contributor"       = azurerm_subnet.this["kubernetes"].id
    }
    error_message = "The cluster may not use its subnet, or may do something else."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].virtual_network_subnet_id == azurerm_subnet.this["web"].id && azurerm_linux_web_app.this[0].vnet_image_pull_enabled == true && azurerm_linux_web_app.this[0].site_config[0].vnet_route_all_enabled == true
    error_message = "The page does not go through the network."
  }
  assert {
    condition     = azurerm_subnet.this["web"].delegation[0].service_delegation[0].name == "Microsoft.Web/serverFarms" && length(azurerm_subnet.this["endpoints"].delegation) == 0
    error_message = "A subnet is lent to another service."
  }
}

run "only_what_is_there_has_an_endpoint" {
  command = plan

  variables {
    private       = true
    clusters      = {}
    kubernetes    = null
    web           = null
    custom_vision = null
    instance      = null
  }

  assert {
    condition     = toset(keys(azurerm_private_endpoint.this)) == toset(["workspace", "blob", "file", "vault", "registry"])
    error_message = "There is an endpoint for nothing: ${jsonencode(keys(azurerm_private_endpoint.this))}."
  }
  assert {
    condition     = toset(keys(azurerm_subnet.this)) == toset(["endpoints"])
    error_message = "There is a subnet for nothing."
  }
  assert {
    condition     = azurerm_machine_learning_workspace.this.image_build_compute_name == null
    error_message = "A cluster that is not there builds images."
  }
}

run "without_it_there_is_no_network" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this.public_network_access_enabled == true && azurerm_key_vault.this.public_network_access_enabled == true && azurerm_container_registry.this.public_network_access_enabled == true && azurerm_machine_learning_workspace.this.public_network_access_enabled == true
    error_message = "The workspace, or what it leans on, is closed."
  }
  assert {
    condition     = alltrue([for a in azurerm_cognitive_account.custom_vision : a.public_network_access_enabled == true])
    error_message = "Custom Vision is closed."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].public_network_access_enabled == true
    error_message = "The page is closed."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].private_cluster_enabled == false
    error_message = "Kubernetes is closed."
  }
  assert {
    condition     = alltrue([for c in azurerm_machine_learning_compute_cluster.this : c.node_public_ip_enabled == true]) && azurerm_machine_learning_compute_instance.this[0].node_public_ip_enabled == true
    error_message = "A machine has no public address, and no network either."
  }
  assert {
    condition     = length(azurerm_virtual_network.this) == 0 && length(azurerm_subnet.this) == 0 && length(azurerm_private_endpoint.this) == 0 && length(azurerm_private_dns_zone.this) == 0 && length(azurerm_private_dns_zone_virtual_network_link.this) == 0 && length(azurerm_role_assignment.workspace_endpoints) == 0
    error_message = "There is a network, or a part of one."
  }
  assert {
    condition     = length(azurerm_machine_learning_workspace.this.managed_network) == 0 && azurerm_machine_learning_workspace.this.image_build_compute_name == null && azurerm_container_registry.this.sku == "Standard"
    error_message = "The workspace is as if it were private."
  }
  assert {
    condition     = azurerm_linux_web_app.this[0].virtual_network_subnet_id == null && azurerm_kubernetes_cluster.this[0].default_node_pool[0].vnet_subnet_id == null
    error_message = "Something is in a subnet that is not there."
  }
}
