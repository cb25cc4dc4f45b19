"""Data sets by kind, each a module of this folder."""
