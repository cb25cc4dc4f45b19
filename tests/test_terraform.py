"""Infrastructure as a step: the real Terraform, against a cloud that is only made up."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import applying
import pytest
from applying import (
    CLUSTER,
    GROUP,
    STORAGE,
    WORDS,
    View,
    applied,
    performed,
    planned,
    shown,
    wanted,
)
from cloud_provider import LOGIN

from mlops_spec import files, infra_step, run, store
from mlops_spec.cli import main
from mlops_spec.errors import StateError

pytestmark = pytest.mark.slow

NO_SKU = 'creating Compute "cpu": SkuNotAvailable: STANDARD_DS3_V2 is not available in westeurope.'
MORE = "compute.max_nodes=3"


@pytest.fixture
def cloud(tmp_path):
    """A cloud, and this folder with what Terraform reads."""
    with applying.cloud(tmp_path) as made:
        yield made


def test_what_plan_shows_is_made_and_then_there_is_nothing_to_do(cloud, capsys):
    assert main(["plan", *WORDS]) == 0
    shown = capsys.readouterr().out
    assert "infra        never ran\n" in shown
    count = shown.count("  + azurerm_")
    assert f"  {count} to add, 0 to change, 0 to destroy\n" in shown
    assert "  + azurerm_machine_learning_workspace.this\n" in shown
    assert not cloud.resources
    view = View()
    result = performed(*planned(), view)
    assert result.status == "done", result.error
    assert f"{count} added, 0 changed, 0 destroyed" in result.text
    assert any("azurerm_key_vault.this: Creation complete" in line for line in view.lines)
    assert len(cloud.of(STORAGE)) == 1
    again, _now = planned()
    assert again.status == "reuse"
    outputs = files.read_json(store.outputs(again.key) / "outputs.json")
    (vault,) = (cloud.resources[one]["name"] for one in cloud.of("azurerm_key_vault"))
    assert outputs["names"]["key_vault"] == vault


def test_outputs_are_facts_of_the_next_run(cloud):
    applied()
    _, now = planned()
    (workspace,) = cloud.of("azurerm_machine_learning_workspace")
    assert now.infra.outputs["workspace_id"] == workspace
    assert now.document()["infra"]["outputs"]["workspace_id"] == workspace


def test_a_setting_that_changed_is_changed_in_place(cloud):
    applied()
    cloud.applied.clear()
    assert main(["render", *WORDS, MORE]) == 0
    step, now = planned(MORE)
    assert (step.status, step.step.terms["changes"]) == ("run", [f'~ {CLUSTER}.this["cpu"]'])
    assert step.why.startswith("variables.clusters.cpu.max_nodes 2 -> 3")
    assert performed(step, now).status == "done"
    assert cloud.applied == [(CLUSTER, "update")]


def test_what_is_gone_behind_its_back_is_made_again(cloud):
    applied()
    cloud.forget(CLUSTER)
    step, now = planned()
    assert (step.status, step.why) == ("run", "what is there is not as it should be")
    assert performed(step, now).status == "done"
    assert len(cloud.of(CLUSTER)) == 1


def test_another_plan_than_the_one_that_was_shown_is_not_applied(cloud):
    step, now = planned()
    with Path(step.step.terms["saved"]).open("ab") as saved:
        saved.write(b"more")
    result = performed(step, now)
    assert "is not the plan that was shown; nothing was applied" in result.error
    assert not cloud.resources


def test_a_plan_that_went_stale_is_compared_anew(cloud):
    step, now = planned()
    kept = Path(step.step.terms["saved"]).read_bytes()
    assert performed(step, now).status == "done"
    cloud.applied.clear()
    Path(step.step.terms["saved"]).write_bytes(kept)  # as one has it who looked before that
    result = performed(replaced(step), now)
    assert "has changed since its differences were shown; nothing was applied" in result.error
    assert "run the same command again" in result.error
    assert not cloud.applied


def replaced(step):
    """The step under another key, as if nobody had finished it."""
    return replace(step, key=step.key[::-1])


def test_what_fails_half_way_is_continued_by_the_next_run(cloud):
    cloud.fail(CLUSTER, NO_SKU)
    result = performed(*planned())
    assert result.status == "failed"
    assert "the region has not this size" in result.error
    assert f'{CLUSTER}.this["cpu"]: {NO_SKU}' in result.error
    assert "workspace.location" in result.error
    made = len(cloud.applied)
    assert made > 10
    again, now = planned()
    assert again.step.terms["changes"] == [f'+ {CLUSTER}.this["cpu"]']
    assert performed(again, now).status == "done"
    assert len(cloud.applied) == made + 1


def test_who_holds_the_lock_is_named(cloud):
    (step, now), done = planned(), []
    cloud.delay(GROUP, 60)
    other = threading.Thread(target=lambda: done.append(performed(step, now)))
    other.start()
    assert cloud.delayed.wait(120)
    with pytest.raises(StateError, match="works on the same infrastructure since 20") as caught:
        planned_quickly()
    assert "terraform -chdir=infra force-unlock " in caught.value.cure
    cloud.release()
    other.join()
    assert done[0].status == "done"


def planned_quickly():
    """As another person would plan it, who does not wait long for the lock."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlops_spec.terraform.comparison.PATIENCE", "0s")
        return planned(ask=True)


