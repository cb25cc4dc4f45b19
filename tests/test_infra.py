"""What Terraform says of `infra/`: nothing."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import hcl2
import pytest
from infra_module import (
    CHECKS,
    INFRA,
    copied,
    failed,
    invalid,
    provider_schemas,
    surroundings,
    terraform,
)
from project import TERRAFORM
from schema_provider import serving

from mlops_spec.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment():
    with serving(provider_schemas()) as reattach:
        yield surroundings(reattach)


@pytest.fixture(scope="module")
def ready(environment, tmp_path_factory):
    """The module, made ready once: no check changes what another reads."""
    folder = copied(tmp_path_factory.mktemp("terraform") / "infra")
    assert failed(environment, f"-chdir={folder}", "init") == ""
    return folder


@pytest.mark.parametrize("check", CHECKS)
def test_there_is_nothing_to_say(check, ready, environment, monkeypatch):
    monkeypatch.chdir(ready)
    assert CHECKS[check](environment) == ""


def test_the_state_is_opened_by_a_role(environment, tmp_path):
    folder = shutil.copytree(INFRA, tmp_path / "infra")
    where = f"-chdir={folder}"
    assert failed(environment, where, "init", "-backend=false") == ""
    assert failed(environment, where, "validate") == ""
    (settings,) = hcl2.loads((folder / "backend.tf").read_text("utf-8"))["terraform"]
    (backend,) = settings["backend"]
    assert backend['"azurerm"']["use_azuread_auth"] is True


def test_who_has_no_azure_devops_leaves_it_out(environment, tmp_path, monkeypatch):
    monkeypatch.chdir(copied(tmp_path / "infra"))
    Path("main.devops.tf").unlink()
    Path("tests/devops.tftest.hcl").unlink()
    assert invalid(environment) == ""
    assert failed(environment, "test", "-filter=tests/main.tftest.hcl") == ""


def test_the_commands_that_render_prints_are_terraforms(tmp_path, monkeypatch, environment, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", "+experiment=quickstart", *TERRAFORM, "infra.remote_state=false"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " terraform " in line]
    for line in lines:
        _, chdir, *words = shlex.split(line)
        if words[0] == "apply":  # it needs a subscription; this does not, and is what it does first
            words = ["validate"]
        assert failed(environment, chdir, *words) == ""
    assert terraform(environment, "-chdir=infra", "workspace", "show").stdout == "default\n"
