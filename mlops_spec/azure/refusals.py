"""What Azure's errors mean, in words a person can act on: one message with the command that cures.

Nothing of Azure's SDK is imported for it that whoever asked has not imported already.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlops_spec.azure import rights
from mlops_spec.errors import StateError
from mlops_spec.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.azure.place import Place

_AGAIN = "then run the same command again"
MAKE = "make it: infra=terraform (docs/infrastructure.md); or name yours by workspace.names"
_ONCE_MORE = _AGAIN.removeprefix("then ")
_NOT_THERE = {"ResourceNotFound", "ResourceGroupNotFound", "SubscriptionNotFound"}
_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
_NOBODY = ("ClientAuthenticationError", "CredentialUnavailableError")
_FEDERATED = "AZURE_FEDERATED_TOKEN_FILE"  # what a workload has instead of a secret
_SIGN_IN = re.compile(r"AADSTS\d+: .*?(?= ?(?:Trace ID|Timestamp|Correlation ID|$))", re.MULTILINE)
_MOST_LETTERS = 300


@contextlib.contextmanager
def told(place: Place) -> Iterator[None]:
    """Turns errors of Azure and its SDK into ours.

    Raises:
        StateError: Azure said no; tokens and signatures are taken out of its words.
    """
    from azure.core import exceptions

    try:
        yield
    except _of("azure.ai.ml.exceptions", "MlException") as error:  # of the kind AzureError, too
        mended = StateError(_first_line(error), f"mend it in the spec, {_AGAIN}")
        answer = _answer_in(error)
        raise (_refusal(answer, place) if answer else mended) from error
    except exceptions.HttpResponseError as error:
        raise _refusal(error, place) from error
    except exceptions.AzureError as error:
        raise _silence(_first_line(error)) from error
    except _of("requests", "RequestException") as error:  # its words have addresses: not shown
        raise _silence(type(error).__name__) from error


def is_workspace(error: Any) -> bool:
    """Whether it is the workspace itself, or what it is in, that was not found."""
    code, said = _code(error), str(error.message)
    return code in _NOT_THERE and re.search(r"/workspaces/[^/']+/", said) is None


def _of(module: str, name: str) -> tuple[type[Exception], ...]:
    """A class of errors of a module; none that nobody has imported."""
    return (getattr(sys.modules[module], name),) if module in sys.modules else ()


def _code(error: Any) -> str:
    return str(getattr(error.error, "code", "") or getattr(error, "error_code", "") or "")


def _answer_in(error: BaseException) -> Any:
    """The answer of Azure's that an error of the SDK is about, which quotes it; None without."""
    from azure.core.exceptions import HttpResponseError

    cause = error.__cause__ or error.__context__
    is_one = isinstance(cause, HttpResponseError) and _first_line(cause) in _first_line(error)
    return cause if is_one else None


def _silence(said: str) -> StateError:
    quoted = re.findall(r"'([^']{4,})'", said)  # the cause is the last
    what = re.sub(r"<[^>]*>: ", "", quoted[-1] if quoted else said)
    cure = f"look at the network and the proxy, {_AGAIN}"
    return StateError(f"Azure does not answer: {what}", cure)


def _stranger(error: Any) -> StateError:
    """Nobody is logged in, or with what Azure does not take."""
    login = f"az login, {_AGAIN}"
    if words := _SIGN_IN.search(str(error.message)):
        principal = os.environ.get("AZURE_CLIENT_SECRET")
        other = "set AZURE_CLIENT_SECRET to one that is valid, or unset it and "
        cure = f"{other}{login}" if principal else login
        return StateError(f"Azure does not take the login: {_short(words[0])}", cure)
    if error.status_code:
        return StateError(f"Azure does not take the login: {_first_line(error)}", login)
    unset = [name for name in _PRINCIPAL if not os.environ.get(name)]
    if 0 < len(unset) < len(_PRINCIPAL) and not os.environ.get(_FEDERATED):
        message = (
            f"nobody is logged in to Azure: of a service principal {', '.join(unset)} is not set"
        )
        return StateError(message, f"set it, or {login}")
    how = f"az login (or set {', '.join(_PRINCIPAL)})"
    tried = "no service principal, no workload or managed identity, nobody in the Azure CLI"
    return StateError(f"nobody is logged in to Azure: {tried}", f"{how}, {_AGAIN}")


