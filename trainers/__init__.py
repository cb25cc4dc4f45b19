"""Training code by kind, each a module of this folder."""
