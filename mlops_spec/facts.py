"""Facts: what the world is now, read in one place, recorded, and injectable in tests.

A plan is a pure function of a spec and these facts, so that whatever a plan depends on is here.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlops_spec import files, kinds, machine, registry, sources
from mlops_spec.azure import shelves
from mlops_spec.azure.place import Place
from mlops_spec.weights import find as find_weights
from mlops_spec.where import LocalWorkspace

if TYPE_CHECKING:
    from mlops_spec.pretrained import Pretrained
    from mlops_spec.registry import Version
    from mlops_spec.spec import Spec

V = TypeVar("V")

MODELS = Path(".mlops/models")
_TOOLS = (
    *("python", "mlops_spec", "torch", "torchvision", "pytorch-lightning"),
    *("onnx", "onnxruntime", "mlflow-skinny", "scikit-learn", "timm", "numpy", "pillow"),
)


class Lazy(Mapping[str, V]):
    """A mapping whose values are read when asked for, once; what was asked for can be recorded."""

    def __init__(self, read: Callable[[str], V]) -> None:
        self._read = read
        self.seen: dict[str, V] = {}

    def __getitem__(self, key: str) -> V:
        if key not in self.seen:
            self.seen[key] = self._read(key)
        return self.seen[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.seen)

    def __len__(self) -> int:
        return len(self.seen)


@dataclass(frozen=True)
class Record:
    """A finished step: the request that was performed and what came of it."""

    id: str
    key: str
    action: str
    payload: dict[str, Any]
    needs: dict[str, str]  # id of a needed step -> its key
    code: dict[str, str]  # module -> digest
    text: str
    metrics: dict[str, float]
    refused: bool
    seconds: float
    inputs: dict[str, str] = field(
        default_factory=dict, compare=False
    )  # id of a needed step -> its digest
    digest: str = field(default="", compare=False)  # of its outputs, by name and content
    damage: str = ""  # why its outputs can not be used any more


@dataclass(frozen=True)
class Infra:
    """What Terraform would change.

    Attributes:
        code: Digest of `infra/*.tf`.
        changes: What would be made (+), changed (~), replaced (±) and deleted (-), by address.
        saved: The file that has them, which is what is applied.
        digest: Of that file.
        outputs: What was there tells of itself.
        unknown: Why nothing was compared; empty when it was.
    """

    code: str
    changes: tuple[str, ...] = ()
    saved: str = ""
    digest: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    unknown: str = ""

    def makes(self, address: str) -> bool:
        """Whether a resource is not there yet."""
        return f"+ {address}" in self.changes

    def document(self) -> dict[str, Any]:
        """As it is recorded with a run."""
        return {"changes": self.changes, "outputs": self.outputs, "unknown": self.unknown}


@dataclass(frozen=True)
class Facts:
    """The world as a plan sees it.

    Attributes:
        source: Digest of what the data set is read from.
        changes: What is new in it since the experiment's last run, in words.
        versions: Versions of the registered model.
        weights: The files that training starts from, if any.
        code: Module name -> the digests of the modules that perform what it does.
        finished: Step key -> its record, None for a step never finished.
        latest: Step id -> the experiment's last record of it.
        target: What the deployer found of the target.
        frontend: The same of the page.
        lost: Assets of a workspace, as JSON of their documents -> whether they are gone.
        infra: What Terraform would change, where a spec asks for it.
        tools: Versions of the programs at work; empty for what is not installed.
        machine: What this machine is.
    """

    source: str
    changes: str = ""
    versions: tuple[Version, ...] = ()
    weights: Pretrained | None = None
    code: Mapping[str, dict[str, str]] = field(default_factory=dict)
    finished: Mapping[str, Record | None] = field(default_factory=dict)
    latest: Mapping[str, Record | None] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    frontend: Mapping[str, Any] = field(default_factory=dict)
    lost: Mapping[str, bool] = field(default_factory=dict)
    infra: Infra | None = None
    tools: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The facts as they are recorded with a run; finished steps have records of their own."""
        return {
            "source": self.source,
            "changes": self.changes,
            "versions": [vars(version) for version in self.versions],
            "weights": vars(self.weights) if self.weights else None,
            "code": dict(self.code),
            "target": dict(self.target),
            "frontend": dict(self.frontend),
            "infra": self.infra.document() if self.infra else None,
            "tools": {name: self.tools[name] for name in _TOOLS if self.tools.get(name)},
            "machine": dict(self.machine),
        }


def read(
    spec: Spec,
    finished: Mapping[str, Record | None],
    latest: Mapping[str, Record | None],
    outputs: Callable[[str], Path],
    *,
    ask: bool = True,
) -> Facts:
    """Reads the world; changes nothing.

    Args:
        spec: What is wanted, which tells where to look.
        finished: The store's records by key.
        latest: The store's last records of this experiment by step id.
        outputs: Where the store keeps the outputs of a step's key.
        ask: Whether a workspace elsewhere is asked; what it told the last time will do otherwise.
    """
    fingerprint = kinds.load("data", spec.data.kind).fingerprint(spec.data)
    before = latest.get("data")
    return Facts(
        source=files.sha256_of(fingerprint),
        changes=sources.changes(outputs(before.key), fingerprint) if before else "",
        versions=tuple(_versions(spec, ask=ask)),
        weights=find_weights(spec, MODELS),
        code=Lazy(kinds.code),
        finished=finished,
        latest=latest,
        target=_found(spec, "target"),
        frontend=_found(spec, "frontend"),
        lost=_lost(spec, ask=ask),
        tools=Lazy(version),
        machine=machine.describe(),
    )


def without_workspace(now: Facts) -> Facts:
    """The facts of a workspace that is yet to be made: nothing is registered, all assets are."""
    return replace(now, versions=(), lost=Lazy(lambda _: True))


def _lost(spec: Spec, *, ask: bool) -> Mapping[str, bool]:
    """What is gone of a workspace, asked for one by one; nothing where nobody asks."""
    if isinstance(spec.workspace, LocalWorkspace) or not ask:
        return {}
    place = Place.of(spec)
    return Lazy(lambda text: not shelves.has(place, json.loads(text)))


def _versions(spec: Spec, *, ask: bool) -> list[Version]:
    """What is registered."""
    if isinstance(spec.workspace, LocalWorkspace):
        return registry.read(Path(spec.workspace.database), MODELS, spec.registered_model)
    place = Place.of(spec)
    return (
        shelves.ask(place, MODELS, spec.registered_model)
        if ask
        else shelves.told(place, spec.registered_model)
    )


def _found(spec: Spec, group: str) -> Mapping[str, Any]:
    """What a section's kind finds of what it would make."""
    module = kinds.load(group, getattr(spec, group).kind)
    found: Mapping[str, Any] = module.facts(spec) if hasattr(module, "facts") else {}
    return found


def version(name: str) -> str:
    """A program's or library's version; empty when it is not installed."""
    if name == "python":
        return platform.python_version()
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
