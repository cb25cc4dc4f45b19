"""The registry of a spec's workspace, whichever that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec.azure.place import Place
from mlops_spec.azure.registry import AzuremlRegistry
from mlops_spec.registering import LocalRegistry
from mlops_spec.where import LocalWorkspace

if TYPE_CHECKING:
    from mlops_spec.registry import Registry
    from mlops_spec.spec import Spec


def of(spec: Spec, models: Path) -> Registry:
    """The registry of a spec's workspace.

    Args:
        spec: What is wanted.
        models: Where it keeps bundles on this machine.
    """
    if isinstance(spec.workspace, LocalWorkspace):
        return LocalRegistry(Path(spec.workspace.database), models)
    return AzuremlRegistry(Place.of(spec), models)


def at(address: str, database: Path, models: Path) -> Registry:
    """The registry of a workspace by its address, or the one of a sqlite file without an address.

    Raises:
        StateError: It is no address.
    """
    return (
        AzuremlRegistry(Place.parse(address), models)
        if address
        else LocalRegistry(database, models)
    )
