"""A declarative, config-first framework for image classification from a laptop to Azure."""

__version__ = "0.1.0"
