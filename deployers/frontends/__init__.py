"""Front ends by kind: the page people use a model from."""
