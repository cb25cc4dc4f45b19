"""What lies behind an asset of a workspace, file by file; nothing of it is trusted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlops_spec.azure import client
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

_ADDRESS = re.compile(r"azureml://(?:.*/)?datastores/([^/]+)/paths/(.+)")
_FILE = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
_MOST_FILES = 100


def download(ml: Any, address: str, folder: Path) -> None:
    """Downloads the files of a flat folder.

    Args:
        ml: Azure's SDK.
        address: The folder, as Azure ML writes it; one that is gone is an empty one.
        folder: Where to.

    Raises:
        StateError: It is no folder of a datastore, or not a flat one of few files.
    """
    container, prefix = opened(ml, address)
    with container:
        found = {blob.name.removeprefix(prefix) for blob in container.list_blobs(prefix)}
        _check(found, address)
        for name in sorted(found):
            with (folder / name).open("xb") as file:
                container.download_blob(f"{prefix}{name}").readinto(file)


def opened(ml: Any, address: str, **options: Any) -> tuple[Any, str]:
    """The container that an address leads to, and how its blobs' names begin.

    Args:
        ml: Azure's SDK.
        address: A folder, as Azure ML writes it.
        options: Of the `ContainerClient`.

    Raises:
        StateError: It is no folder of a datastore.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise StateError(f"{address} is no folder of a datastore", "register the model again")
    return _container(ml, match[1], options), f"{match[2].rstrip('/')}/"


def _check(names: set[str], address: str) -> None:
    """Refuses what would be written anywhere else, or without end."""
    strange = sorted(name for name in names if not _FILE.fullmatch(name))
    if strange or len(names) > _MOST_FILES:
        what = f"a file called {strange[0]!r}" if strange else f"{len(names)} files"
        cure = "that is no bundle: look who wrote it, and register the model again"
        raise StateError(f"{address} has {what}", cure)


def _container(ml: Any, datastore: str, options: dict[str, Any]) -> Any:
    from azure.storage.blob import ContainerClient

    store = ml.datastores.get(datastore, include_secrets=True)
    account = f"https://{store.account_name}.blob.{store.endpoint}"
    secrets = (getattr(store.credentials, name, None) for name in ("sas_token", "account_key"))
    # Without secrets it is one that asks who somebody is
    credential = next((one for one in secrets if one), None) or client.identity()
    return ContainerClient(account, store.container_name, credential, **options)
