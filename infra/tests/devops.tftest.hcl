# Azure DevOps. Its ids are invented here and not in azure.tfmock.hcl, because main.devops.tf may be left out.

mock_provider "azurerm" {
  source          = "./tests"
  override_during = plan

  mock_data "azurerm_subscription" {
    defaults = { display_name = "Pay as you go" }
  }
  override_resource {
    target = azurerm_user_assigned_identity.devops
    values = {
      id           = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/devops"
      principal_id = "88888888-0000-0000-0000-000000000000"
      client_id    = "88888888-0000-0000-0000-00000000000c"
    }
  }
}

mock_provider "azapi" {
  source          = "./tests"
  override_during = plan
}

mock_provider "azuredevops" {
  override_during = plan

  mock_resource "azuredevops_project" {
    defaults = { id = "aaaaaaaa-0000-0000-0000-000000000000" }
  }
  mock_resource "azuredevops_git_repository" {
    defaults = { id = "bbbbbbbb-0000-0000-0000-000000000000" }
  }
  mock_resource "azuredevops_serviceendpoint_azurerm" {
    defaults = {
      id                                   = "cccccccc-0000-0000-0000-000000000001"
      workload_identity_federation_issuer  = "https://login.microsoftonline.com/t/v2.0"
      workload_identity_federation_subject = "sc://organization/project/azure"
    }
  }
  mock_resource "azuredevops_serviceendpoint_azurecr" {
    defaults = {
      id                                   = "cccccccc-0000-0000-0000-000000000002"
      workload_identity_federation_issuer  = "https://login.microsoftonline.com/t/v2.0"
      workload_identity_federation_subject = "sc://organization/project/registry"
    }
  }
  mock_resource "azuredevops_variable_group" {
    defaults = { id = "50" }
  }
  override_resource {
    target = azuredevops_environment.this["staging"]
    values = { id = "61" }
  }
  override_resource {
    target = azuredevops_environment.this["production"]
    values = { id = "62" }
  }
  override_resource {
    target = azuredevops_build_definition.this["train"]
    values = { id = "41" }
  }
  override_resource {
    target = azuredevops_build_definition.this["deploy"]
    values = { id = "42" }
  }
}

variables {
  devops = {
    organization = "https://dev.azure.com/example"
    approvers    = "Release Approvers"
    branch       = "main"
    pipelines    = { train = "ado/train.yml", deploy = "ado/deploy.yml" }
    environments = { staging = false, production = true }
    secrets      = ["scoring-key", "webhook"]
  }
}

