"""A command job: its code and inputs are fetched, its command runs, what it wrote is kept."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from mlops_spec.emulator import (
    blobs,
    distribution,
    jobs,
    limits,
    locations,
    preparing,
    process,
    versions,
    workspaces,
)
from mlops_spec.emulator.locations import Place
from mlops_spec.emulator.outbox import LogTail, Outbox, watched
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlops_spec.emulator.bench import Bench
    from mlops_spec.emulator.distribution import Worker
    from mlops_spec.emulator.jobs import Job

_PREEMPTED = b"\n[emulator] The node was taken away; the job starts again with its outputs.\n"


async def run(bench: Bench, job: Job) -> None:
    """Runs a command job to its end."""
    folder = bench.folder / job.workspace.guid / job.name
    workers = distribution.workers(job.properties)
    async with bench.slots:
        job.update(status="Starting", start=workspaces.now())
        if bench.faults.take_for_job("fail", job.labels):
            raise StateError("the job fails, as asked for")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            code, last, log = await _in(bench, job, folder, workers)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if code:
        message = (
            f"Execution failed. User process 'bash' exited with status code {code}. Please check"
            f" log file '{log}' for error details. Error: {last}"
        )
        job.end("Failed", jobs.error("UserError", message))
        return
    _register(job)
    job.end("Completed")


async def _in(
    bench: Bench, job: Job, folder: Path, workers: Sequence[Worker]
) -> tuple[int, str, str]:
    """Runs it in a folder; its exit code, the last that it said, and in which log."""
    _make_logs(folder, workers)
    kept = _kept(bench, job, folder, workers)
    for part in kept:
        if isinstance(part, Outbox) and part.is_mounted:
            await part.fetch()
        await part.sync()
    try:
        async with limits.limited(limits.seconds(job.properties)):
            code, worker = await _attempts(bench, job, folder, kept, workers)
    finally:
        job.update(status="Finalizing")
        for part in kept:
            await part.sync()
    last = (folder / worker.log).read_bytes()[-2000:].decode("utf-8", "replace").strip()
    return code, last, f"{distribution.LOGS}/{worker.log}"


def _make_logs(folder: Path, workers: Sequence[Worker]) -> None:
    folder.mkdir(parents=True)
    for worker in workers:
        (folder / worker.log).touch()


def _kept(
    bench: Bench, job: Job, folder: Path, workers: Sequence[Worker]
) -> list[Outbox | LogTail]:
    """What is kept of a job: its logs, its outputs, and two folders that Azure ML always keeps."""
    account, store = bench.blobs.account, bench.store
    artifacts = job.workspace.container(workspaces.ARTIFACTS)
    logs = f"{job.artifacts}/{distribution.LOGS}"
    parts: list[Outbox | LogTail] = [
        LogTail(bench.blobs, folder / worker.log, Place(artifacts, f"{logs}/{worker.log}"))
        for worker in workers
    ]
    for name in ("outputs", "logs"):
        place = Place(artifacts, f"{job.artifacts}/{name}")
        parts.append(Outbox(bench.blobs, folder / "code" / name, place, is_mounted=False))
    for name, uri in job.named_outputs.items():
        place = locations.place(store, job.workspace, account, uri)
        path = blobs.inside(folder / "outputs", name)
        parts.append(Outbox(bench.blobs, path, place, is_mounted=_mode(job, name) != "Upload"))
    return parts


def _mode(job: Job, output: str) -> str:
    """How a job reaches the place of an output; an upload does not see what is there."""
    return str((job.properties["outputs"][output] or {}).get("mode") or "ReadWriteMount")


async def _attempts(
    bench: Bench,
    job: Job,
    folder: Path,
    kept: list[Outbox | LogTail],
    workers: Sequence[Worker],
) -> tuple[int, Worker]:
    """Runs it, again if its node was taken away; its exit code, and whose it is."""
    while True:
        task = await preparing.prepared(bench, job, folder)
        fault = bench.faults.take_for_job("preempt", job.labels)
        job.update(status="Running")
        async with watched(kept):
            starts = [
                process.run(
                    task.command,
                    task.folder,
                    {**task.environment, **worker.variables},
                    folder / worker.log,
                    fault.seconds if fault else None,
                )
                for worker in distribution.together(workers)
            ]
            rank, code = await process.first_failure(starts)
        if code is not None:
            return code, workers[rank]
        with (folder / workers[0].log).open("ab") as file:
            file.write(_PREEMPTED)
        job.update(status="Queued")


def _register(job: Job) -> None:
    """Outputs with a name become versions of assets, whatever is in them."""
    for name, uri in job.named_outputs.items():
        sent = (job.properties["outputs"] or {}).get(name) or {}
        asset = sent.get("assetName")
        if not asset:
            continue
        kind = sent.get("jobOutputType", "uri_folder")
        is_model = kind.endswith("_model")
        group = "models" if is_model else "data"
        version = sent.get("assetVersion") or versions.following(
            job.store, job.workspace, group, asset
        )
        content = {"modelUri": uri, "modelType": kind, "jobName": job.name}
        properties = content if is_model else {"dataUri": uri, "dataType": kind}
        versions.put(job.store, versions.key(job.workspace, group, asset, version), properties)
