variable "devops" {
  description = <<-EOT
    Azure DevOps, null for none. organization: its address; approvers: a group of the project that
    approves; branch: the default one; pipelines: name and YAML file of each; environments: of each
    whether the group must approve; secrets: names of secrets that are in the vault before they are listed.
  EOT
  type = object({
    organization = string
    approvers    = string
    branch       = string
    pipelines    = map(string)
    environments = map(bool)
    secrets      = list(string)
  })

  validation {
    condition     = var.devops == null || fileexists("${path.module}/main.devops.tf")
    error_message = "devops is made by main.devops.tf, which is not here."
  }
  validation {
    condition     = var.devops == null || lower(var.names.devops_repository) != lower(var.names.devops_project)
    error_message = "names.devops_repository: another name than the project's, of which Azure DevOps makes an empty repository itself."
  }
  validation {
    condition = alltrue([
      for d in var.devops[*] : can(regex("^https://dev\\.azure\\.com/[a-zA-Z0-9]([a-zA-Z0-9-]{0,48}[a-zA-Z0-9])?$", d.organization))
    ])
    error_message = "devops.organization: https://dev.azure.com/ and the organization's name."
  }
  validation {
    condition     = alltrue([for d in var.devops[*] : can(regex("\\S", d.approvers))])
    error_message = "devops.approvers: the name of a group, such as Contributors."
  }
  validation {
    condition     = alltrue([for d in var.devops[*] : can(regex("^\\w([\\w./-]*\\w)?$", d.branch)) && !startswith(d.branch, "refs/")])
    error_message = "devops.branch: a branch's short name, such as main."
  }
  validation {
    condition = alltrue(flatten([
      for d in var.devops[*] : [for name, file in d.pipelines : can(regex("^[^\\\\/:*?\"<>|]{1,256}$", name)) && can(regex("^[^/].*\\.ya?ml$", file))]
    ]))
    error_message = "devops.pipelines: names without \\/:*?\"<>| and the path of a YAML file from the repository's root."
  }
  validation {
    condition     = alltrue(flatten([for d in var.devops[*] : [for name in keys(d.environments) : can(regex("^[\\w][\\w -]{0,126}$", name))]]))
    error_message = "devops.environments: names of 1-127 letters, digits, spaces, _ or -."
  }
  validation {
    condition     = alltrue(flatten([for d in var.devops[*] : [for name in d.secrets : can(regex("^[a-zA-Z0-9-]{1,127}$", name))]]))
    error_message = "devops.secrets: names of 1-127 letters, digits or -."
  }
}
