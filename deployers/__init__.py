"""Targets by kind: where a registered model is served."""
