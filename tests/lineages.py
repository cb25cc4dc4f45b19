"""Bundles with a lineage for tests, as a registration leaves them, without a registry."""

import base64
import json

import registries
import small_bundle

from mlops_spec import bundle, files, lineage, signing

TRAIN = "e5" * 32


def key(number=1):
    """A private key; another number is another key."""
    return signing.private_key(secret(number))


def secret(number=1):
    """The same as text."""
    return base64.b64encode(bytes([number]) * 32).decode()


def public(number=1):
    return signing.text_of(signing.public_of(key(number)))


def registered(folder, signer=None, golden=(), **known):
    """A registered bundle in a folder, signed or not."""
    small_bundle.make(folder, metrics={"accuracy": 0.75}, golden=golden)
    files.write_text(folder / "report.html", "<p>good</p>")
    made = lineage.make(folder, "digits", TRAIN, registries.origin(**known))
    lineage.write(folder, made, signer)
    return folder


def changed(folder, **values):
    """Changes what a lineage says, which nobody signs again."""
    path = folder / lineage.FILE
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))


def digest(folder):
    return bundle.digest(folder)
