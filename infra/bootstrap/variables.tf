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
  description = "Azure region, by its short name, such as westeurope."
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
  description = "Name of each resource. The storage account's is unique in all of Azure."
  type = object({
    resource_group  = string
    storage_account = string
    container       = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[\\w().-]{0,89}[\\w()-]$", var.names.resource_group))
    error_message = "names.resource_group: 1-90 letters, digits or _().- and no dot at the end."
  }
  validation {
    condition     = can(regex("^[a-z0-9]{3,24}$", var.names.storage_account))
    error_message = "names.storage_account: 3-24 lower-case letters or digits."
  }
  validation {
    condition = (
      can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.names.container))
      && !strcontains(var.names.container, "--")
    )
    error_message = "names.container: 3-63 lower-case letters, digits or single -, with neither end a -."
  }
}
