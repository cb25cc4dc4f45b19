"""What performs steps: `module.function` in this package, or a deployer's own `ACTIONS`.

An action takes a step and a `Context` and returns an `Outcome`; heavy imports stay inside it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from mlops_spec import kinds
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from mlops_spec.steps import Step


@dataclass(frozen=True)
class Context:
    """Where a step works and whom it tells.

    Attributes:
        folder: The step's own folder, with its recorded `spec.json`; outputs go to `folder/out`.
        inputs: Outputs of the steps it needs, by id.
        emit: Called with each line of progress.
        key: The step's key.
        seconds: How long the steps that it needs took, by id.
        keys: Keys of the steps that it needs, by id.
    """

    folder: Path
    inputs: Mapping[str, Path]
    emit: Callable[[str], None]
    key: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of a step: a sentence, metrics, whether it refused, keys that it did not read.

    `elsewhere` of one that is not over: it goes on without us, and another run collects it.
    `seconds` it took where that was; None where it took as long as we watched.
    """

    text: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    refused: bool = False
    unread: tuple[str, ...] = ()
    elsewhere: bool = False
    seconds: float | None = None


Action = Callable[["Step", Context], Outcome]


def find(name: str) -> Action:
    """The action of a name: a module's function here, or `KIND.NAME` of a deployer.

    Raises:
        MlopsError: Nothing of this name performs steps.
    """
    module_name, _, function = name.partition(".")
    here = {path.stem for path in Path(__file__).parent.glob("[!_]*.py")}
    if module_name in here:
        module = importlib.import_module(f"{__name__}.{module_name}")
        return cast("Action", getattr(module, function))
    for group in ("target", "frontend"):
        if module_name in kinds.names(group):
            actions: Mapping[str, Action] = getattr(kinds.load(group, module_name), "ACTIONS", {})
            if name in actions:
                return actions[name]
    message = f"nothing performs the action {name!r}"
    raise MlopsError(message, "a deployer's own actions belong into its ACTIONS")
