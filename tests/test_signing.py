"""Keys: what is one, how a pair is made, and that nobody is told a private one."""

import base64
import os
import stat
from pathlib import Path

import lineages
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from mlops_spec import signing
from mlops_spec.actions import Context, local
from mlops_spec.errors import MlopsError, StateError
from mlops_spec.steps import Step

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
PADDED = base64.b64encode(PUBLIC).decode()
PEM = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def private_pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("text", [PADDED, PADDED.rstrip("="), f" {PADDED}\n", PEM, PEM.strip()])
def test_a_public_key_is_base64_of_its_bytes_or_pem(text):
    assert signing.public_key(text) == PUBLIC


OTHER_CURVE = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


@pytest.mark.parametrize(
    "text",
    ["x", "é" * 43, PADDED[4:], PADDED + PADDED, PUBLIC.hex(), OTHER_CURVE, PEM.replace("M", "!")],
    ids=["word", "no base64", "short", "long", "hex", "another curve", "damaged PEM"],
)
def test_anything_else_is_no_public_key(text):
    with pytest.raises(ValueError, match=r"32 bytes, or PEM"):
        signing.public_key(text)


@pytest.mark.parametrize("text", [private_pem(KEY), base64.b64encode(bytes(range(32))).decode()])
def test_a_private_key_is_pem_or_base64_of_its_bytes(text):
    assert signing.public_of(signing.private_key(text)) == PUBLIC


NO_KEYS = {
    "a word": "hunter2hunter2",
    "odd characters": "\0é" * 40,
    "too short": base64.b64encode(bytes(31)).decode(),
    "another curve": private_pem(ec.generate_private_key(ec.SECP256R1())),
    "a passphrase": private_pem(KEY, serialization.BestAvailableEncryption(b"hunter2")),
    "a public key": PEM,
    "a damaged PEM": private_pem(KEY).replace("M", "!"),
}


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_private_key_is_said_without_a_word_of_it(text):
    with pytest.raises(MlopsError, match="no Ed25519 private key") as caught:
        signing.private_key(text)
    assert "models key FILE" in caught.value.cure
    assert caught.value.__cause__ is None
    assert not any(line in str(caught.value) for line in text.splitlines() if len(line) > 3)


def test_a_signature_is_valid_for_its_bytes_and_key_alone():
    key = lineages.key()
    public, other = signing.public_of(key), signing.public_of(lineages.key(2))
    signature = key.sign(b"text")
    assert signing.is_valid(public, signature, b"text")
    assert not signing.is_valid(public, signature, b"texT")
    assert not signing.is_valid(other, signature, b"text")
    assert not signing.is_valid(public, signature[:-1], b"text")
    assert not signing.is_valid(public, b"", b"text")


def test_a_pair_is_made_for_its_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        public = signing.make(tmp_path / "key.pem")
    finally:
        os.umask(before)
    path = tmp_path / "key.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert signing.text_of(signing.public_of(signing.private_key(path.read_text()))) == public
    assert signing.text_of(signing.public_key(public)) == public
    assert signing.make(tmp_path / "other.pem") != public


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    path, link = tmp_path / "key.pem", tmp_path / "link.pem"
    path.write_text("mine")
    link.symlink_to(tmp_path / "elsewhere.pem")
    for taken in (path, link):
        with pytest.raises(StateError, match="exists"):
            signing.make(taken)
    assert path.read_text() == "mine"
    assert not (tmp_path / "elsewhere.pem").exists()
    with pytest.raises(StateError, match="there is no folder"):
        signing.make(tmp_path / "nowhere" / "key.pem")


def test_the_key_of_a_step_is_taken_out_of_its_environment(monkeypatch):
    monkeypatch.setenv(signing.VARIABLE, lineages.secret())
    assert signing.from_environment() is not None
    assert signing.VARIABLE not in os.environ
    assert signing.from_environment() is None


def test_a_key_of_the_shell_reaches_a_step_only_where_a_spec_asks(tmp_path, monkeypatch):
    monkeypatch.setenv(signing.VARIABLE, "ambient")
    step, context = Step("register", "local.run", {}), Context(tmp_path, {}, print, "1a" * 32)
    assert signing.VARIABLE not in local._environment(step, context, {})
    chosen = {signing.VARIABLE: "asked for"}
    assert local._environment(step, context, chosen)[signing.VARIABLE] == "asked for"


@pytest.fixture
def _bare(monkeypatch):
    """As where the package was not installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize(
    "act",
    [
        lambda: signing.make(Path("key.pem")),
        lambda: signing.private_key(lineages.secret()),
        lambda: signing.is_valid(PUBLIC, bytes(64), b""),
    ],
    ids=["make", "sign", "verify"],
)
def test_without_the_package_it_is_said_how_to_get_it(act, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MlopsError, match="need the package cryptography") as caught:
        act()
    assert caught.value.cure == "pip install 'mlops_spec[signing]'"
    assert not Path("key.pem").exists()


@pytest.mark.usefixtures("_bare")
def test_a_public_key_is_read_without_the_package():
    assert signing.public_key(PEM) == signing.public_key(PADDED) == PUBLIC
