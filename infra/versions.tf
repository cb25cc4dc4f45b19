terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.81"
    }
  }
}

# Who applies comes from the environment: `az login`, or ARM_USE_OIDC and its companions in a pipeline.
provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true # the storage account has no keys to fall back on

  # Registering everything azurerm knows asks for rights on the subscription that this does not need.
  resource_provider_registrations = "none"
  resource_providers_to_register = [
    "Microsoft.ContainerRegistry",
    "Microsoft.KeyVault",
    "Microsoft.MachineLearningServices",
    "Microsoft.ManagedIdentity",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
    "microsoft.insights", # azurerm compares case, and Azure spells this one so
  ]

  features {}
}
