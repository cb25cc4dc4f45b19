"""Benchmarks by kind: what a model is compared with."""
