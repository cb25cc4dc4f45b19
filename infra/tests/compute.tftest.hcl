# Clusters and the machine for notebooks.

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

run "machines_as_asked_for" {
  command = plan

  assert {
    condition     = toset(output.clusters) == toset(keys(var.clusters))
    error_message = "The clusters are named ${jsonencode(output.clusters)}."
  }
  assert {
    condition = alltrue([
      for name, c in azurerm_machine_learning_compute_cluster.this : c.scale_settings[0] == {
        min_node_count                       = var.clusters[name].min_nodes
        max_node_count                       = var.clusters[name].max_nodes
        scale_down_nodes_after_idle_duration = var.clusters[name].idle
      }
    ])
    error_message = "A cluster scales otherwise."
  }
  assert {
    condition     = alltrue([for name, c in azurerm_machine_learning_compute_cluster.this : c.vm_size == var.clusters[name].vm_size && c.vm_priority == var.clusters[name].vm_priority])
    error_message = "A cluster has other machines."
  }
  assert {
    condition     = alltrue([for c in azurerm_machine_learning_compute_cluster.this : c.local_auth_enabled == false && c.ssh_public_access_enabled == false])
    error_message = "A cluster has local accounts or an open SSH port."
  }
  assert {
    condition     = alltrue([for c in azurerm_machine_learning_compute_cluster.this : c.machine_learning_workspace_id == azurerm_machine_learning_workspace.this.id])
    error_message = "A cluster belongs to something else than the workspace."
  }
  assert {
    condition     = alltrue([for c in azurerm_machine_learning_compute_cluster.this : c.identity[0].identity_ids == toset([azurerm_user_assigned_identity.jobs[0].id])])
    error_message = "A cluster has another identity."
  }
  assert {
    condition     = toset([for r in concat(values(azurerm_role_assignment.jobs), azurerm_role_assignment.jobs_register) : r.principal_id]) == toset([azurerm_user_assigned_identity.jobs[0].principal_id])
    error_message = "Roles of the jobs go to another."
  }
  assert {
    condition = { for r in concat(values(azurerm_role_assignment.jobs), azurerm_role_assignment.jobs_register) : r.role_definition_name => r.scope } == {
      "Storage Blob Data Contributor" = azurerm_storage_account.this.id
      "AcrPull"                       = azurerm_container_registry.this.id
      "AzureML Data Scientist"        = azurerm_machine_learning_workspace.this.id
    }
    error_message = "Jobs may not do what they must, or may do something else."
  }
  assert {
    condition     = azurerm_machine_learning_compute_instance.this[0].virtual_machine_size == var.instance.vm_size && azurerm_machine_learning_compute_instance.this[0].machine_learning_workspace_id == azurerm_machine_learning_workspace.this.id
    error_message = "The instance is another machine, or elsewhere."
  }
  assert {
    condition     = azurerm_machine_learning_compute_instance.this[0].authorization_type == "personal" && azurerm_machine_learning_compute_instance.this[0].local_auth_enabled == false && length(azurerm_machine_learning_compute_instance.this[0].ssh) == 0
    error_message = "The instance has local accounts, SSH, or is for everyone."
  }
  assert {
    condition     = azurerm_machine_learning_compute_instance.this[0].assign_to_user[0].object_id == data.azurerm_client_config.current.object_id && azurerm_machine_learning_compute_instance.this[0].assign_to_user[0].tenant_id == data.azurerm_client_config.current.tenant_id
    error_message = "The instance belongs to another than who applies."
  }
}

run "the_instance_is_another_persons" {
  command = plan

  variables {
    instance = { vm_size = "Standard_DS11_v2", owner = "99999999-0000-0000-0000-000000000000" }
  }

  assert {
    condition     = azurerm_machine_learning_compute_instance.this[0].assign_to_user[0].object_id == var.instance.owner
    error_message = "The instance belongs to another than its owner."
  }
}

run "without_clusters_there_are_none" {
  command = plan

  variables {
    clusters = {}
  }

  assert {
    condition     = length(azurerm_machine_learning_compute_cluster.this) == 0 && output.clusters == [] && output.names.jobs_identity == null
    error_message = "There is a cluster."
  }
  assert {
    condition     = length(azurerm_user_assigned_identity.jobs) == 0 && length(azurerm_role_assignment.jobs) == 0 && length(azurerm_role_assignment.jobs_register) == 0
    error_message = "There is an identity of jobs, or roles for it."
  }
}
