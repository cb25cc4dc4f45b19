"""The scoring service: a bundle behind HTTP."""
