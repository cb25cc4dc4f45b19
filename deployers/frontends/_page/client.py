"""Asks the scoring service, and says in words for people why there is no answer.

What the service says is read as its contract describes it; anything else is a fault of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from deployers.frontends._page.settings import Address

_MOST_BYTES = 16 * 2**20  # of an answer: the card of a model may be as large
State = Literal["refused", "busy", "down"]
T = TypeVar("T", bound="_Said")


class _Said(BaseModel):
    """A part of an answer; what else is in it concerns others."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Listed(_Said):
    """A class with its calibrated probability."""

    label: str
    probability: Annotated[float, Field(ge=0, le=1)]


class Prediction(_Said):
    """What a picture shows, the most probable first; `labels` where there may be several."""

    top: Annotated[tuple[Listed, ...], Field(min_length=1)]
    labels: tuple[str, ...] | None = None


class _Answer(_Said):
    predictions: Annotated[tuple[Prediction, ...], Field(min_length=1, max_length=1)]


class Card(_Said):
    """What a bundle says of its model."""

    trainer: str
    labels: tuple[str, ...]
    metrics: dict[str, float]
    spec: dict[str, Any]
    versions: dict[str, str]


class Model(_Said):
    """The model that is served."""

    name: str
    version: str
    digest: str
    card: Card
    registered: str = ""  # when, in UTC


@dataclass(eq=False)  # not frozen: raising one writes into it
class Trouble(Exception):  # noqa: N818 - it is shown, like an answer
    """Why there is no answer, for whoever asked.

    Attributes:
        status: Of HTTP.
        message: What happened.
        cure: What may help.
        state: Whose it is: `refused` of what was sent, `busy` of the moment, `down` of the service.
        retry_after: Seconds after which it may be tried again; None where that is not known.
    """

    status: int
    message: str
    cure: str
    state: State = "refused"
    retry_after: int | None = None


def down(message: str, cure: str = "Try again in a moment.") -> Trouble:
    """The service gives no answer, whoever asks."""
    return Trouble(HTTPStatus.SERVICE_UNAVAILABLE, message, cure, "down")


_CURES = {
    413: "Choose a smaller picture, or a part of it.",
    415: "Choose a photo or a drawing.",
    422: "Open it in another program and save it again, as JPEG or PNG.",
}
_NOT_LET_IN = "Whoever runs this page sets frontend.scoring.key to the key of the service."


class Service:
    """The scoring service at an address.

    Args:
        address: Where it is and how long to wait.
        key: What it asks for; empty where it lets everybody in.
    """

    def __init__(self, address: Address, key: str) -> None:
        self._url, self._seconds = urlsplit(address.url), address.seconds
        self._headers = {"Authorization": f"Bearer {key}".encode()} if key else {}

    def model(self) -> Model:
        """What is served.

        Raises:
            Trouble: Nobody knows.
        """
        return _read(Model, *self._ask("GET", "/model"))

    def answer(self, picture: bytes, top: int, name: str) -> Prediction:
        """What a picture shows.

        Args:
            picture: A file.
            top: Classes that are listed.
            name: Of the request, in the logs of both.

        Raises:
            Trouble: The service refuses the picture, or does not answer.
        """
        sent = {"Content-Type": "application/octet-stream", "X-Request-Id": name}
        said = self._ask("POST", f"/score?top={top}", picture, sent)
        return _read(_Answer, *said).predictions[0]

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        kind: type[http.client.HTTPConnection] = http.client.HTTPConnection
        if self._url.scheme == "https":
            kind = http.client.HTTPSConnection
        assert self._url.hostname
        connection = kind(self._url.hostname, self._url.port, timeout=self._seconds)
        try:
            path = self._url.path.rstrip("/") + path
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                # It may refuse, and say why, before it has heard all.
                connection.request(method, path, body, {**self._headers, **(headers or {})})
            with connection.getresponse() as answer:
                return answer, answer.read(_MOST_BYTES)
        except TimeoutError as error:
            raise down(f"The model did not answer within {self._seconds:g} seconds.") from error
        except (OSError, http.client.HTTPException) as error:
            raise down("The model can not be reached at the moment.") from error
        finally:
            connection.close()


def _read(kind: type[T], answer: http.client.HTTPResponse, body: bytes) -> T:
    """An answer as what it should be.

    Raises:
        Trouble: It is none.
    """
    if answer.status != HTTPStatus.OK:
        raise _trouble(answer.status, _error(body), answer.headers.get("Retry-After", ""))
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        cure = "Whoever runs this page looks whether frontend.scoring.url is the right address."
        raise down("What answers there is no scoring service.", cure) from error


def _error(body: bytes) -> str:
    """What the service said of a request that it refuses; empty when it is not told."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    said = document.get("error") if isinstance(document, dict) else None
    return said if isinstance(said, str) else ""


def _trouble(status: int, said: str, retry: str) -> Trouble:
    """What a status that is no success means for people."""
    seconds = int(retry) if retry.isdecimal() and len(retry) < 6 else None  # noqa: PLR2004 - a day
    if status in (401, 403):
        return down("The page is not let in by the scoring service.", _NOT_LET_IN)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        when = f"in {seconds} s" if seconds else "in a moment"
        message = "Too many pictures are waiting for the model."
        return Trouble(status, message, f"Try again {when}.", "busy", seconds)
    if status in (404, 405) or status < 400 or status >= 500:  # noqa: PLR2004 - HTTP's classes
        return down(f"The model can not answer at the moment{said and f': {said}'}.")
    message = _sentence(said) or "The model does not take this picture."
    return Trouble(status, message, _CURES.get(status, "Choose another picture."))


def _sentence(text: str) -> str:
    """The service's own words, with a capital and a full stop."""
    text = text.strip()
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""