@pytest.mark.usefixtures("cloud")
def test_data_is_not_deleted_by_another_region(capsys):
    applied()
    words = [*WORDS, "workspace.location=northeurope"]
    assert main(["render", *words]) == 0
    assert main(["plan", *words]) == 0
    said = capsys.readouterr().out
    assert "holds data or models and would be deleted" in said
    assert f"not compared: {STORAGE}.this" in said or "not compared: azurerm_" in said


def test_what_would_be_deleted_has_to_be_meant(cloud):
    applied()
    serverless = ("compute.cluster=null",)
    assert main(["render", *WORDS, *serverless]) == 0
    with pytest.raises(StateError, match=f"would delete, or replace, .*{CLUSTER}") as caught:
        planned(*serverless)
    assert caught.value.cure == "if that is meant: infra.destroy=true"
    assert " to destroy: needs infra.destroy=true" in shown(*serverless).step.terms["sum"]
    assert performed(*planned(*serverless, "infra.destroy=true")).status == "done"
    assert not cloud.of(CLUSTER)


@pytest.mark.usefixtures("cloud")
def test_variables_that_were_edited_by_hand_are_not_applied():
    path = Path("infra/quickstart.tfvars.json")
    path.write_text(path.read_text("utf-8").replace("westeurope", "northeurope"), "utf-8")
    with pytest.raises(StateError, match="location is northeurope, should be westeurope") as caught:
        planned(ask=True)
    assert "who wants another value changes the spec" in caught.value.cure


def test_code_that_does_not_keep_to_the_names_is_told_before_it_makes_any(cloud):
    path = Path("infra/main.workspace.tf")
    changed = path.read_text("utf-8").replace("var.names.key_vault", '"kv-mine"')
    path.write_text(changed, "utf-8")
    with pytest.raises(StateError, match="key_vault is kv-mine, should be kv-mlopsq") as caught:
        planned(ask=True)
    assert "workspace.names" in caught.value.cure
    assert not cloud.resources


@pytest.mark.usefixtures("cloud")
def test_code_that_is_not_of_this_program_is_not_applied():
    for path in Path("infra").glob("*.tf"):
        path.unlink()
    Path("infra/main.tf").write_text('resource "terraform_data" "theirs" {}\n', "utf-8")
    with pytest.raises(StateError, match="it has no variables budget, clusters") as caught:
        planned(ask=True)
    assert "render" in caught.value.cure


def test_a_plan_beside_a_run_leaves_it_its_own(cloud):
    step, now = planned(ask=True)
    assert main(["plan", *WORDS]) == 0
    assert performed(step, now).status == "done"
    assert cloud.resources


def test_who_only_looks_waits_for_nobody(cloud):
    (step, now), done = planned(ask=True), []
    cloud.delay(GROUP, 60)
    other = threading.Thread(target=lambda: done.append(performed(step, now)))
    other.start()
    assert cloud.delayed.wait(120)
    assert shown().step.terms["unknown"] == ""
    cloud.release()
    other.join()
    assert done[0].status == "done"


def test_terraform_goes_on_when_nobody_listens_any_more(cloud):
    code = (
        "import sys; from mlops_spec.terraform import binary;"
        "binary.run('quickstart', ['apply', '-input=false', sys.argv[1]], print)"
    )
    step, _ = planned(ask=True)
    cloud.delay(STORAGE, 60)
    words = [sys.executable, "-c", code, step.step.terms["saved"]]
    client = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    assert cloud.delayed.wait(120)
    client.kill()
    client.wait()
    cloud.release()
    state = Path("infra/quickstart.tfstate")
    until(
        lambda: state.exists() and "azurerm_machine_learning_compute_cluster" in state.read_text()
    )
    until(lambda: not shown().step.terms["unknown"] and not shown().step.terms["changes"])


def until(true):
    """Waits for something that another process is about to do."""
    deadline = time.monotonic() + 90
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.usefixtures("cloud")
def test_where_nothing_differs_no_plan_is_kept_and_none_is_needed():
    applied()
    step, now = planned()
    assert step.step.terms["saved"] == ""
    assert {path.name for path in Path(".mlops/terraform/quickstart").iterdir()} == {"data"}
    result = performed(replaced(step), now)  # as by somebody who applied from another folder
    assert (result.status, result.text) == ("done", "as the spec wants it")


