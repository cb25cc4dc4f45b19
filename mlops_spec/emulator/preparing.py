"""What a command finds when it starts: its code, inputs, folders for outputs, and its variables."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_spec.emulator import blobs, locations, placeholders, process
from mlops_spec.errors import StateError
from mlops_spec.secrets import is_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_spec.emulator.bench import Bench
    from mlops_spec.emulator.jobs import Job

_LITERAL = "literal"


@dataclass(frozen=True)
class Task:
    """What is to be run: see `process.run`."""

    command: str
    folder: Path
    environment: dict[str, str]


async def prepared(bench: Bench, job: Job, folder: Path) -> Task:
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
    for name in job.named_outputs:
        path = blobs.inside(folder / "outputs", name)
        path.mkdir(parents=True, exist_ok=True)
        values[f"outputs.{name}"] = variables[f"AZURE_ML_OUTPUT_{name}"] = str(path)
    command = placeholders.fill(properties["command"], values)
    return Task(command, code, _environment(job, bench.variables(job)) | variables)


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


def _environment(job: Job, tracking: Mapping[str, str]) -> dict[str, str]:
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
    return own | told | dict(tracking) | (job.properties.get("environmentVariables") or {})
