"""`check` of a spec whose workspace is in Azure: what is wanting, and what brings it."""

import json
import shutil
import subprocess
import sys

import cloud
import emulation
import pytest
from toyproject import make

from mlops_spec import azure_sizes
from mlops_spec.azure import checks, questions
from mlops_spec.azure import emulation as engine

slow = pytest.mark.slow
quiet = pytest.mark.filterwarnings("ignore")  # of Azure's SDK, about itself
CLUSTER = f"{cloud.LEARNING}/computes/write"


def test_no_preset_has_a_retired_image(project):
    presets = ("azureml_cpu", "azureml_gpu", "azureml_gpu_distributed", "azureml_serverless")
    for preset in presets:
        found = checked(project, "p", f"compute={preset}")
        assert found["image"][1] == "", preset


def test_check_of_a_spec_without_azure_imports_nothing_of_it(tmp_path):
    project = make(tmp_path / "project")
    code = (
        "import sys; from mlops_spec.cli import main; code = main(sys.argv[1:]);"
        "bad = [m for m in sys.modules if m.startswith(('azure', 'mlops_spec.azure.ch'))];"
        "sys.exit(f'{code} {bad}' if code or bad else 0)"
    )
    words = [sys.executable, "-c", code, "check", *cloud.TOY]
    answer = subprocess.run(words, cwd=project.path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def checked(project, prefix, *words):
    """What is found: name -> text and cure; of several findings of a name, the last."""
    answer = project.call("check", *cloud.words(prefix, *words), "--json")
    found = [json.loads(line) for line in answer.stdout.splitlines()]
    assert answer.returncode == (4 if any(one["cure"] for one in found) else 0), answer.stderr
    return {one["name"]: (one["text"], one["cure"]) for one in found}


def test_without_the_sdk_nobody_is_asked(project, monkeypatch):
    monkeypatch.setattr(checks.client, "missing", lambda: ["azure.ai.ml"])
    found = checked(project, "p")
    assert found["sdk"] == (
        "not installed: azure.ai.ml",
        "python -m pip install 'mlops_spec[azure]'",
    )
    assert "login" not in found


def test_an_emulator_that_does_not_run_is_not_started(project, monkeypatch):
    monkeypatch.setattr(engine.subprocess, "Popen", None)
    words = ("workspace=emulator", "workspace.state=nowhere")
    if shutil.which("node") and shutil.which("npm"):
        text, cure = checked(project, "p", *words)["emulator"]
        assert (text[-32:], cure) == ("it does not run; a run starts it", "")
    monkeypatch.setenv("PATH", "/nowhere")
    assert checked(project, "p", *words)["emulator"] == (
        "npm is missing, which the emulator needs",
        "install Node.js, which has npm: https://nodejs.org",
    )
    assert not (project.path / "nowhere").exists()


@slow
@quiet
@pytest.mark.usefixtures("azure")
def test_all_is_well(project):
    found = checked(project, cloud.fresh())
    names = ("image", "sdk", "login", "workspace", "role", "cluster", "size", "quota")
    assert {name for name in names if name not in found or found[name][1]} == set()
    assert "oid 22222222-2222-4222-8222-222222222222" in found["login"][0]
    assert found["cluster"][0] == "there is no cluster cpu yet; a run makes it"
    assert cloud.leaks(project.path) == []


@slow
@quiet
def test_each_thing_is_asked_once(project, azure):
    prefix = cloud.fresh()
    before = len(emulation.exchanges(azure.state))
    checked(project, prefix)
    asked = [line for line in emulation.exchanges(azure.state)[before:] if "/arm" not in line]
    urls = [line["url"] for line in asked if "management" in line["url"]]
    assert len(urls) == len({*urls}) == 5
    assert {line["method"] for line in asked if "management" in line["url"]} == {"GET"}


@slow
@quiet
@pytest.mark.usefixtures("azure")
def test_what_is_wanting_is_told_with_its_cure(project):
    image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest"
    words = ("compute.max_nodes=400", f"compute.image={image}")
    found = checked(project, cloud.fresh(), *words)
    assert found["quota"][1].startswith("set compute.max_nodes=250, or ask for more")
    assert found["image"][1].startswith("set compute.image=mcr.microsoft.com/azureml/openmpi4.1.0-")
    found = checked(project, cloud.fresh(), "compute.vm_size=Standard_DS3_v9")
    assert "Standard_DS3_v2" in found["size"][1]
    assert "quota" not in found
    found = checked(project, "nogroup")
    assert found["workspace"][0] == f"there is no {cloud.place('nogroup')}"
    assert found["workspace"][1].startswith("make it: ")
    assert "role" not in found


@slow
@quiet
def test_a_role_that_does_not_suffice(project, azure, monkeypatch):
    assert azure.process.poll() is None
    monkeypatch.setattr(questions, "permissions", lambda _: [cloud.SCIENTIST])
    prefix = cloud.fresh()
    text, cure = checked(project, prefix)["role"]
    assert text == f"this login lacks {CLUSTER} in {cloud.place(prefix)}"
    assert cure == (
        'az role assignment create --role "AzureML Compute Operator"'
        f" --assignee 22222222-2222-4222-8222-222222222222 --scope {cloud.place(prefix).path}"
    )
    assert checked(project, prefix, "compute.cluster=null")["role"][1] == ""


@slow
@quiet
def test_what_azure_does_not_tell_is_said_and_no_fault(project, azure):
    prefix = cloud.fresh()
    azure.faults(
        {"kind": "forbidden", "on": "GET *Microsoft.Authorization*"},
        {"kind": "error", "on": "GET */vmSizes"},
        {"kind": "drop", "on": "GET */computes/*"},
    )
    found = checked(project, prefix)
    for name in ("role", "size", "cluster"):
        assert found[name][0].startswith("not known: "), name
        assert found[name][1] == ""
    assert "Microsoft.Authorization/permissions/read" in found["role"][0]


@slow
@quiet
def test_a_workspace_that_may_not_be_read_and_a_subscription_that_is_not_there(project, azure):
    prefix = cloud.fresh()
    azure.faults({"kind": "forbidden", "on": f"GET *{cloud.place(prefix).name}"})
    assert checked(project, prefix)["workspace"][1].startswith("az role assignment create ")
    other = "workspace.subscription_id=11111111-2222-3333-4444-666666666666"
    assert checked(project, prefix, other)["workspace"][1].startswith("az account list ")


@slow
@quiet
@pytest.mark.usefixtures("azure")
def test_nobody_is_logged_in(project, monkeypatch):
    prefix = cloud.fresh()
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    found = checked(project, prefix)
    assert found["login"][1].endswith("az login, then run the same command again")
    assert "workspace" not in found


@slow
@quiet
def test_an_emulator_that_runs_is_asked(project, azure, monkeypatch):
    monkeypatch.setenv("MLOPS_SPEC_EMULATOR", str(azure.state))
    words = ("workspace=emulator", f"workspace.subscription_id={emulation.SUBSCRIPTION}")
    found = checked(project, "new", *words)
    assert found["emulator"][0].endswith("it runs")
    assert found["workspace"] == (f"there is no {cloud.place('new')} yet; a run makes it", "")
    assert found["size"][1] == ""


@slow
@quiet
@pytest.mark.usefixtures("azure")
def test_the_sdk_lists_the_emulator_s_sizes_and_usages():
    ml = emulation.client()
    sizes = {size.name: size.gpus for size in ml.compute.list_sizes(location="westeurope")}
    assert sizes == {name: size.gpus for name, size in azure_sizes.known().items()}
    usages = [*ml.compute.list_usage(location="westeurope")]
    assert {row.limit for row in usages} == {1000}
