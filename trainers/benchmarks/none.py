"""`benchmark.kind: none`: nothing beside the model."""

from __future__ import annotations

from typing import Literal

from mlops_spec.spec import OpenSection


class Spec(OpenSection):
    """No settings."""

    kind: Literal["none"]
