# Written by `mlops_spec` from a spec, once for each experiment; no value has a second default here.
# The rules are Azure's own, so that a plan says what only an apply would have said.

variable "subscription_id" {
  description = "Subscription that pays."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", lower(var.subscription_id)))
    error_message = "subscription_id is a GUID, as `az account show --query id` prints it."
  }
}

variable "location" {
  description = "Azure region of every resource, by its short name, such as westeurope."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+[0-9]*$", var.location))
    error_message = "location is a region's short name: lower case, without spaces, such as westeurope."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  nullable    = false

  validation {
    condition = length(var.tags) <= 50 && alltrue([
      for key, value in var.tags : can(regex("^[^<>%&\\\\?/]{1,128}$", key)) && length(value) <= 256
    ])
    error_message = "At most 50 tags; keys of 1-128 characters without <>%&\\?/, values of up to 256."
  }
}

variable "names" {
  description = "Name of each resource. Storage account, key vault and registry are unique in all of Azure."
  type = object({
    resource_group       = string
    workspace            = string
    storage_account      = string
    key_vault            = string
    container_registry   = string
    log_analytics        = string
    application_insights = string
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
}

variable "cluster" {
  description = "Cluster that trains, or null where the workspace is enough."
  type = object({
    name        = string
    vm_size     = string
    vm_priority = string
    min_nodes   = number
    max_nodes   = number
    idle        = string
  })

  # `[*]` makes a list of none or one: Terraform 1.11 evaluates both sides of `||`, so a null is not asked.
  validation {
    condition     = alltrue([for c in var.cluster[*] : can(regex("^[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]$", c.name))])
    error_message = "cluster.name: 3-32 letters, digits or -, from a letter to a letter or digit."
  }
  validation {
    condition     = alltrue([for c in var.cluster[*] : contains(["Dedicated", "LowPriority"], c.vm_priority)])
    error_message = "cluster.vm_priority: Dedicated or LowPriority."
  }
  validation {
    condition = alltrue([
      for c in var.cluster[*] : 0 <= c.min_nodes && c.min_nodes <= c.max_nodes && 1 <= c.max_nodes
    ])
    error_message = "cluster: 0 <= min_nodes <= max_nodes, and at least one node at most."
  }
  validation {
    condition     = alltrue([for c in var.cluster[*] : can(regex("^PT([0-9]+H)?([0-9]+M)?([0-9]+S)?$", c.idle)) && c.idle != "PT"])
    error_message = "cluster.idle: an ISO 8601 duration, such as PT10M."
  }
}
