# The state holds what Azure answered, so it lies in a storage account without keys (bootstrap/).
# Which one is not the module's to know, and a variable is not allowed here:
#   terraform init -backend-config=resource_group_name=... -backend-config=storage_account_name=...
#                  -backend-config=container_name=... -backend-config=key=...
# Who asks comes from the environment, as for the providers (`az login`, or ARM_USE_OIDC in a pipeline).

terraform {
  backend "azurerm" {
    use_azuread_auth = true # a role on the container; a look-up of the account's key otherwise
  }
}
