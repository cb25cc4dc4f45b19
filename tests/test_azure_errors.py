"""Everything that Azure can refuse: one message with its cure, no traceback, and no secret left."""

import os
import re
from dataclasses import replace

import cloud
import pytest
from toyproject import make

from mlops_spec.actions import Context, azureml
from mlops_spec.actions._said import Said
from mlops_spec.azure import client
from mlops_spec.azure import emulation as engine
from mlops_spec.errors import StateError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
AGAIN = "then run the same command again"


@pytest.fixture
def prefix(azure):  # noqa: ARG001 - there must be one
    return cloud.fresh()


class Told:
    """What a command said, in a project of its own, after the looks that every failure gets."""

    def __init__(self, project, words):
        answer = project.call(*words)
        self.code = answer.returncode
        self.text = answer.stdout + answer.stderr
        assert "Traceback" not in self.text
        logs = [*project.path.glob("runs/*/run.log")]
        assert all("Traceback" not in log.read_text("utf-8") for log in logs)
        (project.path / "said.txt").write_text(self.text, "utf-8")
        secret = os.environ.get("AZURE_CLIENT_SECRET", "of no login")
        assert cloud.leaks(project.path, secret) == []
        failed = re.findall(r"^(\w+): failed: (.*)\n  (.*)", self.text, re.MULTILINE)
        self.failed = {step: (message, cure) for step, message, cure in failed}
        self.last = tuple(line.strip() for line in self.text.splitlines()[-2:])


@pytest.fixture
def told(tmp_path):
    project = make(tmp_path / "project")

    def run(prefix, *words):
        return Told(project, cloud.words(prefix, *words))

    return run


def without(monkeypatch, *names):
    for name in names:
        monkeypatch.delenv(name)


def test_of_a_service_principal_something_is_missing(told, prefix, monkeypatch):
    without(monkeypatch, "AZURE_CLIENT_SECRET")
    found = told(prefix)
    assert found.code == 1
    message = "nobody is logged in to Azure: of a service principal AZURE_CLIENT_SECRET is not set"
    assert found.last == (message, f"set it, or az login, {AGAIN}")


def test_nobody_is_logged_in(told, prefix, monkeypatch):
    without(monkeypatch, "AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")
    found = told(prefix)
    assert found.code == 1
    assert found.last[0].startswith("nobody is logged in to Azure: no service principal, ")
    assert found.last[1].startswith("az login (or set AZURE_TENANT_ID, ")


def test_a_wrong_secret(told, prefix, monkeypatch):
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong-secret-of-a-test")
    found = told(prefix)
    assert found.code == 1
    said = "Azure does not take the login: AADSTS7000215: Invalid client secret provided."
    assert found.last[0] == said
    assert found.last[1].startswith("set AZURE_CLIENT_SECRET to one that is valid, ")


def test_a_token_that_azure_does_not_take(told, prefix, monkeypatch):
    monkeypatch.setattr(client, "identity", Forger)
    found = told(prefix)
    assert found.code == 1
    assert found.last[0].startswith("Azure does not take the login: ")
    assert found.last[1] == f"az login, {AGAIN}"


class Forger:
    """Whose tokens nobody has signed."""

    def get_token(self, *_, **__):
        from azure.core.credentials import AccessToken

        return AccessToken("eyJhbGciOiJIUzI1NiJ9.eyJ0aWQiOiJ0aGVyZSJ9.c2lnbmF0dXJl", 2**31)


def test_no_subscription_no_group_and_no_workspace(told, prefix):
    other = "11111111-2222-3333-4444-666666666666"
    found = told(prefix, f"workspace.subscription_id={other}")
    assert found.code == 1
    assert found.last[0] == f"there is no subscription {other} for this login"
    assert found.last[1].startswith("az account list ")
    found = told("nogroup")
    assert found.code == 1
    assert found.last[0].startswith(f"there is no {cloud.place('nogroup')}: ")
    assert "Resource group" in found.last[0]
    assert found.last[1].startswith("make it: infra=terraform ")


def test_a_workspace_that_was_deleted_while_its_group_stays(told, azure):
    assert azure.process.poll() is None
    gone = cloud.place("gone")
    engine.ensure_workspace(replace(gone, name="mlw-other"), client.token(), client.MANAGEMENT)
    found = told("gone")
    assert found.last[0].startswith(f"there is no {gone}: (ResourceNotFound)")


def test_no_right_to_read(told, azure, prefix):
    azure.faults({"kind": "forbidden", "on": "GET https://management*/models/*"})
    found = told(prefix)
    assert found.code == 1
    where = cloud.place(prefix)
    right = "Microsoft.MachineLearningServices/workspaces/models/versions/read"
    assert found.last[0] == f"this login may not do that in {where}: {right}"
    assert found.last[1].endswith(f"--scope {where.path}")


def test_no_right_to_make_things_names_the_role_for_each(told, azure, prefix):
    azure.faults({"kind": "forbidden", "on": "PUT https://management*", "count": 9})
    found = told(prefix)
    assert found.code == 5
    who, roles = "22222222-2222-4222-8222-222222222222", {}
    for step, (message, cure) in found.failed.items():
        assert message.startswith(f"this login may not do that in {cloud.place(prefix)}: ")
        role = re.match('az role assignment create --role "(.*)" --assignee (.*) --scope /', cure)
        assert role[2] == who
        roles[step] = (message.rpartition("/workspaces/")[2], role[1])
    assert roles == {
        "environment": ("environments/versions/write", "AzureML Data Scientist"),
        "compute": ("computes/write", "AzureML Compute Operator"),
        "data_asset": ("data/versions/write", "AzureML Data Scientist"),
    }


