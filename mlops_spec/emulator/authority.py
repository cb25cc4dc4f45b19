"""A certificate authority of the emulator's own: whoever trusts its file may be sent here."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from mlops_spec import files

if TYPE_CHECKING:
    from pathlib import Path

    import trustme

FILE = "ca.pem"
_KEY = "ca.key"


def load(folder: Path) -> trustme.CA:
    """The authority of a state folder, made on first use: clients keep trusting it."""
    import trustme

    certificate, key = folder / FILE, folder / _KEY
    if not (certificate.exists() and key.exists()):
        made = trustme.CA(organization_name="mlops_spec emulator")
        files.write_bytes(key, made.private_key_pem.bytes(), mode=0o600)
        files.write_bytes(certificate, made.cert_pem.bytes())
    return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """A context for servers that shows a certificate for whatever name a client asks."""
    known: dict[str, ssl.SSLContext] = {}

    def context(name: str) -> ssl.SSLContext:
        if name not in known:
            known[name] = _plain()
            authority.issue_cert(name).configure_cert(known[name])
        return known[name]

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = context(name or "localhost")

    first = context("localhost")
    first.sni_callback = choose
    return first


def _plain() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
