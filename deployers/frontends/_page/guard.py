"""Who is let in, how often, with how much; and what a browser is told not to do."""

from __future__ import annotations

import hmac
import io
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict, deque
from http import HTTPStatus
from typing import IO, TYPE_CHECKING

from flask import Request, request, session
from flask.sessions import SecureCookieSessionInterface

from deployers.frontends._page.client import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask, Response

# Everything is ours and in files: no script or style inside of a page, none from elsewhere.
_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",  # blob: pictures that were not sent yet
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
)
HEADERS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_SECONDS = 60
_PREFIX = 64  # bits that belong to one customer of an internet provider


class InMemory(Request):
    """A request whose files never touch a disk."""

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        return io.BytesIO()


class Sessions(SecureCookieSessionInterface):
    """Cookies that stay on an encrypted connection where there is one."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        """Whether the browser, or the proxy it talks to, came by https."""
        return request.is_secure


def add_headers(response: Response) -> Response:
    """What every answer tells the browser."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def token() -> str:
    """What a form of this client's must send along; a page elsewhere can not know it."""
    if "token" not in session:
        session["token"] = secrets.token_urlsafe()
    return str(session["token"])


def check_token() -> None:
    """Lets only our own forms in.

    Raises:
        Trouble: Another page sent this, or ours was opened before the program started.
    """
    sent = request.form.get("token", "").encode()
    if not hmac.compare_digest(sent, token().encode()):
        message, cure = "This page was opened too long ago.", "Open it again, then send once more."
        raise Trouble(HTTPStatus.FORBIDDEN, message, cure)


def client() -> str:
    """Who asks: an address, of IPv6 the part that one customer has."""
    address = ipaddress.ip_address(request.remote_addr or "0.0.0.0")  # noqa: S104 - nobody's
    if address.version == 4:  # noqa: PLR2004 - IP's version
        return str(address)
    return str(ipaddress.ip_network((address, _PREFIX), strict=False))


class Window:
    """At most so many a minute of each client, counted back from now.

    Args:
        most: A minute.
        clock: Seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()  # the latest client last

    def take(self, who: str, count: int) -> None:
        """Counts so many of a client's.

        Raises:
            Trouble: They would be too many.
        """
        with self._lock:
            now = self._clock()
            self._forget(now)
            times = self._seen.setdefault(who, deque())
            while times and times[0] <= now - _SECONDS:
                times.popleft()
            over = len(times) + count - self._most
            if over > 0:
                wait = int(times[over - 1] + _SECONDS - now) + 1
                message = f"More than {self._most} requests a minute came from you."
                cure, status = f"Try again in {wait} s.", HTTPStatus.TOO_MANY_REQUESTS
                raise Trouble(status, message, cure, "busy", wait)
            times.extend([now] * count)
            self._seen.move_to_end(who)

    def _forget(self, now: float) -> None:
        """Drops clients that were not seen for a minute, so that strangers fill no memory."""
        while self._seen:
            who, times = next(iter(self._seen.items()))
            if times and times[-1] > now - _SECONDS:
                return
            del self._seen[who]