run "pipelines_get_into_azure_without_a_secret" {
  command = plan

  assert {
    condition = alltrue([
      for c in [azuredevops_serviceendpoint_azurerm.this[0], azuredevops_serviceendpoint_azurecr.this[0]] :
      c.service_endpoint_authentication_scheme == "WorkloadIdentityFederation"
      && c.credentials[0].serviceprincipalid == azurerm_user_assigned_identity.devops[0].client_id
      && c.project_id == azuredevops_project.this[0].id
    ])
    error_message = "A connection has a secret, is another's, or belongs to another project."
  }
  assert {
    condition = (
      azuredevops_serviceendpoint_azurerm.this[0].service_endpoint_name == var.names.resource_group
      && azuredevops_serviceendpoint_azurerm.this[0].azurerm_subscription_id == var.subscription_id
      && azuredevops_serviceendpoint_azurerm.this[0].resource_group == null
    )
    error_message = "The connection to Azure leads elsewhere, or names a group, which is refused beside an identity of our own."
  }
  assert {
    condition = (
      azuredevops_serviceendpoint_azurecr.this[0].service_endpoint_name == var.names.container_registry
      && azuredevops_serviceendpoint_azurecr.this[0].azurecr_name == var.names.container_registry
      && azuredevops_serviceendpoint_azurecr.this[0].resource_group == var.names.resource_group
    )
    error_message = "The connection to the registry leads elsewhere."
  }
  assert {
    condition = {
      for name, f in azurerm_federated_identity_credential.devops : name => [f.user_assigned_identity_id, f.issuer, f.subject, join(" ", f.audience)]
      } == {
      for name, c in { azure = azuredevops_serviceendpoint_azurerm.this[0], registry = azuredevops_serviceendpoint_azurecr.this[0] } : name => [
        azurerm_user_assigned_identity.devops[0].id, c.workload_identity_federation_issuer, c.workload_identity_federation_subject, "api://AzureADTokenExchange",
      ]
    }
    error_message = "The identity trusts something else than the two connections."
  }
  assert {
    condition = { for r in azurerm_role_assignment.devops : r.role_definition_name => r.scope } == {
      "Reader"                        = azurerm_resource_group.this.id
      "AzureML Data Scientist"        = azurerm_machine_learning_workspace.this.id
      "Storage Blob Data Contributor" = azurerm_storage_account.this.id
      "AcrPush"                       = azurerm_container_registry.this.id
      "Key Vault Secrets User"        = azurerm_key_vault.this.id
      "Website Contributor"           = azurerm_linux_web_app.this[0].id
    }
    error_message = "Pipelines may not do what they must, or may do something else."
  }
  assert {
    condition     = toset([for r in azurerm_role_assignment.devops : r.principal_id]) == toset([azurerm_user_assigned_identity.devops[0].principal_id])
    error_message = "Roles of the pipelines go to another."
  }
  assert {
    condition     = azurerm_user_assigned_identity.devops[0].tags == var.tags && azurerm_user_assigned_identity.devops[0].location == var.location
    error_message = "The identity lacks the tags, or is in another region."
  }
  assert {
    condition = { for name, value in output.names : name => value if startswith(name, "devops_") } == {
      devops_identity   = azurerm_user_assigned_identity.devops[0].name
      devops_project    = azuredevops_project.this[0].name
      devops_repository = azuredevops_git_repository.this[0].name
    }
    error_message = "Identity, project or repository are named otherwise: ${jsonencode(output.names)}."
  }
  assert {
    condition     = output.names.devops_identity == var.names.devops_identity && output.names.devops_project == var.names.devops_project && output.names.devops_repository == var.names.devops_repository
    error_message = "Identity, project or repository are not named as asked for."
  }
  assert {
    condition     = output.devops_url == "https://dev.azure.com/example/project-quickstart"
    error_message = "The project is at ${output.devops_url}."
  }

  # Pipelines

  assert {
    condition = toset(keys(azuredevops_build_definition.this)) == toset(keys(var.devops.pipelines)) && alltrue([
      for name, b in azuredevops_build_definition.this : b.name == name && b.repository[0].yml_path == var.devops.pipelines[name] &&
      b.repository[0].repo_type == "TfsGit" && b.repository[0].repo_id == azuredevops_git_repository.this[0].id && b.repository[0].branch_name == "refs/heads/main"
    ])
    error_message = "A pipeline reads another file, repository or branch."
  }
  assert {
    condition     = azuredevops_project.this[0].visibility == "private" && alltrue([for b in azuredevops_build_definition.this : b.job_authorization_scope == "project"])
    error_message = "The project is public, or its jobs reach others."
  }
  assert {
    condition = toset([
      for a in azuredevops_pipeline_authorization.this : "${a.pipeline_id} ${a.type} ${a.resource_id}" if a.type != "queue"
      ]) == toset(flatten([
        for pipeline in ["41", "42"] : [
          "${pipeline} endpoint cccccccc-0000-0000-0000-000000000001",
          "${pipeline} endpoint cccccccc-0000-0000-0000-000000000002",
          "${pipeline} environment 61",
          "${pipeline} environment 62",
          "${pipeline} variablegroup 50",
        ]
    ]))
    error_message = "A pipeline would ask a person at its first run, or may use something else."
  }
  assert { # which queue and which group is known when the project is there, so a plan can not say
    condition     = toset([for a in azuredevops_pipeline_authorization.this : a.pipeline_id if a.type == "queue"]) == toset([41, 42]) && data.azuredevops_agent_queue.hosted[0].name == "Azure Pipelines"
    error_message = "A pipeline may not use the machines that Microsoft hosts."
  }

  # Environments and secrets

  assert {
    condition     = toset([for e in azuredevops_environment.this : e.name]) == toset(keys(var.devops.environments))
    error_message = "The environments are others."
  }
  assert {
    condition = [for c in azuredevops_check_approval.this : [c.target_resource_id, c.target_resource_type, c.requester_can_approve, length(c.approvers)]] == [
      ["62", "environment", false, 1],
    ]
    error_message = "Production is not approved by the group, or something else is."
  }
  assert {
    condition     = data.azuredevops_group.approvers[0].name == var.devops.approvers && data.azuredevops_group.approvers[0].project_id == azuredevops_project.this[0].id
    error_message = "Another group approves."
  }
  assert {
    condition = (
      azuredevops_variable_group.secrets[0].key_vault[0].name == var.names.key_vault
      && azuredevops_variable_group.secrets[0].key_vault[0].service_endpoint_id == azuredevops_serviceendpoint_azurerm.this[0].id
      && azuredevops_variable_group.secrets[0].allow_access == false
    )
    error_message = "The secrets come from elsewhere, or every pipeline may read them."
  }
  assert {
    condition     = toset([for v in azuredevops_variable_group.secrets[0].variable : v.name]) == toset(var.devops.secrets) && alltrue([for v in azuredevops_variable_group.secrets[0].variable : v.value == null && v.secret_value == null])
    error_message = "Other secrets are linked, or one is written down."
  }
}

