"""Where the weights are that `model.weights` names; see `pretrained` for what they can be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec import registry
from mlops_spec.errors import StateError
from mlops_spec.pretrained import REGISTERED, Pretrained, digest
from mlops_spec.spec import NO_FILE
from mlops_spec.where import LocalWorkspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_spec.registry import Version
    from mlops_spec.spec import Spec


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
    if weights.startswith(REGISTERED):
        return _registered(spec, weights.removeprefix(REGISTERED), models)
    path = Path(weights).expanduser()
    return Pretrained(str(path), digest(path))


def _registered(spec: Spec, reference: str, models: Path) -> Pretrained:
    if not isinstance(spec.workspace, LocalWorkspace):
        cure = "give the folder of its bundle: model.weights=path/to/bundle"
        raise StateError(f"model.weights={REGISTERED}{reference} is read here only", cure)
    name, _, wanted = reference.partition("/")
    known = registry.read(Path(spec.workspace.database), models, name)
    versions = [version for version in known if not version.deleted]
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
