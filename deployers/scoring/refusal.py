"""A request that gets a clear no."""

from __future__ import annotations

from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """Why a request is not answered, for whoever sent it.

    Attributes:
        status: Of HTTP.
        retry_after: Seconds after which it may be tried again; None where that would not help.
    """

    def __init__(self, status: HTTPStatus, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


def bad(message: str) -> Refusal:
    """The request is not what the contract says."""
    return Refusal(HTTPStatus.BAD_REQUEST, message)


def too_large(message: str) -> Refusal:
    """There is too much of it."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
