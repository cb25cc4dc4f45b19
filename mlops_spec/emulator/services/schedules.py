"""Schedules: they are kept; no clock starts anything here."""

from __future__ import annotations

import re
from typing import Any

from mlops_spec.emulator.services.provisioned import Provisioned


def _tell(sent: dict[str, Any], state: str, _made: str) -> dict[str, Any]:
    properties = sent.get("properties", {})
    return {"properties": {**properties, "provisioningState": state}}


ROUTES = Provisioned("schedules", re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}"), _tell).routes
