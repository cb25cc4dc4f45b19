"""Which workspace is meant: a value that fits on a command line, and into a step's request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from mlops_spec import names
from mlops_spec.errors import StateError
from mlops_spec.where import EmulatorWorkspace

if TYPE_CHECKING:
    from mlops_spec.spec import Spec
    from mlops_spec.where import CloudWorkspace

_PATTERN = re.compile(
    r"azureml://subscriptions/([^/]+)/resourcegroups/([^/]+)/workspaces/([^/?]+)(?:\?emulator=(.+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Place:
    """A workspace.

    Attributes:
        subscription: Its subscription's id.
        group: Its resource group.
        name: Its own name.
        emulator: The state folder of the emulator that it is in; empty for Azure itself.
    """

    subscription: str
    group: str
    name: str
    emulator: str = ""

    @classmethod
    def of(cls, spec: Spec) -> Self:
        """The workspace of a spec."""
        workspace: CloudWorkspace = spec.workspace  # type: ignore[assignment]
        named = names.of(spec.name, workspace)
        state = workspace.state if isinstance(workspace, EmulatorWorkspace) else ""
        return cls(workspace.subscription_id, named.resource_group, named.workspace, state)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The workspace of an address as `uri` writes it.

        Raises:
            StateError: It is none.
        """
        match = _PATTERN.fullmatch(text)
        if match is None:
            form = "azureml://subscriptions/ID/resourcegroups/GROUP/workspaces/NAME"
            raise StateError(f"{text} is no address of a workspace", f"write {form}")
        subscription, group, name, emulator = match.groups()
        return cls(subscription, group, name, emulator or "")

    @property
    def uri(self) -> str:
        """Its address, as Azure ML writes it; of an emulated one with the emulator's folder."""
        base = f"azureml://subscriptions/{self.subscription}/resourcegroups/{self.group}"
        more = f"?emulator={self.emulator}" if self.emulator else ""
        return f"{base}/workspaces/{self.name}{more}"

    @property
    def path(self) -> str:
        """Its id, as the resource manager writes it."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"

    def __str__(self) -> str:
        """How messages call it."""
        return f"workspace {self.name} of group {self.group}"
