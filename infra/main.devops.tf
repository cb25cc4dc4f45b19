# The Azure DevOps project that runs the pipelines, and their way into Azure: an identity that trusts
# two service connections, so that there is no secret to keep or to renew.
#
# All of it is in this file and nowhere else, because the provider asks its organization even where
# nothing of it is wanted: who has no `devops` leaves the file out, and who has experiments of both
# sorts sets AZDO_ORG_SERVICE_URL for those without.

# Who applies comes from the environment, as in versions.tf: no personal access token.
provider "azuredevops" {
  org_service_url = one(var.devops[*].organization)
}

locals {
  devops = var.devops[*] # a list of none or one
}

data "azurerm_subscription" "current" {}

resource "azurerm_user_assigned_identity" "devops" {
  count = length(local.devops)

  name                = var.names.devops_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
  tags                = var.tags
}

locals {
  # What the pipelines do: find things, train, register and deploy, push images, say which image the
  # page runs, read secrets.
  devops_roles = length(local.devops) == 0 ? {} : merge(
    {
      group     = { scope = azurerm_resource_group.this.id, role = "Reader" }
      workspace = { scope = azurerm_machine_learning_workspace.this.id, role = "AzureML Data Scientist" }
      blobs     = { scope = azurerm_storage_account.this.id, role = "Storage Blob Data Contributor" }
      images    = { scope = azurerm_container_registry.this.id, role = "AcrPush" }
      secrets   = { scope = azurerm_key_vault.this.id, role = "Key Vault Secrets User" }
    },
    var.web == null ? {} : { page = { scope = azurerm_linux_web_app.this[0].id, role = "Website Contributor" } },
  )
}

resource "azurerm_role_assignment" "devops" {
  for_each = local.devops_roles

  scope                = each.value.scope
  role_definition_name = each.value.role
  principal_id         = azurerm_user_assigned_identity.devops[0].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azuredevops_project" "this" {
  count = length(local.devops)

  name            = var.names.devops_project
  visibility      = "private"
  version_control = "Git"

  features = {
    artifacts = "disabled"
    boards    = "disabled"
    testplans = "disabled"
  }
}

resource "azuredevops_git_repository" "this" {
  count = length(local.devops)

  project_id     = azuredevops_project.this[0].id
  name           = var.names.devops_repository
  default_branch = "refs/heads/${var.devops.branch}"

  initialization {
    init_type = "Clean" # a branch must be there to be the default one
  }

  lifecycle {
    prevent_destroy = true             # its history, and with it the project
    ignore_changes  = [initialization] # it began once
  }
}

# Service connections by the names of what they lead to. That to Azure is for the subscription, the
# provider knows none for a resource group with an identity of our own; what it may do there is in
# the roles.
resource "azuredevops_serviceendpoint_azurerm" "this" {
  count = length(local.devops)

  project_id                             = azuredevops_project.this[0].id
  service_endpoint_name                  = var.names.resource_group
  service_endpoint_authentication_scheme = "WorkloadIdentityFederation"
  azurerm_spn_tenantid                   = data.azurerm_client_config.current.tenant_id
  azurerm_subscription_id                = var.subscription_id
  azurerm_subscription_name              = data.azurerm_subscription.current.display_name

  credentials {
    serviceprincipalid = azurerm_user_assigned_identity.devops[0].client_id
  }
}

resource "azuredevops_serviceendpoint_azurecr" "this" {
  count = length(local.devops)

  project_id                             = azuredevops_project.this[0].id
  service_endpoint_name                  = var.names.container_registry
  service_endpoint_authentication_scheme = "WorkloadIdentityFederation"
  resource_group                         = azurerm_resource_group.this.name
  azurecr_name                           = azurerm_container_registry.this.name
  azurecr_spn_tenantid                   = data.azurerm_client_config.current.tenant_id
  azurecr_subscription_id                = var.subscription_id
  azurecr_subscription_name              = data.azurerm_subscription.current.display_name

  credentials {
    serviceprincipalid = azurerm_user_assigned_identity.devops[0].client_id
  }
}