def test_an_output_that_is_new_is_told_and_applied(cloud):
    applied()
    cloud.applied.clear()
    Path("infra/mine.tf").write_text('output "mine" {\n  value = 1\n}\n', "utf-8")
    step, now = planned()
    assert step.step.terms["changes"] == ["+ output.mine"]
    assert step.step.terms["sum"] == "0 to add, 0 to change, 0 to destroy"
    assert performed(step, now).status == "done"
    assert cloud.applied == []
    assert planned()[1].infra.outputs["mine"] == 1


@pytest.mark.usefixtures("cloud")
def test_a_state_that_is_here_is_moved_before_it_is_kept_elsewhere():
    applied()
    words = [*WORDS, "infra.remote_state=true"]
    assert main(["render", *words]) == 0
    spec, _ = wanted("infra.remote_state=true")
    with pytest.raises(StateError, match="the state is on this machine still") as caught:
        run.read_facts(spec)
    assert "init -migrate-state -backend-config=quickstart.backend.json" in caught.value.cure


@pytest.mark.usefixtures("cloud")
def test_what_the_shell_would_have_terraform_do_otherwise_is_not_done(monkeypatch):
    monkeypatch.setenv("TF_CLI_ARGS_plan", "-target=nothing.here")
    monkeypatch.setenv("TF_WORKSPACE", "another")
    assert len(planned(ask=True)[0].step.terms["changes"]) > 10


@pytest.mark.usefixtures("cloud")
def test_nobody_is_logged_in(monkeypatch, capsys):
    monkeypatch.delenv("ARM_CLIENT_ID")
    with pytest.raises(StateError, match="nobody is logged in to Azure"):
        planned(ask=True)
    assert main(["plan", *WORDS]) == 0
    assert "not compared: nobody is logged in to Azure" in capsys.readouterr().out


def test_a_login_that_azure_does_not_take(cloud):
    cloud.fail(LOGIN, "building account: could not acquire access token: please run `az login`")
    with pytest.raises(StateError, match="nobody is logged in to Azure") as caught:
        planned(ask=True)
    assert "ARM_USE_OIDC" in caught.value.cure


@pytest.mark.usefixtures("cloud")
def test_without_terraform(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StateError, match="there is none on the PATH") as caught:
        planned(ask=True)
    assert "developer.hashicorp.com" in caught.value.cure


@pytest.mark.usefixtures("cloud")
def test_an_old_terraform(monkeypatch, tmp_path):
    old = tmp_path / "terraform"
    old.write_text('#!/bin/sh\necho \'{"terraform_version": "1.5.7"}\'\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(StateError, match=r"terraform 1\.5\.7 is too old: infra/ needs 1\.11"):
        planned(ask=True)


def test_somebody_else_applies(cloud):
    assert main(["render", *WORDS, "infra.apply=false"]) == 0
    step, now = planned("infra.apply=false")
    result = performed(step, now)
    assert result.status == "failed"
    command = result.error.partition("apply it: ")[2]
    assert "to add, 0 to change" in result.error
    assert not cloud.resources
    subprocess.run(command, shell=True, check=True, capture_output=True)  # noqa: S602 - as told
    again, now = planned("infra.apply=false")
    assert not again.step.terms["changes"]
    assert performed(again, now).status == "done"


def test_an_interruption_ends_what_has_begun_and_the_next_run_continues(cloud):
    cloud.delay(STORAGE, 60)
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    code += "import applying as t; t.performed(*t.planned())"
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    client = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert cloud.delayed.wait(120)
    client.send_signal(signal.SIGINT)
    _, said = client.communicate()
    assert client.returncode == -signal.SIGINT
    assert "Terraform finishes what it has begun" in said
    assert len(cloud.of(GROUP)) == 1
    again, now = planned()
    assert f"+ {GROUP}.this" not in again.step.terms["changes"]
    assert performed(again, now).status == "done"


@pytest.mark.usefixtures("cloud")
def test_no_secret_of_azures_is_kept_but_in_the_state():
    view = View()
    assert performed(*planned(), view).status == "done"
    assert "secret-" not in "".join(view.lines)
    state = Path("infra/quickstart.tfstate")
    assert "secret-" in state.read_text("utf-8")  # what it would look like
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    for path in Path(".mlops").rglob("*"):
        assert not path.is_file() or b"secret-" not in path.read_bytes(), path
    left = {path.name for path in Path(".mlops/terraform/quickstart").iterdir()}
    assert left <= {"data"}, "no plan, and nothing that was said"


@pytest.mark.usefixtures("cloud")
def test_a_workspace_that_is_yet_to_be_made_is_not_asked():
    _, now = planned(ask=True)  # there is no Azure that it could ask
    assert now.infra.makes(infra_step.WORKSPACE)
    assert now.versions == ()
    assert now.lost.get("anything", False)
