"""A command job: its code and inputs are fetched, its command runs, what it wrote is kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import blobs, jobs, locations, placeholders, process, versions, workspaces
from mlops_spec.emulator.locations import Place
from mlops_spec.emulator.outbox import LogTail, Outbox
from mlops_spec.errors import StateError
from mlops_spec.secrets import is_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.emulator.bench import Bench
    from mlops_spec.emulator.jobs import Job

_LITERAL = "literal"
_FIRST, _MOST = 0.5, 5.0  # seconds between two looks at what a job has written
_PREEMPTED = b"\n[emulator] The node was taken away; the job starts again with its outputs.\n"


@dataclass(frozen=True)
class Task:
    """What is to be run: see `process.run`."""

    command: str
    folder: Path
    environment: dict[str, str]


async def run(bench: Bench, job: Job) -> None:
    """Runs a command job to its end."""
    folder = bench.folder / job.workspace.guid / job.name
    async with bench.slots:
        job.update(status="Starting", start=workspaces.now())
        if bench.faults.take_for_job("fail", job.labels):
            raise StateError("the job fails, as asked for")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            code, last = await _in(bench, job, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if code:
        message = (
            f"Execution failed. User process 'bash' exited with status code {code}. Please check"
            f" log file '{jobs.LOG}' for error details. Error: {last}"
        )
        job.end("Failed", jobs.error("UserError", message))
        return
    _register(job)
    job.end("Completed")


async def _in(bench: Bench, job: Job, folder: Path) -> tuple[int, str]:
    """Runs it in a folder; its exit code and the last that it said."""
    log = folder / "std_log.txt"
    log.parent.mkdir(parents=True)
    log.touch()
    kept = _kept(bench, job, folder, log)
    for part in kept:
        if isinstance(part, Outbox) and part.is_mounted:
            await part.fetch()
        await part.sync()
    try:
        code = await _attempts(bench, job, folder, kept)
    finally:
        job.update(status="Finalizing")
        for part in kept:
            await part.sync()
    return code, log.read_bytes()[-2000:].decode("utf-8", "replace").strip()


def _kept(bench: Bench, job: Job, folder: Path, log: Path) -> list[Outbox | LogTail]:
    """What is kept of a job: its log, its outputs, and two folders that Azure ML always keeps."""
    account, store = bench.blobs.account, bench.store
    artifacts = job.workspace.container(workspaces.ARTIFACTS)
    parts: list[Outbox | LogTail] = [
        LogTail(bench.blobs, log, Place(artifacts, f"{job.artifacts}/{jobs.LOG}"))
    ]
    for name in ("outputs", "logs"):
        place = Place(artifacts, f"{job.artifacts}/{name}")
        parts.append(Outbox(bench.blobs, folder / "code" / name, place, is_mounted=False))
    for name, uri in _outputs(job):
        place = locations.place(store, job.workspace, account, uri)
        path = blobs.inside(folder / "outputs", name)
        parts.append(Outbox(bench.blobs, path, place, is_mounted=_mode(job, name) != "Upload"))
    return parts


def _outputs(job: Job) -> Iterator[tuple[str, str]]:
    named = job.properties.get("outputs") or {}
    return ((name, uri) for name, uri in job.run["outputs"].items() if name in named)


def _mode(job: Job, output: str) -> str:
    """How a job reaches the place of an output; an upload does not see what is there."""
    return str((job.properties["outputs"][output] or {}).get("mode") or "ReadWriteMount")


async def _attempts(bench: Bench, job: Job, folder: Path, kept: list[Outbox | LogTail]) -> int:
    """Runs it, again if its node was taken away; its exit code."""
    log = folder / "std_log.txt"
    while True:
        task = await _prepared(bench, job, folder)
        fault = bench.faults.take_for_job("preempt", job.labels)
        job.update(status="Running")
        async with _watched(kept):
            words = (task.command, task.folder, task.environment, log)
            code = await process.run(*words, fault.seconds if fault else None)
        if code is not None:
            return code
        with log.open("ab") as file:
            file.write(_PREEMPTED)
        job.update(status="Queued")


@contextlib.asynccontextmanager
async def _watched(kept: list[Outbox | LogTail]) -> Any:
    """Keeps what is written while a job runs, less often the longer it does."""

    async def watch() -> None:
        pause = _FIRST
        while True:
            await asyncio.sleep(pause)
            for part in kept:
                await part.sync()
            pause = min(pause * 1.05, _MOST)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _prepared(bench: Bench, job: Job, folder: Path) -> Task:
    """Fetches code and inputs, and makes folders for outputs."""
    properties, code = job.properties, folder / "code"
    for old in (code, folder / "inputs"):
        shutil.rmtree(old, ignore_errors=True)
    code.mkdir()
    if properties.get("codeId"):
        await _fetch(bench, job, properties["codeId"], code)
    values, variables = {}, {}
    for name, sent in (properties.get("inputs") or {}).items():
        place = blobs.inside(folder / "inputs", name)
        values[f"inputs.{name}"] = await _input(bench, job, sent, place)
        variables[f"AZURE_ML_INPUT_{name}"] = values[f"inputs.{name}"]
    for name, _ in _outputs(job):
        path = blobs.inside(folder / "outputs", name)
        path.mkdir(parents=True, exist_ok=True)
        values[f"outputs.{name}"] = variables[f"AZURE_ML_OUTPUT_{name}"] = str(path)
    command = placeholders.fill(properties["command"], values)
    return Task(command, code, _environment(job) | variables)


async def _input(bench: Bench, job: Job, sent: dict[str, Any], folder: Path) -> str:
    """What stands for an input: its value, or where its files are now."""
    if sent.get("jobInputType", _LITERAL) == _LITERAL:
        return str(sent.get("value", ""))
    return str(await _fetch(bench, job, sent["uri"], folder))


async def _fetch(bench: Bench, job: Job, uri: str, folder: Path) -> Path:
    """Files of an address: the folder with them, or the one file that it names."""
    place = locations.place(bench.store, job.workspace, bench.blobs.account, uri)
    if place.name and place.name in await bench.blobs.names(place.container, place.name):
        path = blobs.inside(folder, place.name.rpartition("/")[2])
        await bench.blobs.fetch(place.container, place.name, path)
        return path
    if not await bench.blobs.fetch_folder(place.container, place.name, folder):
        raise StateError(f"there is nothing at {uri}")
    return folder


def _environment(job: Job) -> dict[str, str]:
    """The emulator's own without secrets, its Python first; then the job's."""
    own = {name: value for name, value in os.environ.items() if not is_named(name)}
    workspace = job.workspace
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', os.defpath)}"
    told = {
        process.RUN_ID: job.name,
        "AZUREML_ROOT_RUN_ID": job.run["parent"] or job.name,
        "AZUREML_EXPERIMENT_NAME": job.properties.get("experimentName") or "Default",
        "AZUREML_ARM_SUBSCRIPTION": workspace.subscription,
        "AZUREML_ARM_RESOURCEGROUP": workspace.group,
        "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
    }
    return own | told | (job.properties.get("environmentVariables") or {})


def _register(job: Job) -> None:
    """Outputs with a name become versions of assets, whatever is in them."""
    for name, uri in _outputs(job):
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
