# Private networking, one switch. Everything that keeps data or answers is closed to the internet and
# reached in this network: by peering, VPN or a machine in it. So do the agents of pipelines; those
# that Microsoft hosts can not. What stays public: Azure's own management (with roles), what
# logs and metrics are sent to, Azure DevOps, and the way out of jobs, nodes and the page.
#
# The machines of the workspace are not in here: they have its managed network (main.workspace.tf).

locals {
  network = { # address ranges: neither the cluster's services (10.0/16) nor its pods (10.244/16) may meet them
    space = "10.1.0.0/16"
    subnets = merge(
      { endpoints = "10.1.0.0/24" },
      var.kubernetes == null ? {} : { kubernetes = "10.1.4.0/22" },
      var.web == null ? {} : { web = "10.1.1.0/26" },
    )
  }

  # What each endpoint leads to, the part of it, and the zones in which its names are found.
  endpoints = !var.private ? {} : merge(
    {
      workspace = {
        id    = azurerm_machine_learning_workspace.this.id
        part  = "amlworkspace"
        zones = ["privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"]
      }
      blob = {
        id    = azurerm_storage_account.this.id
        part  = "blob"
        zones = ["privatelink.blob.core.windows.net"]
      }
      file = {
        id    = azurerm_storage_account.this.id
        part  = "file"
        zones = ["privatelink.file.core.windows.net"]
      }
      vault = {
        id    = azurerm_key_vault.this.id
        part  = "vault"
        zones = ["privatelink.vaultcore.azure.net"]
      }
      registry = {
        id    = azurerm_container_registry.this.id
        part  = "registry"
        zones = ["privatelink.azurecr.io"]
      }
    },
    var.web == null ? {} : {
      web = {
        id    = azurerm_linux_web_app.this[0].id
        part  = "sites"
        zones = ["privatelink.azurewebsites.net"]
      }
    },
    {
      for name, account in azurerm_cognitive_account.custom_vision : name => {
        id    = account.id
        part  = "account"
        zones = ["privatelink.cognitiveservices.azure.com"]
      }
    },
  )
}

resource "azurerm_virtual_network" "this" {
  count = var.private ? 1 : 0

  name                = var.names.virtual_network
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  address_space       = [local.network.space]
  tags                = var.tags
}

resource "azurerm_subnet" "this" {
  for_each = var.private ? local.network.subnets : {}

  name                            = each.key
  resource_group_name             = azurerm_resource_group.this.name
  virtual_network_name            = azurerm_virtual_network.this[0].name
  address_prefixes                = [each.value]
  default_outbound_access_enabled = false # nodes go out by the cluster's load balancer, the page by App Service

  dynamic "delegation" {
    for_each = each.key == "web" ? [1] : []
    content {
      name = "web"
      service_delegation {
        name    = "Microsoft.Web/serverFarms"
        actions = ["Microsoft.Network/virtualNetworks/subnets/action"]
      }
    }
  }
}

resource "azurerm_private_dns_zone" "this" {
  for_each = toset(flatten([for e in local.endpoints : e.zones]))

  name                = each.value
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = azurerm_private_dns_zone.this

  name                  = "network"
  resource_group_name   = azurerm_resource_group.this.name
  private_dns_zone_name = each.value.name
  virtual_network_id    = azurerm_virtual_network.this[0].id
  tags                  = var.tags
}

resource "azurerm_private_endpoint" "this" {
  for_each = local.endpoints

  name                = "pe-${each.key}"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  subnet_id           = azurerm_subnet.this["endpoints"].id
  tags                = var.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.id
    subresource_names              = [each.value.part]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [for zone in each.value.zones : azurerm_private_dns_zone.this[zone].id]
  }
}

# Studio shows what lies in closed storage only if the workspace may see the way to it.
resource "azurerm_role_assignment" "workspace_endpoints" {
  for_each = var.private ? toset(["blob", "file"]) : []

  scope                = azurerm_private_endpoint.this[each.value].id
  role_definition_name = "Reader"
  principal_id         = azurerm_user_assigned_identity.workspace.principal_id
  principal_type       = "ServicePrincipal"
}
