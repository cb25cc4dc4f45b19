"""What Terraform says of `infra/`: nothing."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from infra_module import CHECKS, copy, failed, invalid, offline, terraform
from project import CLOUD

from mlops_spec.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment():
    with offline() as env:
        yield env


@pytest.fixture(scope="module")
def _ready(environment, tmp_path_factory):
    """The module, made ready once: the checks write nothing that another reads."""
    folder = copy(tmp_path_factory.mktemp("terraform") / "infra")
    for where in (folder, folder / "bootstrap"):
        assert failed(environment, f"-chdir={where}", "init", "-backend=false") == ""
    return folder


@pytest.mark.parametrize("check", CHECKS)
def test_there_is_nothing_to_say(check, _ready, environment, monkeypatch):
    monkeypatch.chdir(_ready)
    assert CHECKS[check](environment) == ""


def test_who_has_no_azure_devops_leaves_it_out(environment, tmp_path, monkeypatch):
    monkeypatch.chdir(copy(tmp_path / "infra"))
    Path("main.devops.tf").unlink()
    Path("tests/devops.tftest.hcl").unlink()
    assert invalid(environment) == ""
    assert failed(environment, "test", "-filter=tests/main.tftest.hcl") == ""
    asked = failed(environment, "test", "-filter=tests/main.tftest.hcl", f"-var=devops={DEVOPS}")
    assert "made by main.devops.tf, which is not here" in asked


DEVOPS = """{
  organization = "https://dev.azure.com/example", approvers = "Approvers", branch = "main"
  pipelines = {}, environments = {}, secrets = []
}"""


def test_the_commands_that_render_prints_are_terraforms(tmp_path, monkeypatch, environment, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", "+experiment=quickstart", *CLOUD]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " terraform " in line]
    # a state on this disk, in place of the account that needs a subscription
    Path("infra/backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n', "utf-8")
    for line in lines:
        _, chdir, *words = (word for word in shlex.split(line) if "-backend-config" not in word)
        if words[0] == "apply":  # it needs a subscription; this does not, and is what it does first
            words = ["validate"]
        assert failed(environment, chdir, *words) == ""
    assert terraform(environment, "-chdir=infra", "workspace", "show").stdout == "quickstart\n"
