# Kubernetes, attached to the workspace.

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

run "it_is_attached_and_nobody_gets_in_but_by_a_role" {
  command = plan

  assert {
    condition     = azurerm_kubernetes_cluster.this[0].local_account_disabled == true && azurerm_kubernetes_cluster.this[0].role_based_access_control_enabled == true
    error_message = "The cluster has local accounts."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].azure_active_directory_role_based_access_control[0].azure_rbac_enabled == true && azurerm_kubernetes_cluster.this[0].azure_active_directory_role_based_access_control[0].tenant_id == data.azurerm_client_config.current.tenant_id
    error_message = "The cluster does not ask Azure who may."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].oidc_issuer_enabled == true && azurerm_kubernetes_cluster.this[0].workload_identity_enabled == true
    error_message = "Pods can have no identity."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].network_profile[0].network_policy == "cilium" && azurerm_kubernetes_cluster.this[0].default_node_pool[0].node_public_ip_enabled == false
    error_message = "Pods are not kept apart, or nodes have public addresses."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].default_node_pool[0].auto_scaling_enabled == true && azurerm_kubernetes_cluster.this[0].default_node_pool[0].min_count == var.kubernetes.min_nodes && azurerm_kubernetes_cluster.this[0].default_node_pool[0].max_count == var.kubernetes.max_nodes
    error_message = "The cluster scales otherwise."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].default_node_pool[0].vm_size == var.kubernetes.vm_size
    error_message = "The cluster has other machines."
  }
  assert {
    condition     = azurerm_kubernetes_cluster.this[0].identity[0].identity_ids == toset([azurerm_user_assigned_identity.kubernetes[0].id])
    error_message = "The cluster has another identity."
  }
  assert {
    condition = azurerm_kubernetes_cluster.this[0].kubelet_identity[0] == {
      user_assigned_identity_id = azurerm_user_assigned_identity.nodes[0].id
      client_id                 = azurerm_user_assigned_identity.nodes[0].client_id
      object_id                 = azurerm_user_assigned_identity.nodes[0].principal_id
    }
    error_message = "The nodes have another identity."
  }
  assert {
    condition     = azapi_resource.kubernetes_compute[0].identity[0].identity_ids == tolist([azurerm_user_assigned_identity.nodes[0].id])
    error_message = "What serves has another identity."
  }
  assert {
    condition = { for r in azurerm_role_assignment.kubernetes : r.role_definition_name => r.scope } == {
      "Managed Identity Operator" = azurerm_user_assigned_identity.nodes[0].id
    }
    error_message = "The cluster may not give the nodes their identity, or may do something else."
  }
  assert {
    condition = { for r in azurerm_role_assignment.nodes : r.role_definition_name => r.scope } == {
      "AcrPull"                  = azurerm_container_registry.this.id
      "Storage Blob Data Reader" = azurerm_storage_account.this.id
    }
    error_message = "Nodes may not pull images and read models, or may do something else."
  }
  assert {
    condition     = toset([for r in azurerm_role_assignment.kubernetes : r.principal_id]) == toset([azurerm_user_assigned_identity.kubernetes[0].principal_id]) && toset([for r in azurerm_role_assignment.nodes : r.principal_id]) == toset([azurerm_user_assigned_identity.nodes[0].principal_id])
    error_message = "Roles of the cluster or of its nodes go to another."
  }
  assert {
    condition     = azurerm_role_assignment.kubernetes_attach[0].scope == azurerm_kubernetes_cluster.this[0].id && azurerm_role_assignment.kubernetes_attach[0].role_definition_name == "Contributor" && azurerm_role_assignment.kubernetes_attach[0].principal_id == azurerm_user_assigned_identity.workspace.principal_id
    error_message = "The workspace may not attach the cluster."
  }
  assert {
    condition     = azurerm_role_assignment.kubernetes_operator[0].scope == azurerm_kubernetes_cluster.this[0].id && azurerm_role_assignment.kubernetes_operator[0].principal_id == data.azurerm_client_config.current.object_id
    error_message = "Who applies does not get in."
  }
  assert {
    condition     = azapi_resource.kubernetes_access[0].parent_id == azurerm_kubernetes_cluster.this[0].id && azapi_resource.kubernetes_access[0].body.properties.sourceResourceId == azurerm_machine_learning_workspace.this.id && azapi_resource.kubernetes_access[0].body.properties.roles == ["Microsoft.MachineLearningServices/workspaces/mlworkload"]
    error_message = "The cluster trusts something else than the workspace."
  }
  assert {
    condition     = azapi_resource.kubernetes_compute[0].parent_id == azurerm_machine_learning_workspace.this.id && azapi_resource.kubernetes_compute[0].body.properties.resourceId == azurerm_kubernetes_cluster.this[0].id && azapi_resource.kubernetes_compute[0].body.properties.computeType == "Kubernetes"
    error_message = "Something else is attached, or to something else."
  }
  assert {
    condition     = output.kubernetes_compute == var.names.kubernetes_compute
    error_message = "It is attached as ${output.kubernetes_compute}."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].extension_type == "Microsoft.AzureML.Kubernetes" && azurerm_kubernetes_cluster_extension.azureml[0].cluster_id == azurerm_kubernetes_cluster.this[0].id && azurerm_kubernetes_cluster_extension.azureml[0].release_namespace == "azureml"
    error_message = "The extension is another, or elsewhere."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["clusterId"] == azurerm_kubernetes_cluster.this[0].id && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["cluster_name"] == azurerm_kubernetes_cluster.this[0].id && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["location"] == var.location
    error_message = "The extension is told of another cluster."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["enableInference"] == "True" && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["enableTraining"] == "False" && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["inferenceRouterServiceType"] == "LoadBalancer"
    error_message = "The extension serves otherwise."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["allowInsecureConnections"] == "True" && !contains(keys(azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings), "sslSecret")
    error_message = "There is a certificate, or plain HTTP is not allowed."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["inferenceRouterHA"] == "False" && !contains(keys(azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings), "internalLoadBalancerProvider")
    error_message = "Three routers on fewer nodes, or an internal address."
  }
}

