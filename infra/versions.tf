terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.81"
    }
    azapi = {
      source  = "azure/azapi"
      version = "~> 2.12"
    }
    azuredevops = { # used in main.devops.tf alone
      source  = "microsoft/azuredevops"
      version = "~> 1.16"
    }
  }
}

# Who applies comes from the environment: `az login`, or ARM_USE_OIDC and its companions in a pipeline.
provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true # the storage account has no keys to fall back on

  # Registering everything azurerm knows asks for rights on the subscription that this does not need.
  resource_provider_registrations = "none"
  resource_providers_to_register = concat(
    [
      "Microsoft.ContainerRegistry",
      "Microsoft.KeyVault",
      "Microsoft.MachineLearningServices",
      "Microsoft.ManagedIdentity",
      "Microsoft.OperationalInsights",
      "Microsoft.Storage",
      "microsoft.insights", # azurerm compares case, and Azure spells this one so
    ],
    var.budget == null ? [] : ["Microsoft.Consumption"],
    var.custom_vision == null ? [] : ["Microsoft.CognitiveServices"],
    var.kubernetes == null ? [] : ["Microsoft.ContainerService", "Microsoft.KubernetesConfiguration"],
    var.private ? ["Microsoft.Network"] : [],
    var.web == null ? [] : ["Microsoft.Web"],
  )

  features {
    storage {
      data_plane_available = !var.private # it reads the account from here, where private storage does not answer
    }
  }
}

# What azurerm has no resource for: attaching Kubernetes to a workspace, and the access for it.
provider "azapi" {
  subscription_id = var.subscription_id
}
