"""How an emulator is to run, and what its clients must know."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.emulator import authority, identity
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.emulator.workspaces import Workspace

FILE = "emulator.json"


@dataclass(frozen=True)
class Settings:
    """How an emulator is to run.

    Attributes:
        state: Its folder: everything that it remembers.
        port: Of the proxy; 0 for any.
        workspaces: Those that exist from the start.
        containers: Of blobs that exist from the start, beside those of the workspaces: accounts
            and names.
        record: Whether every exchange is written down.
        parallel: How many jobs run at a time.
        azurite: Where the blob storage is installed.
        idle: Seconds without requests and jobs after which it ends; 0 for never.
    """

    state: Path
    port: int
    workspaces: tuple[Workspace, ...]
    containers: tuple[tuple[str, str], ...]
    record: bool
    parallel: int
    azurite: Path
    idle: float


def environment(state: Path, port: int, secret: str) -> dict[str, str]:
    """The variables that send a client process to the emulator instead of Azure."""
    certificate = str((state / authority.FILE).resolve())
    proxy = f"http://127.0.0.1:{port}"
    return {
        "HTTPS_PROXY": proxy,
        "https_proxy": proxy,  # some libraries read this spelling first
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "REQUESTS_CA_BUNDLE": certificate,
        "SSL_CERT_FILE": certificate,
        "AZURE_TENANT_ID": identity.TENANT,
        "AZURE_CLIENT_ID": identity.CLIENT,
        "AZURE_CLIENT_SECRET": secret,
    }


def read(state: Path) -> dict[str, Any]:
    """What the running emulator of a state folder has written for its clients.

    Raises:
        StateError: None is running there.
    """
    cure = f"start one: python -m mlops_spec.emulator --state {state}"
    try:
        document = files.read_json(state / FILE)
    except FileNotFoundError as error:
        raise StateError(f"no emulator is running on {state}", cure) from error
    try:
        os.kill(int(document["pid"]), 0)
    except (ProcessLookupError, PermissionError, KeyError, ValueError) as error:
        raise StateError(f"the emulator of {state} is gone", cure) from error
    return document
