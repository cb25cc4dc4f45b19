"""Azure's SDK for a workspace, with its errors in words a person can act on."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import logging
import os
import re
import warnings
from typing import TYPE_CHECKING, Any

from mlops_spec.azure import emulation
from mlops_spec.errors import StateError
from mlops_spec.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlops_spec.azure.place import Place

MANAGEMENT = "https://management.azure.com"
_INSTALL = "python -m pip install 'mlops_spec[azure]'"
_AGAIN = "then run the same command again"
_NOT_THERE = {"ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound"}
_ROLE = "AzureML Data Scientist"


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
    for package in ("azure.ai.ml", "azure.identity"):
        if not _is_installed(package):
            raise StateError(f"{package} is not installed", _INSTALL)
    with variables(place, say), told(place):
        yield _client(place)


def token() -> str:
    """A token for Azure's own addresses; the credential keeps it while it lasts."""
    return str(_login().get_token(f"{MANAGEMENT}/.default").token)


def _login() -> Any:
    """Whoever is logged in: service principal, workload or managed identity, Azure CLI."""
    return _credential(*(os.environ.get(name, "") for name in ("HTTPS_PROXY", "AZURE_CLIENT_ID")))


@functools.lru_cache(maxsize=1)
def _credential(*_where: str) -> Any:
    """One for as long as it leads to the same place: it keeps its tokens."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


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
    return MLClient(_login(), *words, enable_telemetry=False, show_progress=True)


@contextlib.contextmanager
def told(place: Place) -> Iterator[None]:
    """Turns errors of Azure and its SDK into ours.

    Raises:
        StateError: Azure said no; tokens and signatures are taken out of its words.
    """
    with _quietly():
        from azure.ai.ml.exceptions import MlException
        from azure.core import exceptions

    try:
        yield
    except exceptions.ClientAuthenticationError as error:
        login = "az login (or AZURE_CLIENT_ID, AZURE_TENANT_ID and a secret or federated token)"
        message = f"nobody is logged in to Azure: {_first_line(error)}"
        raise StateError(message, f"{login}, {_AGAIN}") from error
    except exceptions.HttpResponseError as error:
        raise _refusal(error, place) from error
    except MlException as error:  # an AzureError, too
        if isinstance(error.__cause__, exceptions.HttpResponseError):
            raise _refusal(error.__cause__, place) from error
        raise StateError(_first_line(error), "mend it in the spec, " + _AGAIN) from error
    except exceptions.AzureError as error:  # no answer at all
        message = f"Azure does not answer: {_first_line(error)}"
        raise StateError(message, f"look at the network and the proxy, {_AGAIN}") from error


def is_workspace(error: Any) -> bool:
    """Whether it is the workspace itself, or what it is in, that was not found."""
    code, said = _code(error), str(error.message)
    return code in _NOT_THERE and re.search(r"/workspaces/[^/']+/", said) is None


def _code(error: Any) -> str:
    """The service's word for an error; storage has it in a header."""
    code = getattr(error.error, "code", "") or getattr(error, "error_code", "")
    return str(getattr(code, "value", code) or "")


def _refusal(error: Any, place: Place) -> StateError:
    """What an answer of Azure's that is an error means, by its status and code."""
    code, said = _code(error), _first_line(error)
    match error.status_code:
        case 401:
            message, cure = f"Azure does not take the login: {said}", f"az login, {_AGAIN}"
        case 403:
            return _forbidden(code, said, place)
        case 404 if is_workspace(error):
            message = f"there is no {place}: {said}"
            cure = "make it: python -m mlops_spec render OVERRIDES, and the commands it prints"
        case 409:
            message = f"somebody else changes the same in {place}: {said}"
            cure = _AGAIN.removeprefix("then ")
        case 429:
            message, cure = f"Azure asks for patience: {said}", f"wait a minute, {_AGAIN}"
        case status if status is not None and status >= 500:  # noqa: PLR2004 - HTTP's
            message, cure = f"Azure has trouble ({status}): {said}", f"wait a minute, {_AGAIN}"
        case _ if "quota" in f"{code} {said}".lower():
            message = f"the quota is used up: {said}"
            cure = "az ml compute list-usage; ask for more, or choose another compute.vm_size"
        case _:
            message, cure = f"Azure refuses that in {place}: {said}", _AGAIN.removeprefix("then ")
    return StateError(message, cure)


def _forbidden(code: str, said: str, place: Place) -> StateError:
    """A signature that storage does not take, or a role that is missing."""
    if code == "AuthenticationFailed" or "to authenticate the request" in said:
        message = f"a signature of {place} has run out: {said}"
        return StateError(message, f"look at this machine's clock if it happens at once, {_AGAIN}")
    message = f"this login may not do that in {place}: {said}"
    role = f"az role assignment create --role {_ROLE!r} --assignee WHO --scope {place.path}"
    return StateError(message, role)


def _first_line(error: BaseException) -> str:
    """What an error says, without its stack of causes, tokens and signatures."""
    text = str(getattr(error, "message", None) or error).strip()
    return redact(text.splitlines()[0] if text else type(error).__name__)
