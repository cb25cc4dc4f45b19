"""`render`: the documents of a cloud run as files, made logged out, for people and other tools.

rendered/<experiment>/   compute.yml environment.yml data.yml train.yml, the recorded specs of
                         the two steps, and code/, the packages that a job runs
infra/                   <experiment>.tfvars.json, and the Terraform that reads it if there was none
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

from mlops_spec import azure_sizes, conf_files, files, kinds, steps, weights
from mlops_spec.errors import ExitCode
from mlops_spec.facts import MODELS
from mlops_spec.origins import display
from mlops_spec.render import azureml, terraform
from mlops_spec.spec import AzuremlCompute
from mlops_spec.view import echo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlops_spec.spec import Spec
    from mlops_spec.steps import Step

_RENDERED, _INFRA = Path("rendered"), Path("infra")
_HEADER = "# Rendered by `python -m mlops_spec render`: change the spec instead.\n"


def write(spec: Spec, *, check: bool) -> ExitCode:
    """Writes the documents that differ; with `check` only says which are stale."""
    if spec.workspace.kind == "local":
        echo("nothing to render: workspace=local needs no documents; see workspace=azure")
        return ExitCode.DONE
    steps = _steps(spec)
    made = _module() | documents(spec, steps)
    stale = [p for p, text in made.items() if not p.exists() or p.read_text("utf-8") != text]
    unwanted = [path for path in _written(_RENDERED / spec.name) if path not in made]
    code = _RENDERED / spec.name / "code"
    stale_code = _stale_code(code) if steps else []
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
        _snapshot(code)
        echo(f"wrote {display(code)}")
    for line in _next(spec, steps):
        echo(line)
    return ExitCode.DONE


def _written(folder: Path) -> list[Path]:
    """Documents that an earlier render left; a spec without a cluster has none for it."""
    return sorted((*folder.glob("*.yml"), *folder.glob("*.spec.json")))


def _module() -> dict[Path, str]:
    """The Terraform module for a folder without one; from then on it is the project's own."""
    if any(_INFRA.glob("*.tf")):
        return {}
    ours = conf_files.shipped("infra")
    paths = (*ours.glob("*.tf"), *ours.glob("tests/*.hcl"))
    return {_INFRA / path.relative_to(ours): path.read_text("utf-8") for path in sorted(paths)}


def _steps(spec: Spec) -> tuple[Step, ...]:
    """The steps around a job: preparing its data here, and training there; none without a job."""
    if spec.compute.kind == "local":
        return ()
    source = files.sha256_of(kinds.load("data", spec.data.kind).fingerprint(spec.data))
    return steps.data_step(spec, source), steps.train_step(spec, weights.find(spec, MODELS))


def documents(spec: Spec, steps: Sequence[Step]) -> dict[Path, str]:
    """Every generated file with its text."""
    variables = files.json_text(terraform.variables(spec))
    found = {_INFRA / f"{spec.name}.tfvars.json": variables}
    if steps:
        folder = _RENDERED / spec.name
        found |= {folder / name: text for name, text in _job(spec, *steps)}
    return found


def _job(spec: Spec, prepare: Step, train: Step) -> Iterator[tuple[str, str]]:
    code = {name: digest for module in prepare.code for name, digest in kinds.code(module).items()}
    asset = azureml.data(spec, prepare.payload, code, "data")
    inputs = {
        "spec": {"type": "uri_file", "path": "train.spec.json"},
        "data": {"type": "uri_folder", "path": f"azureml:{asset['name']}:{asset['version']}"},
        **_files(train.payload.get("inputs", {}), _RENDERED / spec.name),
    }
    if _has_cluster(spec):
        yield "compute.yml", _yaml(azureml.cluster(spec))
    yield "environment.yml", _yaml(azureml.environment(spec))
    yield "data.yml", _yaml(asset)
    yield "train.yml", _yaml(azureml.job(spec, train.payload, inputs))
    for step in (prepare, train):
        part = files.versioned(step.payload["spec"])
        yield f"{step.id}.spec.json", files.json_text(part)


def _files(inputs: Mapping[str, str], folder: Path) -> dict[str, dict[str, str]]:
    """Files and folders of this machine that a job reads, relative to its document."""
    return {
        name: {
            "type": "uri_folder" if Path(path).is_dir() else "uri_file",
            "path": os.path.relpath(path, folder),
        }
        for name, path in inputs.items()
    }


def _yaml(document: dict[str, Any]) -> str:
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=100, allow_unicode=True)


def _snapshot(folder: Path) -> None:
    """The packages that a job runs, the project's own kinds laid over the installed ones."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("mlops_spec", "trainers", "deployers"):
        # No job reads them; a wheel has the first two inside
        unread = ("conf", "infra", "emulator") if name == "mlops_spec" else ()
        ignored = shutil.ignore_patterns("__pycache__", ".*", *unread)
        for root in reversed(kinds.roots()):
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=ignored, dirs_exist_ok=True)


def _stale_code(folder: Path) -> list[Path]:
    """Files of a snapshot that a new one would change, add or leave out."""
    with TemporaryDirectory() as new:
        _snapshot(Path(new))
        wanted, found = _contents(Path(new)), _contents(folder)
    names = sorted(wanted.keys() | found.keys())
    return [folder / name for name in names if wanted.get(name) != found.get(name)]


def _contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, without what running the code there leaves."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {p: (folder / p).read_bytes() for p in paths if "__pycache__" not in p.parts}


def _next(spec: Spec, steps: Sequence[Step]) -> Iterator[str]:
    """What a person does with the documents, in order."""
    yield "by hand, in this folder:"
    yield "  terraform -chdir=infra init"
    # A state for each experiment: with one for all, the second would replace what the first made
    yield f"  terraform -chdir=infra workspace select -or-create {spec.name}"
    yield f"  terraform -chdir=infra apply -var-file={spec.name}.tfvars.json"
    if not steps:
        return
    folder = _RENDERED / spec.name
    places = {"${{spec}}": str(folder / "data.spec.json"), "${{out}}": str(folder / "data")}
    words = [places.get(word, word) for word in steps[0].payload["command"]]
    yield f"  {shlex.join(words)} --collect"
    named = terraform.variables(spec)["names"]
    defaults = f"group={named['resource_group']} workspace={named['workspace']}"
    yield f"  az configure --defaults {defaults}"
    nouns = ("environment", "data", "job")
    for noun in ("compute", *nouns) if _has_cluster(spec) else nouns:
        document = "train" if noun == "job" else noun
        yield f"  az ml {noun} create -f {folder / document}.yml"
    assert isinstance(spec.compute, AzuremlCompute)
    yield f"the job: {azure_sizes.told(spec.compute)}"


def _has_cluster(spec: Spec) -> bool:
    return isinstance(spec.compute, AzuremlCompute) and spec.compute.cluster is not None
