"""Terraform's state in Azure: its real backend, without keys, in blob storage on this machine."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import applying
import emulation
import pytest
from applying import GROUP

from mlops_spec import names
from mlops_spec.cli import main
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from cloud_provider import Cloud

pytestmark = pytest.mark.slow

SITES = 12  # no fewer than there are tests: each has a store of its own
EMPTY, NOWHERE = SITES, SITES + 1  # an account in which nothing is, and none
_numbers = count()


@dataclass
class Site:
    """A subscription in which nothing is but the store of Terraform's state."""

    azure: emulation.Emulator
    cloud: Cloud
    words: tuple[str, ...]

    def applied(self):
        return applying.applied(*self.words)

    def planned(self):
        return applying.planned(*self.words)

    def shown(self):
        return applying.shown(*self.words)

    def render(self, *more):
        assert main(["render", *applying.WORDS, *self.words, *more]) == 0

    def asked(self, method, **query):
        """How the store answered such requests for the state."""
        return [
            one["status"]
            for one in emulation.exchanges(self.azure.state)
            if one["method"] == method
            and one["url"] == f"https://{store(self.words)}/quickstart.tfstate"
            and query.items() <= one["query"].items()
        ]


def words(number):
    return ("infra.remote_state=true", f"workspace.prefix=t{number}")


def store(own):
    """Where states of this prefix are kept."""
    place = names.state(applying.wanted(*own)[0].workspace)
    return f"{place.storage_account}.blob.core.windows.net/{place.container}"


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    """What `infra/bootstrap` makes, several times, in an emulator."""
    containers = []
    for number in (*range(SITES), EMPTY):
        where = store(words(number)).replace(".blob.core.windows.net", "")
        containers += ["--container", f"{where}-of-others" if number == EMPTY else where]
    with emulation.running(tmp_path_factory.mktemp("azure") / "state", *containers) as one:
        yield one


@pytest.fixture
def site(azure, tmp_path, monkeypatch):
    """Seen from a pipeline, whose identity is federated."""
    azure.faults()
    number = next(_numbers)
    assert number < SITES
    own = words(number)
    with applying.cloud(tmp_path, *own) as cloud:
        for name in ("CLIENT_ID", "TENANT_ID"):
            monkeypatch.setenv(f"ARM_{name}", os.environ[f"AZURE_{name}"])
        monkeypatch.setenv("ARM_USE_OIDC", "true")
        monkeypatch.setenv("ARM_OIDC_TOKEN", os.environ["AZURE_CLIENT_SECRET"])
        yield Site(azure, cloud, own)


