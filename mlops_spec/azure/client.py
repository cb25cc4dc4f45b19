"""Azure's SDK for a workspace, with its errors in words a person can act on."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

from mlops_spec.azure import emulation, refusals
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_spec.azure.place import Place

MANAGEMENT = "https://management.azure.com"
_WHO = ("HTTPS_PROXY", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
_OF_A_JOB = "DEFAULT_IDENTITY_CLIENT_ID"  # set by Azure ML: a machine may have several identities
INSTALL = "python -m pip install 'mlops_spec[azure]'"


@contextlib.contextmanager
def opened(place: Place, say: Callable[[str], None] = lambda _: None) -> Iterator[Any]:
    """Azure's SDK for a workspace; for an emulated one, this process is sent there meanwhile.

    Args:
        place: The workspace.
        say: Hears that an emulator is started.

    Returns:
        An `azure.ai.ml.MLClient`.

    Raises:
        StateError: The SDK is not installed, nobody is logged in, or what is asked for is not
            there or not allowed; what Azure says of anything else.
    """
    for package in missing():
        raise StateError(f"{package} is not installed", INSTALL)
    with variables(place, say), told(place):
        yield _client(place)


def missing() -> list[str]:
    """The packages that are needed and not installed."""
    return [package for package in ("azure.ai.ml", "azure.identity") if not _is_installed(package)]


def token() -> str:
    """A token for Azure's own addresses; the credential keeps it while it lasts."""
    return str(identity().get_token(f"{MANAGEMENT}/.default").token)


def identity() -> Any:
    """Who asks: whoever is logged in, or, inside a job of Azure ML, the identity of its machine."""
    return _credential(*(os.environ.get(name, "") for name in (*_WHO, _OF_A_JOB)))


@functools.lru_cache(maxsize=1)
def _credential(*_where: str) -> Any:
    """One for as long as it leads to the same place: it keeps its tokens."""
    with _quietly():
        from azure.identity import DefaultAzureCredential

    own = os.environ.get(_OF_A_JOB) or os.environ.get("AZURE_CLIENT_ID")
    return DefaultAzureCredential(managed_identity_client_id=own)


@contextlib.contextmanager
def variables(place: Place, say: Callable[[str], None]) -> Iterator[None]:
    """Makes the environment what an emulated workspace needs; for Azure it stays as it is."""
    wanted = emulation.variables(place, say) if place.emulator else {}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # a parent of it is not
        return False


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """While the SDK is imported: its warnings are about other libraries' versions."""
    # Its warnings are pages long, its errors are raised; and requests, which it notes, have tokens
    for name in ("azure", "azure.ai.ml"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def uploaded(create: Callable[[Any], Any], asset: Any) -> Any:
    """Makes an asset of a folder of this machine, without the SDK's colours on stderr."""
    with contextlib.redirect_stderr(io.StringIO()):
        return create(asset)


def _client(place: Place) -> Any:
    with _quietly():
        from azure.ai.ml import MLClient

    if place.emulator:
        emulation.ensure_workspace(place, token(), MANAGEMENT)
    words = (place.subscription, place.group, place.name)
    # Without its bars the SDK does not look what became of an upload, and waits for ever for a
    # file that could not be sent; whoever uploads takes what it draws from the terminal
    return MLClient(identity(), *words, enable_telemetry=False, show_progress=True)


@contextlib.contextmanager
def told(place: Place) -> Iterator[None]:
    """Turns errors of Azure and its SDK into ours.

    Raises:
        StateError: Azure said no; tokens and signatures are taken out of its words.
    """
    with refusals.told(place):
        yield


def is_workspace(error: Any) -> bool:
    """Whether it is the workspace itself, or what it is in, that was not found."""
    return refusals.is_workspace(error)
