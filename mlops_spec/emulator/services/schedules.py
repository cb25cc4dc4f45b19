"""Schedules: they are kept; no clock starts anything here."""

from __future__ import annotations

import re
from typing import Any

from mlops_spec.emulator.services import provisioned


def _tell(sent: dict[str, Any], state: str, _made: str) -> dict[str, Any]:
    properties = sent.get("properties", {})
    return {"properties": {**properties, "provisioningState": state}}


ROUTES = provisioned.routes("schedules", re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}"), _tell)