run "with_a_certificate_it_is_used" {
  command = plan

  variables {
    kubernetes = {
      vm_size   = "Standard_D4s_v5"
      min_nodes = 3
      max_nodes = 5
      tls       = { secret = "tls", host = "scoring.example.com" }
    }
  }

  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["allowInsecureConnections"] == "False"
    error_message = "Plain HTTP is allowed."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["sslSecret"] == "tls" && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["scoringFe.sslSecret"] == "tls" && azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["sslCname"] == "scoring.example.com"
    error_message = "Another certificate is used."
  }
  assert {
    condition     = azurerm_kubernetes_cluster_extension.azureml[0].configuration_settings["inferenceRouterHA"] == "True"
    error_message = "One router on three nodes."
  }
}

run "without_kubernetes_there_is_none" {
  command = plan

  variables {
    kubernetes = null
  }

  assert {
    condition     = length(azurerm_kubernetes_cluster.this) == 0 && length(azapi_resource.kubernetes_compute) == 0 && length(azapi_resource.kubernetes_access) == 0 && length(azurerm_kubernetes_cluster_extension.azureml) == 0
    error_message = "There is a Kubernetes cluster, or a part of one."
  }
  assert {
    condition     = length(azurerm_user_assigned_identity.kubernetes) == 0 && length(azurerm_user_assigned_identity.nodes) == 0
    error_message = "There is an identity of Kubernetes."
  }
  assert {
    condition     = length(concat(values(azurerm_role_assignment.kubernetes), values(azurerm_role_assignment.nodes), azurerm_role_assignment.kubernetes_attach, azurerm_role_assignment.kubernetes_operator)) == 0
    error_message = "There are roles for Kubernetes."
  }
  assert {
    condition     = output.kubernetes_compute == null && output.names.kubernetes == null && output.names.kubernetes_identity == null && output.names.kubernetes_compute == null
    error_message = "An output names Kubernetes."
  }
}
