"""`lineage.json`: where a registered model comes from, and what each file of its bundle is.

It is written into the registry's copy of a bundle, as canonical JSON. `lineage.sig.json` beside it
is an Ed25519 signature of exactly the bytes of that file. Neither is part of what makes a bundle's
identity. A bundle may come from anywhere, so the reader refuses whatever is not written down here.
"""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from mlops_spec import bundle, files, signing
from mlops_spec import card as cards
from mlops_spec.errors import StateError
from mlops_spec.files import NewerStateError

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FILE, SIGNATURE = "lineage.json", "lineage.sig.json"
SCHEMA_VERSION = 1  # of both files
OF_CARD = ("trainer", "spec", "data_digest", "versions", "metrics")  # what both say
_MAX_BYTES = 4 * 2**20
_DAMAGED = "restore the bundle from its registry, or register the model again"
_SHOWN = 3  # problems in a message


def _name(value: str) -> str:
    """A file in the bundle's own folder."""
    if value in ("", ".", "..") or set(value) & {"/", "\\", "\0"}:
        raise ValueError(f"{value!r} is no file of the bundle's own folder")
    return value


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, AfterValidator(_name)]
Model = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}$")]
Moment = Annotated[str, Field(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z$")]
P = TypeVar("P", bound="_Part")


class _Part(BaseModel):
    """Frozen, of known keys, and every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Champion(_Part):
    """The version that a model was measured against."""

    version: int
    digest: str  # of its network and weights


class Weights(_Part):
    """What a training started from."""

    source: str  # model.weights
    digest: str  # empty where they are no files of this machine


class Parents(_Part):
    """The models that a model stems from, or had to beat."""

    champion: Champion | None
    weights: Weights | None


class Origin(_Part):
    """What a registration is told of a model's origin, beside what its bundle says."""

    code: dict[str, Digest]  # module -> sha256, of the step that trained it
    parents: Parents


class Code(_Part):
    """The code that trained a model."""

    modules: dict[str, Digest]
    digest: Digest  # of all of them


class Verdict(_Part):
    """What the gate said."""

    verdict: str
    reason: str


@dataclass(frozen=True)
class Known:
    """What a registration knows beside the bundle: origin, verdict, and who vouches for both."""

    origin: Origin
    gate: Verdict
    key: Ed25519PrivateKey | None  # None: nobody signs


class Lineage(_Part):
    """Everything that made a model what it is, and the digests of all files of its bundle."""

    schema_version: Literal[1]
    model: Model  # registered as
    registered: Moment  # UTC, to the second
    bundle: Digest  # the model's identity: its network and weights
    files: dict[Name, Digest]  # every file of the folder but the two of this module
    train: str  # key of the step that trained it
    trainer: str
    spec: dict[str, Any]  # of the training
    data_digest: str
    code: Code
    versions: dict[str, str]  # of libraries
    metrics: dict[str, float]
    gate: Verdict
    parents: Parents


class Signature(_Part):
    """`lineage.sig.json`."""

    schema_version: Literal[1]
    algorithm: Literal["ed25519"]
    public_key: str
    signature: str  # base64, of the bytes of lineage.json


def make(folder: Path, model: str, train: str, known: Known) -> Lineage:
    """The lineage of a bundle that is complete but for it.

    Args:
        folder: The bundle.
        model: What it is registered as.
        train: Key of the step that trained it.
        known: What the bundle does not say itself.
    """
    card, origin = cards.read(folder / cards.FILE), known.origin
    digests = {path.name: files.sha256_file(path) for path in sorted(folder.iterdir())}
    return Lineage(
        schema_version=SCHEMA_VERSION,
        registered=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        bundle=bundle.digest(folder),
        files=digests,
        code=Code(modules=origin.code, digest=files.sha256_of(origin.code)),
        gate=known.gate,
        parents=origin.parents,
        model=model,
        train=train,
        trainer=card.trainer,
        spec=card.spec,
        data_digest=card.data_digest,
        versions=card.versions,
        metrics=card.metrics,
    )


def write(folder: Path, lineage: Lineage, key: Ed25519PrivateKey | None) -> None:
    """Writes a lineage and, with a key, its signature."""
    content = files.canonical(lineage.model_dump(mode="json"))
    files.write_bytes(folder / FILE, content)
    if key is None:
        return
    signature = Signature(
        schema_version=SCHEMA_VERSION,
        algorithm="ed25519",
        public_key=signing.text_of(signing.public_of(key)),
        signature=base64.b64encode(key.sign(content)).decode(),
    )
    files.write_bytes(folder / SIGNATURE, files.canonical(signature.model_dump(mode="json")))


def content(path: Path) -> bytes:
    """The bytes of a lineage or a signature.

    Raises:
        FileNotFoundError: There is none.
        StateError: It is no plain file, or larger than any.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise StateError(f"{path.name} is no plain file", _DAMAGED)
    if found.st_size > _MAX_BYTES:
        message = f"{path.name} has {found.st_size} bytes; it has {_MAX_BYTES} at most"
        raise StateError(message, _DAMAGED)
    return path.read_bytes()


def read(path: Path) -> Lineage:
    """Reads a lineage.

    Raises:
        FileNotFoundError: There is none.
        StateError: It is damaged, of another version, or says what this program does not know.
    """
    return parsed(Lineage, content(path), path)


def parsed(part: type[P], content: bytes, path: Path) -> P:
    """What the bytes of a file say; `path` is only named in errors.

    Raises:
        StateError: It is damaged, of another version, or says what this program does not know.
    """
    try:
        document = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise StateError(f"{path.name} is damaged ({error})", _DAMAGED) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is int and version > SCHEMA_VERSION:
        raise NewerStateError(path, version, SCHEMA_VERSION)
    try:
        return part.model_validate_json(content, strict=True)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors()]
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        message = f"{path.name} is damaged: {'; '.join(found[:_SHOWN])}{more}"
        raise StateError(message, _DAMAGED) from error
