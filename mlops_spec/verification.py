"""Whether a bundle is what was registered and who vouches for it: offline, from its folder alone.

The lineage says what each file is, the signature says that the lineage is whose it claims to be. A
bundle that is not signed can be checked for accidents, not for forgery.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import card as cards
from mlops_spec import files, lineage, signing
from mlops_spec.bundle import FILES
from mlops_spec.errors import MlopsError, StateError, StepError
from mlops_spec.files import NewerStateError
from mlops_spec.lineage import FILE, SIGNATURE, Lineage, Signature
from mlops_spec.redaction import harmless

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Expected:
    """What a bundle should be, where that is known from elsewhere; empty asks for nothing."""

    trusted_key: str = ""  # whose signature it has to have
    model: str = ""  # registered as
    digest: str = ""  # of its network and weights


@dataclass(frozen=True)
class Checked:
    """What became of checking a bundle."""

    lineage: Lineage | None  # None where it can not be read
    signer: str  # the public key of a valid signature; empty: there is none
    problems: tuple[str, ...]  # none: all is well


def check(folder: Path, expected: Expected, *, signature: bool = True) -> Checked:
    """Checks everything about a bundle and changes nothing.

    Args:
        folder: The bundle.
        expected: What it should be.
        signature: Whether to look at its signature.

    Raises:
        MlopsError: There is a signature to look at, and no package that could check it.
    """
    if not folder.is_dir():
        return Checked(None, "", ("its folder is gone",))
    try:
        content = lineage.content(folder / FILE)
        found = lineage.parsed(Lineage, content, folder / FILE)
    except FileNotFoundError:
        what = f"it has no {FILE}: it was registered by an older mlops_spec, or not at all"
        return Checked(None, "", (what,))
    except StateError as error:
        return Checked(None, "", (harmless(error.message),))
    signer, wrong = _signer(folder, content, expected.trusted_key) if signature else ("", [])
    problems = (*wrong, *_identity(found, expected), *_files(folder, found), *_card(folder, found))
    return Checked(found, signer, tuple(map(harmless, problems)))


def demand(folder: Path, expected: Expected) -> None:
    """Refuses a bundle that is not all that is expected.

    A signature that nobody asks for is only looked at where it can be checked.

    Raises:
        StepError: It is not, with everything that is wrong with it.
    """
    signature = bool(expected.trusted_key) or signing.is_installed()
    problems = check(folder, expected, signature=signature).problems
    if problems:
        message = "\n  ".join([f"{folder} is refused:", *problems])
        cure = "move that folder away and run the command that trained it again"
        right = ", with the right lineage.sign_with" if expected.trusted_key else ""
        raise StepError(message, f"{cure}{right}: it is registered anew, not trained")


def damage(folder: Path, digest: str = "") -> str:
    """Why a bundle is not what was registered, in a few words; empty when it is.

    Each file is read once. Signatures are left to `check`: who asks this has no key to trust.

    Args:
        folder: The bundle; without a lineage, which older ones lack, only its card is asked.
        digest: Of its network and weights, where the registry says it.
    """
    if not folder.is_dir():
        return "its bundle is gone"
    for name in (*FILES, cards.FILE):
        if not (folder / name).is_file():
            return f"its {name} is gone"
    known = {name: files.sha256_file(folder / name) for name in FILES}
    if digest and files.sha256_of(known) != digest:
        return "its weights or network were changed"
    return harmless(_unlike_lineage(folder, known) or _unlike_card(folder, known))


def _unlike_lineage(folder: Path, known: Mapping[str, str]) -> str:
    """What the lineage has against a bundle, of some of whose files the digests are known."""
    try:
        said = lineage.read(folder / FILE).files
    except FileNotFoundError:
        return ""
    except NewerStateError:
        return f"its {FILE} was written by a newer mlops_spec"
    except StateError:
        return f"its {FILE} is damaged"
    for name in sorted({*said, *FILES, cards.FILE}):
        if not (folder / name).is_file():
            return f"its {name} is gone"
        if (known.get(name) or files.sha256_file(folder / name)) != said.get(name):
            return f"its {name} was changed"
    return ""


def _unlike_card(folder: Path, known: Mapping[str, str]) -> str:
    try:
        card = cards.read(folder / cards.FILE)
    except MlopsError:
        return f"its {cards.FILE} is damaged"
    return "" if card.digests == known else f"its {cards.FILE} is of other weights or network"


def _signer(folder: Path, content: bytes, trusted: str) -> tuple[str, list[str]]:
    """The public key that a lineage is signed with, and what is wrong with the signature."""
    wanted = signing.text_of(signing.public_key(trusted)) if trusted else ""
    try:
        found = lineage.content(folder / SIGNATURE)
        said = lineage.parsed(Signature, found, folder / SIGNATURE)
        public, signature = signing.public_key(said.public_key), _bytes(said.signature)
    except FileNotFoundError:
        return "", [f"it is not signed; lineage.trusted_key is {wanted}"] if wanted else []
    except StateError as error:
        return "", [error.message]
    except ValueError as error:
        return "", [f"{SIGNATURE} is damaged: {error}"]
    signer = signing.text_of(public)
    if not signing.is_valid(public, signature, content):
        return "", [f"its signature is not valid: {FILE} was changed, or signed by another key"]
    if wanted and signer != wanted:
        return signer, [f"it is signed by {signer}; lineage.trusted_key is {wanted}"]
    return signer, []


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"signature is no base64: {error}") from error


def _identity(found: Lineage, expected: Expected) -> Iterator[str]:
    """Whether a lineage is that of the model which was asked for, and agrees with itself."""
    if expected.model and found.model != expected.model:
        yield f"it was registered as {found.model!r}, not as {expected.model!r}"
    if expected.digest and found.bundle != expected.digest:
        yield "it is another model than the version that was registered"
    if found.bundle != files.sha256_of({name: found.files.get(name) for name in FILES}):
        yield f"{FILE} contradicts itself: bundle is not the digest of its files"
    if found.code.digest != files.sha256_of(found.code.modules):
        yield f"{FILE} contradicts itself: code.digest is not the digest of code.modules"


def _files(folder: Path, found: Lineage) -> Iterator[str]:
    """Files that are missing, changed, added, or no plain files."""
    with os.scandir(folder) as listing:
        entries = {entry.name: entry for entry in listing}
    for name, digest in sorted(found.files.items()):
        entry = entries.pop(name, None)
        if entry is None:
            yield f"{name} is gone"
        elif not entry.is_file(follow_symlinks=False):
            yield f"{name} is no plain file"
        elif files.sha256_file(folder / name) != digest:
            yield f"{name} was changed"
    for name in sorted(entries.keys() - {FILE, SIGNATURE}):
        yield f"{name} was added"


def _card(folder: Path, found: Lineage) -> Iterator[str]:
    """Whether the card and the lineage tell the same."""
    path = folder / cards.FILE
    if path.is_symlink() or not path.is_file():
        return  # which is said already
    try:
        card = cards.read(path)
    except MlopsError as error:
        yield error.message
        return
    for name in lineage.OF_CARD:
        if getattr(card, name) != getattr(found, name):
            yield f"{cards.FILE} and {FILE} differ in {name}"
    if card.digests != {name: found.files.get(name) for name in FILES}:
        yield f"{cards.FILE} and {FILE} differ in digests"