run "a_private_vault_is_not_read_from_outside" {
  command = plan

  variables {
    private = true
    web     = null
  }

  assert {
    condition     = length(azuredevops_variable_group.secrets) == 0 && !contains([for a in azuredevops_pipeline_authorization.this : a.type], "variablegroup")
    error_message = "Azure DevOps is to read a vault that does not answer it."
  }
  assert {
    condition     = !contains([for r in azurerm_role_assignment.devops : r.role_definition_name], "Website Contributor")
    error_message = "Pipelines may change a page that is not there."
  }
}

run "without_approvals_and_secrets_there_are_none" {
  command = plan

  variables {
    devops = {
      organization = "https://dev.azure.com/example"
      approvers    = "Release Approvers"
      branch       = "main"
      pipelines    = { train = "ado/train.yml" }
      environments = { staging = false }
      secrets      = []
    }
  }

  assert {
    condition     = length(azuredevops_check_approval.this) == 0 && length(data.azuredevops_group.approvers) == 0 && length(azuredevops_variable_group.secrets) == 0
    error_message = "There is an approval, a group to ask for it, or a group of secrets."
  }
}

run "without_azure_devops_there_is_nothing_of_it" {
  command = plan

  variables {
    devops = null
  }

  assert {
    condition = length(concat(
      azuredevops_project.this, azuredevops_git_repository.this, azuredevops_serviceendpoint_azurerm.this,
      azuredevops_serviceendpoint_azurecr.this, azuredevops_variable_group.secrets, values(azuredevops_environment.this),
      values(azuredevops_check_approval.this), values(azuredevops_build_definition.this),
      values(azuredevops_pipeline_authorization.this), data.azuredevops_group.approvers, data.azuredevops_agent_queue.hosted,
    )) == 0
    error_message = "There is something of Azure DevOps."
  }
  assert {
    condition     = length(azurerm_user_assigned_identity.devops) == 0 && length(azurerm_role_assignment.devops) == 0 && length(azurerm_federated_identity_credential.devops) == 0
    error_message = "There is an identity of pipelines, roles for it, or something it trusts."
  }
  assert {
    condition     = output.devops_url == null && output.names.devops_project == null
    error_message = "An output names Azure DevOps."
  }
}
