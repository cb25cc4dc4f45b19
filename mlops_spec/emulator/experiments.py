"""Experiments: what runs of a workspace are grouped by. The id follows from the name."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_spec.emulator.store import Store
    from mlops_spec.emulator.workspaces import Workspace

DEFAULT = "Default"


def identifier(workspace: Workspace, name: str) -> str:
    """The id of an experiment, whether it exists or not."""
    return str(uuid.uuid5(uuid.UUID(workspace.guid), name))


def ensure(store: Store, workspace: Workspace, name: str) -> str:
    """The id of an experiment, which is made when absent."""
    found = identifier(workspace, name)
    key = _key(workspace, found)
    if store.get(key) is None:
        store.put(key, {"name": name})
    return found


def name_of(store: Store, workspace: Workspace, found: str) -> str | None:
    """The name of an experiment; None where there is none."""
    document = store.get(_key(workspace, found))
    return str(document["name"]) if document else None


def names(store: Store, workspace: Workspace) -> list[str]:
    """Every experiment, oldest first."""
    return [document["name"] for _, document in store.under(_key(workspace, ""))]


def _key(workspace: Workspace, found: str) -> str:
    return f"{workspace.key}/experiments/{found}"
