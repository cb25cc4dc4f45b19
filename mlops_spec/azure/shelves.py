"""What a workspace has of a model, and what it told the last time, for plans that ask nobody."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec import files, registry
from mlops_spec.azure import client, emulation, provision
from mlops_spec.errors import StateError
from mlops_spec.registry import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.azure.place import Place

_TOLD = Path(".mlops/workspaces")


def ask(place: Place, models: Path, model: str) -> list[Version]:
    """The versions of a model that were registered by this program, asked now."""
    from mlops_spec.azure.registry import AzuremlRegistry

    if place.emulator:
        emulation.variables(place, _say)
    found = registry.of_ours(AzuremlRegistry(place, models).look(model), model)
    files.write_json(_file(place, model), {"versions": [asdict(version) for version in found]})
    return found


def told(place: Place, model: str) -> list[Version]:
    """The same as it was the last time that somebody asked from here; nothing if nobody did."""
    try:
        document = files.read_json(_file(place, model))
        return [Version(**version) for version in document["versions"]]
    except (FileNotFoundError, StateError, KeyError, TypeError):
        return []


def has(place: Place, document: Mapping[str, Any]) -> bool:
    """Whether an asset of a CLI v2 document is in the workspace."""
    with client.opened(place, _say) as ml:
        return provision.exists(ml, document)


def _say(text: str) -> None:
    """Tells that an emulator is started, which may take a while; no plan or answer is on stderr."""
    sys.stderr.write(f"{text}\n")


def _file(place: Place, model: str) -> Path:
    return _TOLD / place.name / f"{model}.json"
