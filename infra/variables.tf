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

variable "private" {
  description = "Whether everything is closed to the internet and reached in a network of its own."
  type        = bool
  nullable    = false
}

variable "clusters" {
  description = "Clusters that train, by name; none where other machines do."
  type = map(object({
    vm_size     = string
    vm_priority = string
    min_nodes   = number
    max_nodes   = number
    idle        = string
  }))
  nullable = false

  validation {
    condition = alltrue([
      for name in keys(var.clusters) :
      can(regex("^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$", name)) && !can(regex("-[0-9]+$", name))
    ])
    error_message = "clusters: names of 3-24 letters, digits or -, from a letter to a letter or digit, and no - before a number at the end."
  }
  validation {
    condition     = alltrue([for c in var.clusters : contains(["Dedicated", "LowPriority"], c.vm_priority)])
    error_message = "clusters, vm_priority: Dedicated or LowPriority."
  }
  validation {
    condition     = alltrue([for c in var.clusters : 0 <= c.min_nodes && c.min_nodes <= c.max_nodes && 1 <= c.max_nodes])
    error_message = "clusters: 0 <= min_nodes <= max_nodes, and at least one node at most."
  }
  validation {
    condition     = alltrue([for c in var.clusters : can(regex("^PT([0-9]+H)?([0-9]+M)?([0-9]+S)?$", c.idle)) && c.idle != "PT"])
    error_message = "clusters, idle: an ISO 8601 duration, such as PT10M."
  }
}

# `[*]` makes a list of none or one: Terraform 1.11 evaluates both sides of `||`, so a null is not asked.

variable "instance" {
  description = "Machine for notebooks, null for none; owner: object id of the user that it is made for and stays with, null for who applies."
  type = object({
    vm_size = string
    owner   = string
  })

  validation {
    condition = alltrue([
      for id in flatten(var.instance[*].owner[*]) : can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", lower(id)))
    ])
    error_message = "instance.owner is a GUID, as `az ad user show --query id` prints it, or null."
  }
}

variable "kubernetes" {
  description = "Cluster that serves, null for none; tls: a Kubernetes secret of the namespace azureml with the certificate, and the name it is for."
  type = object({
    vm_size   = string
    min_nodes = number
    max_nodes = number
    tls = object({
      secret = string
      host   = string
    })
  })

  validation {
    condition = alltrue([
      for k in var.kubernetes[*] : 1 <= k.min_nodes && k.min_nodes <= k.max_nodes && k.max_nodes <= 1000
    ])
    error_message = "kubernetes: 1 <= min_nodes <= max_nodes <= 1000; the cluster's own pods need a node."
  }
  validation {
    condition = alltrue([
      for tls in flatten(var.kubernetes[*].tls[*]) : can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", tls.secret))
    ])
    error_message = "kubernetes.tls.secret: 1-253 lower-case letters, digits, - or ., from a letter or digit to one."
  }
  validation {
    condition = alltrue([
      for tls in flatten(var.kubernetes[*].tls[*]) : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", tls.host))
    ])
    error_message = "kubernetes.tls.host: a DNS name, such as scoring.example.com."
  }
}

variable "custom_vision" {
  description = "Custom Vision, to measure against; null for none."
  type = object({
    sku = string
  })

  validation {
    condition     = alltrue([for c in var.custom_vision[*] : contains(["F0", "S0"], c.sku)])
    error_message = "custom_vision.sku: F0 (free, one of each kind in a subscription) or S0."
  }
}

variable "web" {
  description = "The page: size of its plan, image in the registry, and the path that says it is well; null for none."
  type = object({
    sku    = string
    image  = string
    health = string
  })

  # Free and shared plans have no health check, no private endpoint and do not stay awake.
  validation {
    condition     = alltrue([for w in var.web[*] : can(regex("^(B[1-3]|S[1-3]|P[1-3]v2|P[0-3]v[34]|P[1-5]mv[34])$", w.sku))])
    error_message = "web.sku: B1-B3, S1-S3, P1v2-P3v2, P0v3-P3v3, P1mv3-P5mv3, or the same of v4."
  }
  validation {
    condition     = alltrue([for w in var.web[*] : can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*:\\w[\\w.-]{0,127}$", w.image))])
    error_message = "web.image: name and tag, such as frontend:latest; the registry is known."
  }
  validation {
    condition     = alltrue([for w in var.web[*] : can(regex("^/[\\w./-]*$", w.health))])
    error_message = "web.health: a path, such as /healthz."
  }
}

variable "budget" {
  description = "What the resource group may cost in a month, in USD, and who is told; null for none."
  type = object({
    amount = number
    emails = list(string)
  })

  validation {
    condition     = alltrue([for b in var.budget[*] : b.amount >= 1])
    error_message = "budget.amount: at least 1."
  }
  validation {
    condition = alltrue([
      for b in var.budget[*] :
      1 <= length(b.emails) && length(b.emails) <= 50 && alltrue([for e in b.emails : can(regex("^[^@\\s]+@[^@\\s]+$", e))])
    ])
    error_message = "budget.emails: 1-50 addresses."
  }
}
