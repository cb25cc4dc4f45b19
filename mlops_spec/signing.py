"""Ed25519 keys as text, signatures of bytes, and whether one is valid.

A public key is read without any library, so that a spec can be validated anywhere; whatever makes
or checks a signature needs the package `cryptography`, an extra.
"""

from __future__ import annotations

import base64
import importlib.util
import os
import re
from typing import TYPE_CHECKING

from mlops_spec.errors import MlopsError, StateError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VARIABLE = "MLOPS_SPEC_SIGNING_KEY"  # tells the step that registers its key, and no other step
INSTALL = "pip install 'mlops_spec[signing]'"
_BYTES = 32  # of a key, public or private
_PUBLIC = bytes.fromhex("302a300506032b6570032100")  # DER before a public key's bytes, RFC 8410
_PEM = re.compile(r"\s*-----BEGIN PUBLIC KEY-----([\s\w+/=]+)-----END PUBLIC KEY-----\s*")


def public_key(text: str) -> bytes:
    """The 32 bytes of a public key: base64 of them, padded or not, or PEM.

    Raises:
        ValueError: It is neither.
    """
    pem = _PEM.fullmatch(text)
    raw = _decoded("".join(pem.group(1).split()) if pem else text)
    if pem and raw.startswith(_PUBLIC):
        raw = raw.removeprefix(_PUBLIC)
    if len(raw) != _BYTES:
        raise ValueError("should be an Ed25519 public key: base64 of its 32 bytes, or PEM")
    return raw


def _decoded(text: str) -> bytes:
    """Bytes in base64, padded or not; none for what is no base64."""
    bare = text.strip().rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return b""


def text_of(key: bytes) -> str:
    """A public key as people write it: base64 without the padding, which Hydra would not take."""
    return base64.b64encode(key).decode().rstrip("=")


def private_key(text: str) -> Ed25519PrivateKey:
    """A private key: PEM (PKCS 8, no passphrase), or base64 of its 32 bytes.

    Raises:
        MlopsError: It is neither, which is said without a word of it.
    """
    _require()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw = _decoded(text)
    if len(raw) == _BYTES:
        return Ed25519PrivateKey.from_private_bytes(raw)
    try:
        found = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if isinstance(found, Ed25519PrivateKey):
        return found
    message = "the secret that lineage.sign_with names is no Ed25519 private key"
    cure = "PEM without a passphrase, or base64 of its 32 bytes"
    # From nothing: what the library says may quote the key.
    raise MlopsError(message, f"{cure}; make one: python -m mlops_spec models key FILE") from None


def from_environment() -> Ed25519PrivateKey | None:
    """The key that this process signs with, if it was given one.

    It is taken out of `os.environ`, so that no process that this one starts has it. The system goes
    on showing what this process was started with to its user, in /proc/PID/environ, while it runs.
    """
    text = os.environ.pop(VARIABLE, "")
    return private_key(text) if text else None


def public_of(key: Ed25519PrivateKey) -> bytes:
    """The public key of a private one."""
    return key.public_key().public_bytes_raw()


def is_valid(public: bytes, signature: bytes, content: bytes) -> bool:
    """Whether a signature of these bytes was made with the private key of a public one."""
    _require()
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def make(path: Path) -> str:
    """Makes a pair of keys; the private one goes to a file of its owner's, the public one back.

    Raises:
        StateError: There is such a file, which stays as it is, or it can not be written.
    """
    _require()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        message = f"{path} exists, and a key that is lost signs no more"
        raise StateError(message, "name another file") from error
    except FileNotFoundError as error:
        raise StateError(f"{path}: there is no folder {path.parent}", "make it first") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return text_of(public_of(key))


def is_installed() -> bool:
    """Whether signatures can be made and checked here."""
    return importlib.util.find_spec("cryptography") is not None


def _require() -> None:
    if not is_installed():
        raise MlopsError("signatures need the package cryptography", INSTALL)
