"""Versions of assets as documents: whoever makes one, a client or a job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import workspaces

if TYPE_CHECKING:
    from mlops_spec.emulator.store import Store
    from mlops_spec.emulator.workspaces import Workspace


def put(store: Store, key: str, properties: dict[str, Any]) -> None:
    """Makes or changes a version, and what is known of its name.

    Args:
        store: What is remembered.
        key: As `key` gives it.
        properties: Of the version.
    """
    known = store.get(key)
    system = known["system"] if known else workspaces.system_data()
    store.put(key, {"system": system, "properties": properties})
    *scope, kind, name, version = key.split("/")
    of_name = "/".join([*scope, f"{kind}-named", name])
    named = store.get(of_name) or {"system": system, "properties": {}}
    number = int(version) if version.isdecimal() else 0
    highest = max(number, int(named.get("highest", 0)))
    store.put(of_name, {**named, "latest": version, "highest": highest})


def key(workspace: Workspace, kind: str, name: str, version: str) -> str:
    """Where a version's document is."""
    return f"{workspace.key}/{kind}/{name}/{version}"


def following(store: Store, workspace: Workspace, kind: str, name: str) -> str:
    """The version that follows the highest there is."""
    named = store.get(f"{workspace.key}/{kind}-named/{name}") or {}
    return str(int(named.get("highest", 0)) + 1)