LASTING = {
    "conflict": ({}, "somebody else changes the same in ", "run the same command again"),
    "throttle": ({"seconds": 1}, "Azure asks for patience: ", f"wait a minute, {AGAIN}"),
    "error": ({"status": 503}, "Azure has trouble (503): ", f"wait a minute, {AGAIN}"),
    "drop": ({}, "Azure does not answer: ", f"look at the network and the proxy, {AGAIN}"),
}


@pytest.mark.parametrize("kind", LASTING)
def test_trouble_that_outlasts_the_patience_of_the_sdk(told, azure, prefix, kind):
    more, begin, cure = LASTING[kind]
    azure.faults({"kind": kind, "on": "PUT */environments/*", "count": 99, **more})
    found = told(prefix, "compute.cluster=null")
    assert found.code == 5
    assert found.failed.keys() == {"environment"}
    assert found.failed["environment"][0].startswith(begin)
    assert found.failed["environment"][1] == cure
    azure.faults()


def test_a_cluster_of_another_size(told, azure, prefix):
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import AmlCompute
    from azure.identity import DefaultAzureCredential

    where = cloud.place(prefix)
    names = (where.subscription, where.group, where.name)
    ml = MLClient(DefaultAzureCredential(), *names, enable_telemetry=False)
    ml.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS12_v2")).result()
    azure.faults({"kind": "forbidden", "on": "PUT */environments/*"})  # no job is to run
    found = told(prefix)
    assert found.code == 5
    message, cure = found.failed["compute"]
    assert message.startswith("cluster cpu is of Standard_DS12_v2, dedicated: not Standard_DS3_v2")
    assert cure == "set compute.cluster=ANOTHER_NAME, or delete it"


def test_a_cluster_that_could_not_be_made_is_made_again(told, azure, prefix):
    forbidden = {"kind": "forbidden", "on": "PUT */environments/*"}  # no job is to run
    azure.faults({"kind": "failed_operation", "on": "PUT */computes/*"}, forbidden)
    found = told(prefix)
    assert found.code == 5
    message, cure = found.failed["compute"]
    assert message.startswith(f"Azure refuses that in {cloud.place(prefix)}: (EmulatedFault)")
    assert cure.startswith("python -m mlops_spec check ")
    azure.faults(forbidden)
    found = told(prefix)
    assert found.failed.keys() == {"environment"}
    assert "cluster cpu made again" in found.text


def test_a_signature_that_has_run_out_during_an_upload(told, azure, prefix):
    forbidden = {"kind": "forbidden", "on": "PUT */environments/*"}  # no job is to run
    azure.faults({"kind": "expired_sas", "on": "POST */listSecrets"}, forbidden)
    found = told(prefix)
    assert found.code == 5
    where = cloud.place(prefix)
    message = f"the storage of {where} does not take the signature, which may have run out"
    cure = f"look at this machine's clock and the storage account's network rules, {AGAIN}"
    assert found.failed["data_asset"] == (message, cure)
    azure.faults({"kind": "expired_sas", "on": "POST */startPendingUpload"})
    assert told(prefix).failed["train"][0] == message


@pytest.mark.usefixtures("azure")
def test_a_signature_that_has_run_out_during_a_download():
    with (
        pytest.raises(StateError, match="does not take the signature"),
        client.told(cloud.place("any")),
    ):
        raise wrapped()


def wrapped():
    """What the SDK makes of a refused download: an error of its own that quotes it."""
    import requests
    from azure.ai.ml.exceptions import MlException
    from azure.core.exceptions import ClientAuthenticationError

    error = ClientAuthenticationError("Server failed to authenticate the request.")
    error.status_code = 403
    error.response = requests.Response()
    error.response.request = requests.Request("GET", "https://a.blob.core.windows.net/c?sig=x")
    made = MlException(f"Saving blob was unsuccessful. exception={error}", "")
    made.__context__ = error
    return made


SIGNED = "https://a.blob.core.windows.net/c/b?sv=1&sig=%2FabcdefABCDEF0123456789%2Bzyx%3D&se=2"
BEARER = "eyJhbGciOiJIUzI1NiJ9.eyJ0aWQiOiJ0aGVyZSJ9.c2lnbmF0dXJlLW9m"


def test_an_error_that_nobody_knows_leaves_no_secret_either(tmp_path, prefix, monkeypatch):
    def fail(*_):
        raise RuntimeError(f"{SIGNED} Bearer {BEARER}")

    monkeypatch.setattr(azureml.provision, "ensure", fail)
    project = make(tmp_path / "project")
    answer = project.call(*cloud.words(prefix))
    assert answer.returncode == 5
    (log,) = project.path.glob("runs/*/run.log")
    assert "Traceback" in log.read_text("utf-8")  # it is a bug: where, is told
    (project.path / "said.txt").write_text(answer.stdout + answer.stderr)
    assert cloud.leaks(project.path) == []


def test_what_a_process_says_leaves_no_secret_either(tmp_path):
    said = []
    context = Context(tmp_path, {}, said.append, "key")
    with (tmp_path / "log.txt").open("w") as log:
        Said(context, log).hear(f"downloading {SIGNED} with {BEARER}")
    assert cloud.leaks(tmp_path) == []
    assert said == ["downloading https://a.blob.core.windows.net/c/b?sv=1***&se=2 with ***"]


def test_secrets_are_found(tmp_path):
    texts = {
        "a": "?sig=***&se=1",
        "b": SIGNED,
        "c": f"Bearer {BEARER}",
        "d": "AccountKey=1",
        "e": "x",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    assert cloud.leaks(tmp_path, "x") == ["b", "c", "d", "e"]
