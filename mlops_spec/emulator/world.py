"""Everything that answers share: what is remembered, where blobs are, who runs jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mlops_spec.emulator.activity import Activity
    from mlops_spec.emulator.blobs import Blobs
    from mlops_spec.emulator.faults import Faults
    from mlops_spec.emulator.identity import Identity
    from mlops_spec.emulator.store import Store


class Runs(Protocol):
    """Who runs jobs."""

    def start(self, key: str) -> None:
        """Queues a job by the key of its document."""

    def cancel(self, key: str) -> None:
        """Ends a job, or keeps it from starting."""


@dataclass(frozen=True)
class World:
    """What an answer may use and change."""

    store: Store
    blobs: Blobs
    identity: Identity
    faults: Faults
    runs: Runs
    activity: Activity
