"""Who may ask: one service principal, whose secret lies in the state folder, and its tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

TENANT = "11111111-1111-4111-8111-111111111111"
CLIENT = "22222222-2222-4222-8222-222222222222"
SECONDS = 24 * 3600


@dataclass(frozen=True)
class Identity:
    """The one who may ask.

    Attributes:
        secret: What it proves itself with, and what tokens are signed with.
    """

    secret: str

    def token(self, audience: str) -> str:
        """A JSON web token, as a client gets it for its secret."""
        now = int(time.time())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": now,
            "nbf": now,
            "exp": now + SECONDS,
            "appid": CLIENT,
            "oid": CLIENT,
            "sub": CLIENT,
            "tid": TENANT,
            "ver": "1.0",
        }
        signed = f"{_coded({'alg': 'HS256', 'typ': 'JWT'})}.{_coded(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def is_secret(self, given: str) -> bool:
        """Whether a client has proved itself."""
        return _is(given, self.secret)

    def accepts(self, authorization: str) -> bool:
        """Whether a header bears a token from here that has not run out."""
        scheme, _, token = authorization.partition(" ")
        signed, _, signature = token.rpartition(".")
        expected = self._signature(signed)
        if scheme.lower() != "bearer" or not _is(signature, expected):
            return False
        return bool(_decoded(signed.partition(".")[2])["exp"] > time.time())

    def _signature(self, text: str) -> str:
        digest = hmac.digest(self.secret.encode(), text.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is(given: str, known: str) -> bool:
    """Whether a text is a known one, in a time that tells nothing of it."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), known.encode())


def new_secret() -> str:
    """Random, and long enough."""
    return secrets.token_urlsafe(32)


def _coded(claims: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()


def _decoded(text: str) -> dict[str, Any]:
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