def test_a_colleague_finds_what_was_applied_elsewhere(site, tmp_path, monkeypatch):
    site.applied()
    assert site.asked("PUT", comp="lease")
    assert not list(tmp_path.glob("infra/*.tfstate"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    site.render()
    step, now = site.planned()
    assert step.step.terms["changes"] == []
    assert now.infra.outputs["workspace_id"] in site.cloud.resources


def test_who_holds_the_lock_is_named(site, monkeypatch):
    monkeypatch.setattr("mlops_spec.terraform.comparison.PATIENCE", "0s")
    (step, now), done = site.planned(), []
    site.cloud.delay(GROUP, 60)
    other = threading.Thread(target=lambda: done.append(applying.performed(step, now)))
    other.start()
    assert site.cloud.delayed.wait(120)
    with pytest.raises(StateError, match="works on the same infrastructure since 20") as caught:
        site.planned()
    site.cloud.release()
    other.join()
    assert done[0].status == "done"
    assert "terraform -chdir=infra force-unlock " in caught.value.cure


def test_a_lock_that_nobody_holds_any_more_is_removed_as_told(site, monkeypatch):
    monkeypatch.setattr("mlops_spec.terraform.comparison.PATIENCE", "0s")
    step, _ = site.planned()
    site.cloud.delay(GROUP, 60)
    words = ["terraform", "-chdir=infra", "apply", step.step.terms["saved"]]
    data = {"TF_DATA_DIR": str(Path(".mlops/terraform/quickstart/data").resolve())}
    other = subprocess.Popen(words, env={**os.environ, **data}, stdout=subprocess.DEVNULL)
    assert site.cloud.delayed.wait(120)
    other.kill()
    other.wait()
    site.cloud.release()
    with pytest.raises(StateError, match="works on the same infrastructure since 20") as caught:
        site.planned()
    command = caught.value.cure.removeprefix("wait; if nobody does any more: ")
    subprocess.run(command, shell=True, check=True, input="yes\n", text=True)  # noqa: S602 - as told
    assert site.planned()[0].step.terms["changes"]


def test_a_state_that_was_here_is_moved_as_told(site):
    local = "infra.remote_state=false"
    applying.applied(*site.words, local)
    site.render()
    with pytest.raises(StateError, match="the state is on this machine still") as caught:
        site.planned()
    command, _, then = caught.value.cure.removeprefix("move it: ").partition("; then ")
    assert then == "delete the file"
    subprocess.run(command, shell=True, check=True, input="yes\n", text=True)  # noqa: S602 - as told
    Path("infra/quickstart.tfstate").unlink()
    step, _ = site.planned()
    assert step.step.terms["changes"] == []


def test_a_store_that_nobody_has_made(site, capsys):
    own = words(EMPTY)
    site.render(*own)
    with pytest.raises(StateError, match="nobody has made it") as caught:
        applying.planned(*own)
    assert "by the commands that `render` prints" in caught.value.cure
    assert main(["plan", *applying.WORDS, *own]) == 0
    assert "not compared: the store of Terraform's state" in capsys.readouterr().out


def test_a_store_behind_a_proxy_that_does_not_lead_there(site, monkeypatch):
    monkeypatch.setattr("mlops_spec.terraform.binary._BACKEND_SECONDS", 2)
    own = words(NOWHERE)
    site.render(*own)
    with pytest.raises(StateError, match="has not answered in 2 s") as caught:
        applying.planned(*own)
    assert "the proxy" in caught.value.cure


def test_a_pipeline_whose_identity_is_not_known(site, monkeypatch):
    monkeypatch.setenv("ARM_OIDC_TOKEN", "somebody else's")
    with pytest.raises(StateError, match="Azure does not take this login") as caught:
        site.planned()
    assert "has to be federated" in caught.value.cure


def test_who_may_not_read_the_state_is_told_which_role_it_takes(site):
    site.azure.faults({"kind": "forbidden", "on": "GET *.blob.core.windows.net/tfstate*"})
    with pytest.raises(StateError, match="this login may not read or write Terraform's state") as e:
        site.planned()
    assert "Storage Blob Data Contributor" in e.value.cure


def test_who_may_only_read_it_is_told_so_too(site):
    site.azure.faults({"kind": "forbidden", "on": "PUT *.tfstate"})
    with pytest.raises(StateError, match="this login may not read or write Terraform's state"):
        site.planned()
    assert site.shown().step.terms["unknown"] == ""  # to look takes no lock


def test_a_store_that_is_busy_is_asked_again(site):
    site.azure.faults({"kind": "throttle", "on": "PUT *.tfstate*", "count": 2})
    site.applied()
    assert site.asked("PUT")[:2] == [429, 429]


@pytest.mark.parametrize(("token", "status"), [(None, 403), ("Bearer made.up.token", 401)])
@pytest.mark.usefixtures("azure")
def test_who_has_no_token_is_not_let_in(token, status):
    assert listed({"Authorization": token}) == status


@pytest.mark.usefixtures("azure")
def test_who_has_one_is_however_the_header_is_spelt():
    from azure.identity import DefaultAzureCredential

    token = DefaultAzureCredential().get_token("https://storage.azure.com/.default").token
    assert listed({"authorization": f"bearer {token}"}) == 200


def listed(headers):
    """How a store answers who wants to know what is in it."""
    import requests

    where = f"https://{store(words(0))}?restype=container&comp=list"
    return requests.get(where, headers=headers, timeout=60).status_code
