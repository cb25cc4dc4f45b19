"""Who runs jobs: one task each, that ends with what has become of the job in the store."""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_spec.emulator import commands, jobs, pipelines, process, sweeps
from mlops_spec.emulator.routing import ServiceError
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from mlops_spec.emulator.bench import Bench
    from mlops_spec.emulator.jobs import Job

_KINDS = {"Command": commands.run, "Sweep": sweeps.run, "Pipeline": pipelines.run}
_STOPPED = "The emulator was stopped while the job had not ended."
_log = logging.getLogger(__name__)


class Runner:
    """Runs jobs.

    Args:
        bench: Where.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = replace(bench, child=self._child)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._give_up_left_ones()

    def start(self, key: str) -> None:
        """Queues a job by the key of its document."""
        self._begin(jobs.of_key(self._bench.store, key))

    def cancel(self, key: str) -> None:
        """Ends a job, or keeps it from starting."""
        if task := self._tasks.get(key):
            task.cancel()

    async def stop(self) -> None:
        """Ends every job, with the emulator."""
        self._stopping = True
        tasks = [*self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, job: Job) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.key] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.key, None))
        return task

    async def _child(self, job: Job) -> str:
        await self._begin(job)
        return str(job.run["status"])

    async def _run(self, job: Job) -> None:
        try:
            with self._bench.activity.work():
                await _KINDS[job.properties["jobType"]](self._bench, job)
        except asyncio.CancelledError:
            if self._stopping:
                job.end("Failed", jobs.error("ServiceError", _STOPPED))
            else:
                job.end("Canceled")
        except (MlopsError, ServiceError) as error:
            job.end("Failed", jobs.error("UserError", str(error)))
        except Exception as error:  # noqa: BLE001 - one job's bug ends that job
            _log.exception("job %s", job.name)
            job.end("Failed", jobs.error("EmulatorError", f"{type(error).__name__}: {error}"))

    def _give_up_left_ones(self) -> None:
        """Jobs of an emulator that was killed: nobody runs them any more."""
        process.end_left_ones(self._bench.folder)
        shutil.rmtree(self._bench.folder, ignore_errors=True)
        store = self._bench.store
        for key, document in store.under(""):
            if jobs.is_key(key) and document["run"]["status"] not in jobs.FINAL:
                jobs.of_key(store, key).end("Failed", jobs.error("ServiceError", _STOPPED))
