# The budget.

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

run "people_are_told" {
  command = plan

  assert {
    condition     = azurerm_consumption_budget_resource_group.this[0].amount == var.budget.amount && azurerm_consumption_budget_resource_group.this[0].time_grain == "Monthly" && azurerm_consumption_budget_resource_group.this[0].resource_group_id == azurerm_resource_group.this.id
    error_message = "The budget is another, or of something else."
  }
  assert {
    condition = toset([for n in azurerm_consumption_budget_resource_group.this[0].notification : "${n.threshold_type} ${n.threshold}"]) == toset([
      "Actual 50", "Actual 80", "Actual 100", "Forecasted 100",
    ])
    error_message = "People are told at another point."
  }
  assert {
    condition     = alltrue([for n in azurerm_consumption_budget_resource_group.this[0].notification : n.contact_emails == var.budget.emails])
    error_message = "Others are told."
  }
  assert {
    condition     = can(regex("^[0-9]{4}-[0-9]{2}-01T00:00:00Z$", azurerm_consumption_budget_resource_group.this[0].time_period[0].start_date))
    error_message = "The budget starts at ${azurerm_consumption_budget_resource_group.this[0].time_period[0].start_date}, which is not the first of a month."
  }
}

run "without_a_budget_there_is_none" {
  command = plan

  variables {
    budget = null
  }

  assert {
    condition     = length(azurerm_consumption_budget_resource_group.this) == 0 && output.names.budget == null
    error_message = "There is a budget."
  }
}
