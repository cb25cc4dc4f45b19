# What the resource group may cost in a month, in USD. Nothing stops at the limit: people are told.

resource "azurerm_consumption_budget_resource_group" "this" {
  count = var.budget == null ? 0 : 1

  name              = var.names.budget
  resource_group_id = azurerm_resource_group.this.id
  amount            = var.budget.amount
  time_grain        = "Monthly"

  time_period {
    start_date = formatdate("YYYY-MM-01'T'00:00:00'Z'", plantimestamp()) # Azure wants the first of a month
  }

  dynamic "notification" {
    for_each = {
      half     = { threshold = 50, type = "Actual" }
      most     = { threshold = 80, type = "Actual" }
      expected = { threshold = 100, type = "Forecasted" }
      all      = { threshold = 100, type = "Actual" }
    }
    content {
      operator       = "GreaterThanOrEqualTo"
      threshold      = notification.value.threshold
      threshold_type = notification.value.type
      contact_emails = var.budget.emails
    }
  }

  lifecycle {
    ignore_changes = [time_period] # it began once; the next month is not another budget
  }
}
