"""Compute targets: they exist, and cost nothing; jobs run on this machine."""

from __future__ import annotations

import re
from typing import Any

from mlops_spec.emulator.services.provisioned import Provisioned


def _tell(sent: dict[str, Any], state: str, made: str) -> dict[str, Any]:
    return {
        "location": sent.get("location"),
        "tags": sent.get("tags") or {},
        "properties": {
            **_complete(sent.get("properties", {})),
            "provisioningState": state,
            "createdOn": made,
            "modifiedOn": made,
            "isAttachedCompute": False,
            "provisioningErrors": None,
        },
    }


def _complete(wanted: dict[str, Any]) -> dict[str, Any]:
    """What was sent for a compute target, with what Azure adds where nothing was said."""
    if wanted.get("computeType") != "AmlCompute":
        return wanted
    own = wanted.get("properties") or {}
    return {**wanted, "properties": {**own, "vmPriority": own.get("vmPriority") or "Dedicated"}}


ROUTES = Provisioned("computes", re.compile(r"[A-Za-z][A-Za-z0-9-]{1,31}"), _tell).routes
