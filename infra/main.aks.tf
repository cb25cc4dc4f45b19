# A Kubernetes cluster that serves, attached to the workspace. It has no local account, so the
# workspace gets in by Trusted Access: a binding on the cluster's side, and Contributor for the
# identity of the workspace, which covers what attaching needs besides (Reader, Kubernetes Extension
# Contributor).

locals {
  kubernetes = var.kubernetes[*] # a list of none or one
}

resource "azurerm_user_assigned_identity" "kubernetes" {
  count = length(local.kubernetes)

  name                = var.names.kubernetes_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

# The nodes, and so every pod on them, are another: they may not do to Azure what the cluster may.
resource "azurerm_user_assigned_identity" "nodes" {
  count = length(local.kubernetes)

  name                = "${var.names.kubernetes_identity}-nodes"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

locals {
  # What the cluster needs before it is made: to hand the nodes their identity, and a place for them.
  kubernetes_roles = length(local.kubernetes) == 0 ? {} : merge(
    { nodes = { scope = azurerm_user_assigned_identity.nodes[0].id, role = "Managed Identity Operator" } },
    var.private ? { subnet = { scope = azurerm_subnet.this["kubernetes"].id, role = "Network Contributor" } } : {},
  )
  # Serving pulls images and downloads the model.
  nodes_roles = length(local.kubernetes) == 0 ? {} : {
    images = { scope = azurerm_container_registry.this.id, role = "AcrPull" }
    models = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Reader" }
  }
}

resource "azurerm_role_assignment" "kubernetes" {
  for_each = local.kubernetes_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.kubernetes[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "nodes" {
  for_each = local.nodes_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.nodes[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_kubernetes_cluster" "this" {
  count = length(local.kubernetes)

  name                              = var.names.kubernetes
  resource_group_name               = azurerm_resource_group.this.name
  location                          = azurerm_resource_group.this.location
  dns_prefix                        = var.names.kubernetes
  role_based_access_control_enabled = true
  local_account_disabled            = true
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  private_cluster_enabled           = var.private
  automatic_upgrade_channel         = "patch"
  tags                              = var.tags

  azure_active_directory_role_based_access_control {
    tenant_id          = data.azurerm_client_config.current.tenant_id
    azure_rbac_enabled = true # roles of Azure, as everywhere here, instead of role bindings inside
  }

  default_node_pool {
    name                        = "default"
    temporary_name_for_rotation = "rotation" # another machine size replaces the nodes, not the cluster
    vm_size                     = var.kubernetes.vm_size
    auto_scaling_enabled        = true
    min_count                   = var.kubernetes.min_nodes
    max_count                   = var.kubernetes.max_nodes
    vnet_subnet_id              = var.private ? azurerm_subnet.this["kubernetes"].id : null
    node_public_ip_enabled      = false
    tags                        = var.tags

    upgrade_settings { # what Azure fills in; a difference for ever where it is left out
      max_surge = "10%"
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.kubernetes[0].id]
  }

  kubelet_identity {
    user_assigned_identity_id = azurerm_user_assigned_identity.nodes[0].id
    client_id                 = azurerm_user_assigned_identity.nodes[0].client_id
    object_id                 = azurerm_user_assigned_identity.nodes[0].principal_id
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay" # pods take no addresses of the subnet
    network_data_plane  = "cilium"
    network_policy      = "cilium"
  }

  depends_on = [azurerm_role_assignment.kubernetes, azurerm_role_assignment.nodes]
}

# Being its owner in Azure opens nothing inside it: who applied first may look, and lay down the
# certificate. Others are granted it by hand.
resource "azurerm_role_assignment" "kubernetes_operator" {
  count = length(local.kubernetes)

  scope                = azurerm_kubernetes_cluster.this[0].id
  role_definition_name = "Azure Kubernetes Service RBAC Cluster Admin"
  principal_id         = data.azurerm_client_config.current.object_id

  lifecycle {
    ignore_changes = [principal_id]
  }
}

resource "azurerm_role_assignment" "kubernetes_attach" {
  count = length(local.kubernetes)

  scope                = azurerm_kubernetes_cluster.this[0].id
  role_definition_name = "Contributor"
  principal_id         = azurerm_user_assigned_identity.workspace.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azapi_resource" "kubernetes_access" {
  count = length(local.kubernetes)

  type      = "Microsoft.ContainerService/managedClusters/trustedAccessRoleBindings@2025-09-01"
  name      = "azureml"
  parent_id = azurerm_kubernetes_cluster.this[0].id
  body = {
    properties = {
      sourceResourceId = azurerm_machine_learning_workspace.this.id
      roles            = ["Microsoft.MachineLearningServices/workspaces/mlworkload"]
    }
  }
}

locals {
  # Azure's command line fills these in on its own side, from the cluster; the API does not.
  kubernetes_itself = {
    "cluster_name"                                          = one(azurerm_kubernetes_cluster.this[*].id)
    "clusterId"                                             = one(azurerm_kubernetes_cluster.this[*].id)
    "prometheus.prometheusSpec.externalLabels.cluster_name" = one(azurerm_kubernetes_cluster.this[*].id)
    "cluster_name_friendly"                                 = var.names.kubernetes
    "domain"                                                = "${var.location}.cloudapp.azure.com"
    "location"                                              = var.location
    "jobSchedulerLocation"                                  = var.location
    "nginxIngress.enabled"                                  = "true"
    "relayserver.enabled"                                   = "false" # of clusters outside Azure
    "servicebus.enabled"                                    = "false"
  }
  # Three routers need three nodes that are always there.
  kubernetes_routing = length(local.kubernetes) == 0 ? {} : {
    "enableTraining"             = "False" # clusters of the workspace train
    "enableInference"            = "True"
    "inferenceRouterServiceType" = "LoadBalancer"
    "inferenceRouterHA"          = var.kubernetes.min_nodes >= 3 ? "True" : "False"
    "allowInsecureConnections"   = var.kubernetes.tls == null ? "True" : "False"
  }
  # Each of these twice: the name that Microsoft documents, and what its command line makes of it.
  kubernetes_inside = !var.private ? {} : {
    "internalLoadBalancerProvider"               = "azure"
    "scoringFe.serviceType.internalLoadBalancer" = "true"
  }
  kubernetes_tls = length(flatten(local.kubernetes[*].tls[*])) == 0 ? {} : {
    "sslSecret"           = var.kubernetes.tls.secret
    "scoringFe.sslSecret" = var.kubernetes.tls.secret
    "sslCname"            = var.kubernetes.tls.host
  }
}

resource "azurerm_kubernetes_cluster_extension" "azureml" {
  count = length(local.kubernetes)

  name                   = "azureml"
  cluster_id             = azurerm_kubernetes_cluster.this[0].id
  extension_type         = "Microsoft.AzureML.Kubernetes"
  release_train          = "stable"
  release_namespace      = "azureml"
  configuration_settings = merge(local.kubernetes_itself, local.kubernetes_routing, local.kubernetes_inside, local.kubernetes_tls)

  depends_on = [azapi_resource.kubernetes_access] # a cluster refuses two changes at a time
}

resource "azapi_resource" "kubernetes_compute" {
  count = length(local.kubernetes)

  type      = "Microsoft.MachineLearningServices/workspaces/computes@2025-12-01"
  name      = var.names.kubernetes_compute
  parent_id = azurerm_machine_learning_workspace.this.id
  location  = azurerm_resource_group.this.location
  tags      = var.tags

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.nodes[0].id]
  }

  body = {
    properties = {
      computeType = "Kubernetes"
      resourceId  = azurerm_kubernetes_cluster.this[0].id
      properties  = { namespace = "default" } # one that is there; attaching makes none
    }
  }

  depends_on = [azurerm_kubernetes_cluster_extension.azureml, azurerm_role_assignment.kubernetes_attach]
}