locals {
  connections = {
    for name, c in {
      azure    = one(azuredevops_serviceendpoint_azurerm.this[*])
      registry = one(azuredevops_serviceendpoint_azurecr.this[*])
    } :
    name => { id = c.id, issuer = c.workload_identity_federation_issuer, subject = c.workload_identity_federation_subject }
    if length(local.devops) > 0
  }
}

resource "azurerm_federated_identity_credential" "devops" {
  for_each = local.connections

  name                      = "devops-${each.key}"
  user_assigned_identity_id = azurerm_user_assigned_identity.devops[0].id
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = each.value.issuer
  subject                   = each.value.subject
}

# Secrets by name; a job gets their values. Azure DevOps reads the vault from outside, so a private
# one has no group: there a task of the job reads it. The secrets must be there first.
resource "azuredevops_variable_group" "secrets" {
  count = length(flatten(local.devops[*].secrets)) > 0 && !var.private ? 1 : 0

  project_id   = azuredevops_project.this[0].id
  name         = var.names.key_vault
  allow_access = false # to every pipeline; each is authorised below

  key_vault {
    name                = azurerm_key_vault.this.name
    service_endpoint_id = azuredevops_serviceendpoint_azurerm.this[0].id
  }

  dynamic "variable" {
    for_each = toset(var.devops.secrets)
    content {
      name = variable.value
    }
  }

  depends_on = [azurerm_federated_identity_credential.devops, azurerm_role_assignment.devops]
}

resource "azuredevops_environment" "this" {
  for_each = toset(flatten([for d in local.devops : keys(d.environments)]))

  project_id = azuredevops_project.this[0].id
  name       = each.value
}

data "azuredevops_group" "approvers" {
  count = anytrue(flatten([for d in local.devops : values(d.environments)])) ? 1 : 0

  project_id = azuredevops_project.this[0].id
  name       = var.devops.approvers
}

resource "azuredevops_check_approval" "this" {
  for_each = toset(flatten([for d in local.devops : [for name, approve in d.environments : name if approve]]))

  project_id                 = azuredevops_project.this[0].id
  target_resource_id         = azuredevops_environment.this[each.value].id
  target_resource_type       = "environment"
  approvers                  = [data.azuredevops_group.approvers[0].origin_id]
  minimum_required_approvers = 1
  requester_can_approve      = false # two people, not one twice
}

resource "azuredevops_build_definition" "this" {
  for_each = merge({}, local.devops[*].pipelines...)

  project_id              = azuredevops_project.this[0].id
  name                    = each.key
  job_authorization_scope = "project" # a job's own token reaches this project, not the organization

  repository {
    repo_type   = "TfsGit"
    repo_id     = azuredevops_git_repository.this[0].id
    branch_name = azuredevops_git_repository.this[0].default_branch
    yml_path    = each.value
  }

  ci_trigger {
    use_yaml = true
  }

  features {
    skip_first_run = true # the file is pushed later
  }
}

# Nothing is open to every pipeline, and none asks a person at its first run.
data "azuredevops_agent_queue" "hosted" {
  count = length(local.devops)

  project_id = azuredevops_project.this[0].id
  name       = "Azure Pipelines"
}

locals {
  authorised = length(local.devops) == 0 ? {} : merge(
    { for name, connection in local.connections : name => { type = "endpoint", id = connection.id } },
    { for name, environment in azuredevops_environment.this : "environment/${name}" => { type = "environment", id = environment.id } },
    { for group in azuredevops_variable_group.secrets : "secrets" => { type = "variablegroup", id = group.id } },
    { for queue in data.azuredevops_agent_queue.hosted : "queue" => { type = "queue", id = queue.id } },
  )
}

resource "azuredevops_pipeline_authorization" "this" {
  for_each = {
    for pair in setproduct(keys(azuredevops_build_definition.this), keys(local.authorised)) :
    join("/", pair) => { pipeline = pair[0], to = local.authorised[pair[1]] }
  }

  project_id  = azuredevops_project.this[0].id
  pipeline_id = azuredevops_build_definition.this[each.value.pipeline].id
  resource_id = each.value.to.id
  type        = each.value.to.type
}

output "devops_url" {
  description = "Address of the Azure DevOps project, null where there is none."
  value       = one([for p in azuredevops_project.this : "${var.devops.organization}/${urlencode(p.name)}"])
}
