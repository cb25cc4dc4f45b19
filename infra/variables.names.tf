# The rules of names are Azure's own. Storage account, key vault, registry, both Custom Vision
# accounts and the page are unique in all of Azure.

variable "names" {
  description = "Name of each resource, also of those that are not wanted."
  type = object({
    resource_group           = string
    workspace                = string
    storage_account          = string
    key_vault                = string
    container_registry       = string
    log_analytics            = string
    application_insights     = string
    workspace_identity       = string
    jobs_identity            = string
    kubernetes_identity      = string
    web_identity             = string
    devops_identity          = string
    compute_instance         = string
    kubernetes               = string
    kubernetes_compute       = string
    custom_vision_training   = string
    custom_vision_prediction = string
    service_plan             = string
    web_app                  = string
    virtual_network          = string
    budget                   = string
    devops_project           = string
    devops_repository        = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[\\w().-]{0,89}[\\w()-]$", var.names.resource_group))
    error_message = "names.resource_group: 1-90 letters, digits or _().- and no dot at the end."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w-]{2,32}$", var.names.workspace))
    error_message = "names.workspace: 3-33 letters, digits, _ or -, starting with a letter or digit."
  }
  validation {
    condition     = can(regex("^[a-z0-9]{3,24}$", var.names.storage_account))
    error_message = "names.storage_account: 3-24 lower-case letters or digits."
  }
  validation {
    condition = (
      can(regex("^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$", var.names.key_vault))
      && !strcontains(var.names.key_vault, "--")
    )
    error_message = "names.key_vault: 3-24 letters, digits or single -, from a letter to a letter or digit."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9]{5,50}$", var.names.container_registry))
    error_message = "names.container_registry: 5-50 letters or digits."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]$", var.names.log_analytics))
    error_message = "names.log_analytics: 4-63 letters, digits or -, with neither end a -."
  }
  validation {
    condition     = can(regex("^[\\w().-]{0,254}[\\w()-]$", var.names.application_insights))
    error_message = "names.application_insights: 1-255 letters, digits or _().- and no dot at the end."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w-]{2,127}$", var.names.workspace_identity))
    error_message = "names.workspace_identity: 3-128 letters, digits, _ or -, starting with a letter or digit."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w-]{2,127}$", var.names.jobs_identity))
    error_message = "names.jobs_identity: 3-128 letters, digits, _ or -, starting with a letter or digit."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w-]{2,121}$", var.names.kubernetes_identity))
    error_message = "names.kubernetes_identity: 3-122 letters, digits, _ or -, starting with a letter or digit; that of the nodes adds six."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w-]{2,127}$", var.names.web_identity))
    error_message = "names.web_identity: 3-128 letters, digits, _ or -, starting with a letter or digit."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w-]{2,127}$", var.names.devops_identity))
    error_message = "names.devops_identity: 3-128 letters, digits, _ or -, starting with a letter or digit."
  }
  validation {
    condition = (
      can(regex("^[a-zA-Z][a-zA-Z0-9-]{2,23}$", var.names.compute_instance))
      && !can(regex("-[0-9]+$", var.names.compute_instance))
    )
    error_message = "names.compute_instance: 3-24 letters, digits or -, starting with a letter, and no - and a number at the end."
  }
  validation {
    condition     = can(regex("^[a-zA-Z]([a-zA-Z0-9-]{0,52}[a-zA-Z0-9])?$", var.names.kubernetes))
    error_message = "names.kubernetes: 1-54 letters, digits or -, from a letter to a letter or digit; it is the start of an address, too."
  }
  validation {
    condition = (
      can(regex("^[a-zA-Z][a-zA-Z0-9-]{2,15}$", var.names.kubernetes_compute))
      && !can(regex("-[0-9]+$", var.names.kubernetes_compute))
    )
    error_message = "names.kubernetes_compute: 3-16 letters, digits or -, starting with a letter, and no - and a number at the end."
  }
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$", var.names.custom_vision_training))
    error_message = "names.custom_vision_training: 2-64 lower-case letters, digits or -, with neither end a -; it is the start of an address, too."
  }
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$", var.names.custom_vision_prediction))
    error_message = "names.custom_vision_prediction: 2-64 lower-case letters, digits or -, with neither end a -; it is the start of an address, too."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9-]{1,60}$", var.names.service_plan))
    error_message = "names.service_plan: 1-60 letters, digits or -."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]$", var.names.web_app))
    error_message = "names.web_app: 2-60 letters, digits or -, with neither end a -."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9][\\w.-]{0,62}\\w$", var.names.virtual_network))
    error_message = "names.virtual_network: 2-64 letters, digits, _, . or -, from a letter or digit to one or _."
  }
  validation {
    condition     = can(regex("^[\\w-]{1,63}$", var.names.budget))
    error_message = "names.budget: 1-63 letters, digits, _ or -."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9]([\\w .-]{0,62}[\\w-])?$", var.names.devops_project))
    error_message = "names.devops_project: 1-64 letters, digits, spaces, _, . or -, starting with a letter or digit, and no dot or space at the end."
  }
  validation {
    condition     = can(regex("^[a-zA-Z0-9]([\\w .-]{0,62}[\\w-])?$", var.names.devops_repository))
    error_message = "names.devops_repository: 1-64 letters, digits, spaces, _, . or -, starting with a letter or digit, and no dot or space at the end."
  }
}
