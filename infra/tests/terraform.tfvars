# What the tests start from: everything but Azure DevOps and private networking. Each test switches
# what it is about.

subscription_id = "00000000-0000-0000-0000-000000000000"
location        = "westeurope"
tags            = { experiment = "quickstart", managed-by = "mlops_spec" }

names = {
  resource_group           = "rg-quickstart"
  workspace                = "mlw-quickstart"
  storage_account          = "stquickstart"
  key_vault                = "kv-quickstart"
  container_registry       = "crquickstart"
  log_analytics            = "log-quickstart"
  application_insights     = "appi-quickstart"
  workspace_identity       = "id-mlw-quickstart"
  jobs_identity            = "id-jobs-quickstart"
  kubernetes_identity      = "id-aks-quickstart"
  web_identity             = "id-app-quickstart"
  devops_identity          = "id-ado-quickstart"
  compute_instance         = "ci-quickstart"
  kubernetes               = "aks-quickstart"
  kubernetes_compute       = "aks"
  custom_vision_training   = "cvt-quickstart"
  custom_vision_prediction = "cvp-quickstart"
  service_plan             = "asp-quickstart"
  web_app                  = "app-quickstart"
  virtual_network          = "vnet-quickstart"
  budget                   = "budget-quickstart"
  devops_project           = "project-quickstart"
  devops_repository        = "repo-quickstart"
}

private = false

clusters = {
  cpu = { vm_size = "Standard_DS3_v2", vm_priority = "LowPriority", min_nodes = 0, max_nodes = 2, idle = "PT10M" }
  gpu = { vm_size = "Standard_NC4as_T4_v3", vm_priority = "Dedicated", min_nodes = 1, max_nodes = 4, idle = "PT1H" }
}

instance      = { vm_size = "Standard_DS11_v2", owner = null }
kubernetes    = { vm_size = "Standard_D4s_v5", min_nodes = 1, max_nodes = 3, tls = null }
custom_vision = { sku = "S0" }
web           = { sku = "B1", image = "frontend:latest", health = "/healthz" }
devops        = null
budget        = { amount = 100, emails = ["owner@example.com", "team@example.com"] }
