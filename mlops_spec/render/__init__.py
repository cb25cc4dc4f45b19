"""Pure functions from a spec and facts to documents."""
