"""`render`: the documents of a cloud run as files, made logged out, for people and other tools.

rendered/<experiment>/   compute.yml environment.yml data.yml, a job each (train.yml evaluate.yml),
                         the recorded specs of the steps, and code/, the packages that a job runs
infra/                   with infra=terraform: <experiment>.tfvars.json, where its state is, and
                         the Terraform that reads them if there was none
"""

from __future__ import annotations

import itertools
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mlops_spec import azure_sizes, conf_files, files, ground, names, road, snapshot, steps
from mlops_spec.errors import ExitCode
from mlops_spec.infra_spec import TerraformInfra
from mlops_spec.origins import display
from mlops_spec.render import environments, terraform
from mlops_spec.render import pipeline as pipelines
from mlops_spec.run import read_facts
from mlops_spec.step_spec import NOBODY
from mlops_spec.view import echo
from mlops_spec.where import AzuremlCompute, CloudWorkspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlops_spec.spec import Spec
    from mlops_spec.steps import Step

Requests = list[tuple["Step", dict[str, str]]]  # with the keys of all

_SPEC, _CLOCK = "spec.json", "schedule.yml"
_FILES = {"data_asset": "data", "schedule": "scheduled"}  # other names than the step's
_RENDERED = Path("rendered")
_MODULE = (
    *("*.tf", "tests/*.hcl", "tests/*.tfvars"),
    *("bootstrap/*.tf", "bootstrap/tests/*.hcl"),
)
_LATE = ("main.devops.tf", "tests/devops.tftest.hcl")
_HEADER = "# Rendered by `python -m mlops_spec render`: change the spec instead.\n"


def write(spec: Spec, *, check: bool) -> ExitCode:
    """Writes the documents that differ; with `check` only says which are stale."""
    requests = _requests(spec)
    made = _module(spec) | documents(spec, requests)
    if not made:
        echo("nothing to render: steps run here and infra=none; see workspace=azure")
        return ExitCode.DONE
    stale = [path for path, text in made.items() if not _is(path, text)]
    unwanted = [path for path in _written(spec) if path not in made]
    code = _RENDERED / spec.name / "code"
    stale_code = snapshot.stale(code) if requests else []
    if check:
        for path in (*stale, *unwanted, *stale_code):
            echo(f"stale {display(path)}")
        return ExitCode.DIFFERENT if stale or unwanted or stale_code else ExitCode.DONE
    for path in unwanted:
        path.unlink()
        echo(f"removed {display(path)}")
    for path in stale:
        files.write_text(path, made[path])
        echo(f"wrote {display(path)}")
    if stale_code:
        snapshot.write(code)
        echo(f"wrote {display(code)}")
    for line in _next(spec, requests):
        echo(line)
    return ExitCode.DONE


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8", "replace") == text


def _written(spec: Spec) -> list[Path]:
    """Documents that an earlier render left; a spec without a cluster has none for it."""
    folder = _RENDERED / spec.name
    contexts = folder.glob("environment_*/*")
    found = sorted((*folder.glob("*.yml"), *folder.glob("*.spec.json"), *contexts))
    return [*found, *(terraform.unwanted(spec) if ground.is_by_terraform(spec) else ())]


def _module(spec: Spec) -> dict[Path, str]:
    """The Terraform code for a folder without any; from then on it is the project's own.

    What is of Azure DevOps comes when it is wanted: its provider asks an organization even where
    nothing is.
    """
    if not ground.is_by_terraform(spec):
        return {}
    ours = conf_files.shipped("infra")
    late = {Path(name) for name in _LATE}
    laid = {path.relative_to(ours) for path in itertools.chain(*map(ours.glob, _MODULE))} - late
    if any(terraform.INFRA.glob("*.tf")):
        laid = set()
    if "devops" in ground.parts(spec):
        laid |= {path for path in late if not (terraform.INFRA / path).exists()}
    return {terraform.INFRA / path: (ours / path).read_text("utf-8") for path in sorted(laid)}


def _requests(spec: Spec) -> Requests:
    """What is performed elsewhere, and the data set before it, as far as it is known logged out."""
    if spec.compute.kind == "local":
        return []
    now = read_facts(spec, ask=False)
    found = [*road.steps(spec, now)]
    keys = steps.keys_of(found, now)
    return [(step, keys) for step in found if step.id == "data" or _is_elsewhere(step)]


