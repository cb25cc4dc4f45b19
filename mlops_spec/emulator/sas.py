"""Shared access signatures of Azure Storage: who may do what with which blobs, until when.

Source: "Create a service SAS" and "Create an account SAS" of the REST reference of Azure Storage.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

VERSION = "2021-08-06"
_HOURS = 8
DOMAIN = "blob.core.windows.net"


@dataclass(frozen=True)
class Account:
    """A storage account.

    Attributes:
        key: 64 random bytes in base64.
    """

    name: str
    key: str

    @property
    def host(self) -> str:
        """Its name on the network."""
        return f"{self.name}.{DOMAIN}"

    def url(self, container: str, name: str = "") -> str:
        """The address of a container or a blob."""
        return f"https://{self.host}/{container}" + (f"/{quote(name)}" if name else "")

    def for_container(self, container: str, *, expired: bool = False) -> str:
        """A signature to read, write and list a container."""
        return self._service(f"/blob/{self.name}/{container}", "racwdl", "c", expired=expired)

    def for_blob(self, container: str, name: str, *, may: str = "r", expired: bool = False) -> str:
        """A signature to read a blob, or what else one may do with it."""
        return self._service(f"/blob/{self.name}/{container}/{name}", may, "b", expired=expired)

    def for_all(self) -> str:
        """A signature for the emulator itself: everything, containers too."""
        start, expiry = _times(expired=False)
        words = ["racwdl", "b", "sco", start, expiry, "", "https,http", VERSION, "", ""]
        names = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")
        given = {name: word for name, word in zip(names, words, strict=False) if word}
        return urlencode({**given, "sig": self._sign("\n".join([self.name, *words]))})

    def _service(self, resource: str, may: str, what: str, *, expired: bool) -> str:
        start, expiry = _times(expired=expired)
        # may, from, to, what; identifier, ip, protocol, version, kind; snapshot, scope, 5 headers
        words = [may, start, expiry, resource, "", "", "https,http", VERSION, what, *[""] * 7]
        given = {"sp": may, "st": start, "se": expiry, "spr": words[6], "sv": VERSION, "sr": what}
        return urlencode({**given, "sig": self._sign("\n".join(words))})

    def _sign(self, text: str) -> str:
        key = base64.b64decode(self.key)
        return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()


def _times(*, expired: bool) -> tuple[str, str]:
    """From when to when; clocks that differ a little do not matter."""
    end = datetime.now(UTC) + (timedelta(minutes=-1) if expired else timedelta(hours=_HOURS))
    start = end - timedelta(hours=_HOURS, minutes=15)
    return tuple(f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (start, end))  # type: ignore[return-value]


def new_key() -> str:
    """A key for a new account."""
    return base64.b64encode(secrets.token_bytes(64)).decode()
