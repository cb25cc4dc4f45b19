"""What running a job needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from mlops_spec.emulator.activity import Activity
    from mlops_spec.emulator.blobs import Blobs
    from mlops_spec.emulator.faults import Faults
    from mlops_spec.emulator.jobs import Job
    from mlops_spec.emulator.store import Store


async def _nobody(job: Job) -> str:
    raise AssertionError(job.name)


@dataclass(frozen=True)
class Bench:
    """Where jobs run.

    Attributes:
        activity: What a job that waits or runs is part of.
        folder: For the files of running jobs.
        slots: As many as commands may run at a time.
        variables: What tells a job where it is tracked.
        child: Runs a job that another one has made, and says how it ended; set by who runs jobs.
    """

    store: Store
    blobs: Blobs
    faults: Faults
    activity: Activity
    folder: Path
    slots: asyncio.Semaphore
    variables: Callable[[Job], Mapping[str, str]]
    child: Callable[[Job], Awaitable[str]] = _nobody
