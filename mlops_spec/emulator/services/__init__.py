"""One module a service: handlers, and at its end the table that leads to them."""