def _refusal(error: Any, place: Place) -> StateError:
    """What an answer of Azure's that is an error means, by its status and code."""
    match error.status_code:
        case 401:
            return _stranger(error)
        case None if type(error).__name__ in _NOBODY:
            return _stranger(error)
        case 403:
            return _forbidden(error, place)
        case 404 if is_workspace(error):
            return _nowhere(error, place)
    return StateError(*_other(error, place))


def _other(error: Any, place: Place) -> tuple[str, str]:
    """Message and cure of what is about neither who asks nor where."""
    code, said, status = _code(error), _first_line(error), error.status_code or 0
    if status == HTTPStatus.CONFLICT:
        return f"somebody else changes the same in {place}: {said}", _ONCE_MORE
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return f"Azure asks for patience: {said}", f"wait a minute, {_AGAIN}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"Azure has trouble ({status}): {said}", f"wait a minute, {_AGAIN}"
    if "quota" in f"{code} {said}".lower():
        cure = "az ml compute list-usage; ask for more, or choose another compute.vm_size"
        return f"the quota is used up: {said}", cure
    cure = f"python -m mlops_spec check OVERRIDES may know why; mend it, {_AGAIN}"
    return f"Azure refuses that in {place}: {said}", cure


def _nowhere(error: Any, place: Place) -> StateError:
    if _code(error) == "SubscriptionNotFound":
        cure = "az account list --output table; set workspace.subscription_id to one of them"
        return StateError(f"there is no subscription {place.subscription} for this login", cure)
    return StateError(f"there is no {place}: {_first_line(error)}", MAKE)


def _forbidden(error: Any, place: Place) -> StateError:
    """No right to do it: which role brings it, to whom, by Azure's own words."""
    if _is_of_storage(error) and _code(error) == "AuthorizationPermissionMismatch":
        account = urlsplit(str(error.response.request.url)).hostname
        message = f"this login may not read and write {account}, the storage of {place}"
        cure = rights.assign("Storage Blob Data Contributor", "WHO", "ITS_STORAGE_ACCOUNT")
        return StateError(message, f"{cure}, {_AGAIN}")
    if _is_of_storage(error):
        message = f"the storage of {place} does not take the signature, which may have run out"
        what = "this machine's clock and the storage account's network rules"
        return StateError(message, f"look at {what}, {_AGAIN}")
    said = " ".join(str(error.message).split())
    who = re.search(r"object id '([0-9a-fA-F-]{36})'", said)
    right = re.search(r"action '([\w./]+)'", said)
    name = rights.role(right[1]) if right else rights.SCIENTIST
    what = right[1] if right else _short(said)
    cure = rights.assign(name, who[1] if who else "WHO", place.path)
    return StateError(f"this login may not do that in {place}: {what}", cure)


def _is_of_storage(error: Any) -> bool:
    """Whether blob storage said it, which is shown signatures instead of logins."""
    request = getattr(error.response, "request", None)
    return ".blob." in (urlsplit(str(getattr(request, "url", ""))).hostname or "")


def _first_line(error: BaseException) -> str:
    """What an error says, without its stack of causes, tokens and signatures."""
    text = str(getattr(error, "message", None) or error).strip()
    return _short(text.splitlines()[0] if text else type(error).__name__)


def _short(text: str) -> str:
    shown = redact(text.strip())
    return shown if len(shown) <= _MOST_LETTERS else f"{shown[:_MOST_LETTERS]}..."