def _is_elsewhere(step: Step) -> bool:
    """Whether it is a document; keeping a report with a job is none."""
    return step.action.startswith("azureml.") and step.action != "azureml.publish"


def documents(spec: Spec, requests: Requests) -> dict[Path, str]:
    """Every generated file with its text."""
    found = terraform.documents(spec) if ground.is_by_terraform(spec) else {}
    folder = _RENDERED / spec.name
    for step, keys in requests:
        if _is_elsewhere(step):
            found[folder / _file(step)] = _yaml(_document(step, keys, folder))
        if "schedule" in step.payload:
            clock = {**step.payload["schedule"], "create_job": f"./{_file(step)}"}
            found[folder / _CLOCK] = _yaml(clock)
        for name, part in _specs(step).items():
            found[folder / name] = files.json_text(files.versioned(part))
    for name in environments.BY_HAND if requests else ():
        place = environments.folder(name)
        found[folder / f"{place}.yml"] = _yaml(environments.document(spec, name))
        texts = environments.context(spec, name)
        found |= {folder / place / file: _HEADER + text for file, text in texts.items()}
    return found


def _file(step: Step) -> str:
    return f"{_FILES.get(step.id, step.id)}.yml"


def _document(step: Step, keys: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """A CLI v2 document beside what it reads: the prepared data set, a job's spec and its code."""
    if step.action == "azureml.create":
        document = step.payload["document"]
        return {**document, "path": "data"} if "path" in document else document
    job = pipelines.submitted(step, keys[step.id], keys)
    del job["name"]  # a person may submit it again
    if "key" in job["inputs"]:  # with other data
        job["inputs"]["key"] = NOBODY
    for part in (job, *job.get("jobs", {}).values()):
        for one in part["inputs"].values():
            if isinstance(one, dict) and one["path"] == _SPEC:
                one["path"] = f"{step.id}.{_SPEC}"
            elif isinstance(one, dict) and "type" not in one:  # a file or folder of this machine
                one["type"] = "uri_folder" if Path(one["path"]).is_dir() else "uri_file"
                one["path"] = os.path.relpath(one["path"], folder)
    return job


def _specs(step: Step) -> dict[str, Any]:
    """The recorded specs of a step, by the names of their files: several steps share a folder."""
    if step.action == "azureml.create":
        return {}
    if not _is_elsewhere(step):
        return {f"{step.id}.{_SPEC}": step.payload["spec"]}
    found = pipelines.specs(step)
    return {f"{step.id}.{_SPEC}" if name == _SPEC else name: found[name] for name in found}


def _yaml(document: dict[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


def _next(spec: Spec, requests: Requests) -> Iterator[str]:
    """What a person does with the documents, in order."""
    yield "by hand, in this folder:"
    if ground.is_by_terraform(spec):
        yield from _terraform(spec)
    if not requests:
        return
    assert isinstance(spec.workspace, CloudWorkspace)
    folder, named = _RENDERED / spec.name, names.of(spec.name, spec.workspace)
    yield f"  az configure --defaults group={named.resource_group} workspace={named.workspace}"
    for step, _ in requests:
        if step.id == "data":
            places = {"${{spec}}": str(folder / "data.spec.json"), "${{out}}": str(folder / "data")}
            words = [places.get(word, word) for word in step.payload["command"]]
            yield f"  {shlex.join(words)}"
            continue
        if "schedule" in step.payload:
            yield f"  az ml schedule create -f {folder / _CLOCK}"
            continue
        noun = "job" if "job" in step.payload else step.id.partition("_")[0]
        yield f"  az ml {noun} create -f {folder / _file(step)}"
    assert isinstance(spec.compute, AzuremlCompute)
    yield f"each job: {azure_sizes.told(spec.compute)}"


def _terraform(spec: Spec) -> Iterator[str]:
    assert isinstance(spec.infra, TerraformInfra)
    if spec.infra.remote_state:
        store = terraform.store(spec)
        yield "  terraform -chdir=infra/bootstrap init  # once: it keeps the states of all"
        files = f"-state={store}.tfstate -var-file={store}.tfvars.json"
        yield f"  terraform -chdir=infra/bootstrap apply {files}"
    # A state for each experiment: with one for all, the second would replace what the first made
    yield f"  export TF_DATA_DIR=.terraform/{spec.name}"
    yield f"  terraform -chdir=infra init -backend-config={spec.name}.backend.json"
    yield f"  terraform -chdir=infra apply -var-file={spec.name}.tfvars.json"
