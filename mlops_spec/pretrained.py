"""Weights that a training starts from, where they are files: found, and told apart by content.

`model.weights` names them: a file, a bundle's folder, or `model:NAME[/VERSION]` for a registered
model, of which it is the champion when no version is given. `none` and `imagenet` are no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import card as cards
from mlops_spec import files, registry
from mlops_spec.errors import StateError
from mlops_spec.spec import NO_FILE, LocalWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlops_spec.registry import Version
    from mlops_spec.spec import Spec

_REGISTERED = "model:"
_CARRIED = {"digests", "labels", "preprocessing", "activation"}  # what training takes of a card


@dataclass(frozen=True)
class Pretrained:
    """Weights on this machine: where they lie and the digest of what they are."""

    path: str
    digest: str


def contradictions(spec: Spec) -> Iterator[tuple[str, str]]:
    """Weights that are not there, a folder that is no bundle, a champion of itself."""
    weights = spec.model.weights
    if weights == f"{_REGISTERED}{spec.registered_model}":
        cure = f"name the version: model.weights={weights}/VERSION"
        yield "model.weights", f"each promotion would make it another one, without end; {cure}"
    if weights in NO_FILE or weights.startswith(_REGISTERED):
        return
    path = Path(weights).expanduser()
    if not path.exists():
        choices = "none, imagenet, a file, a bundle's folder, or model:NAME"
        yield "model.weights", f"there is no file {weights} (weights are {choices})"
    elif path.is_dir() and not (path / cards.FILE).is_file():
        yield "model.weights", f"{weights} is no model bundle: it has no {cards.FILE}"


def find(spec: Spec, models: Path) -> Pretrained | None:
    """The weights that a spec names, if they are files.

    Args:
        spec: What is wanted.
        models: Where the registry keeps bundles.

    Raises:
        StateError: The registered model, or its bundle, is not there.
    """
    weights = spec.model.weights
    if weights in NO_FILE:
        return None
    if weights.startswith(_REGISTERED):
        return _registered(spec, weights.removeprefix(_REGISTERED), models)
    path = Path(weights).expanduser()
    return Pretrained(str(path), digest(path))


def digest(path: Path) -> str:
    """What weights are: of a file its content, of a bundle what its card says they are.

    Reading a bundle checks its files against the card.

    Raises:
        StateError: The card is not understood.
    """
    if not path.is_dir():
        return files.sha256_file(path)
    return files.sha256_of(cards.read(path / cards.FILE).model_dump(mode="json", include=_CARRIED))


def _registered(spec: Spec, reference: str, models: Path) -> Pretrained:
    if not isinstance(spec.workspace, LocalWorkspace):
        cure = "give the folder of its bundle: model.weights=path/to/bundle"
        raise StateError(f"model.weights={_REGISTERED}{reference} is read here only", cure)
    name, _, wanted = reference.partition("/")
    versions = registry.read(Path(spec.workspace.database), models, name)
    found = next((v for v in versions if _is(v, wanted)), None)
    if found is None:
        raise StateError(f"model.weights: {_absent(name, wanted, versions)}", "register it first")
    if not found.intact:
        message = f"model.weights: the bundle of {name} {found.version} is gone"
        raise StateError(message, f"restore {found.path}, or start from another version")
    return Pretrained(found.path, digest(Path(found.path)))


def _is(version: Version, wanted: str) -> bool:
    return str(version.version) == wanted if wanted else version.champion


def _absent(name: str, wanted: str, versions: Sequence[Version]) -> str:
    if not versions:
        return f"no model is registered as {name}"
    known = ", ".join(str(version.version) for version in versions)
    what = f"no version {wanted}" if wanted else "no champion"
    return f"{name} has {what} (versions: {known})"
