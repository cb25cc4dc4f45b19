"""The variables of `infra/`: their keys are those that are rendered, and each rule refuses."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path

import hcl2
import pytest
import yaml
from infra_module import INFRA, failed, provider_schemas, spoil, surroundings
from infra_variables import FULL, LEAST, of_every_experiment

REFUSED = {  # values that a rule refuses, by the variable and the keys of it that have them
    "subscription_id": ["quickstart"],
    "location": ["West Europe"],
    "tags": [{"a/b": "c"}, {"a": "b" * 257}, {str(n): "" for n in range(51)}],
    "names.resource_group": ["ends-with-a-dot."],
    "names.workspace": ["-quickstart"],
    "names.storage_account": ["st-quickstart"],
    "names.key_vault": ["kv--quickstart", "kv-quickstart-"],
    "names.container_registry": ["cr-quickstart"],
    "names.log_analytics": ["log"],
    "names.application_insights": ["appi/quickstart"],
    "names.workspace_identity": ["id"],
    "names.jobs_identity": ["-jobs"],
    "names.kubernetes_identity": ["k" * 123],
    "names.web_identity": ["id.web"],
    "names.devops_identity": ["d" * 129],
    "names.compute_instance": ["ci-quickstart-1", "ci"],
    "names.kubernetes": ["aks_quickstart", "k" * 55],
    "names.kubernetes_compute": ["aks-quickstart-0a", "aks-1"],
    "names.custom_vision_training": ["CVT"],
    "names.custom_vision_prediction": ["cvp-"],
    "names.service_plan": ["asp_quickstart"],
    "names.web_app": ["-app"],
    "names.virtual_network": ["vnet-"],
    "names.budget": ["a budget"],
    "names.devops_project": ["_project", "project."],
    "names.devops_repository": ["repository/one"],
    "clusters": [{"1cpu": FULL["clusters"]["cpu"]}],
    "clusters.cpu.vm_priority": ["Spot"],
    "clusters.cpu.min_nodes": [3, -1],
    "clusters.cpu.max_nodes": [0],
    "clusters.cpu.idle": ["10 minutes", "PT"],
    "instance.owner": ["me@example.com"],
    "kubernetes.min_nodes": [0, 4],
    "kubernetes.max_nodes": [1001],
    "kubernetes.tls.secret": ["Scoring_TLS"],
    "kubernetes.tls.host": ["scoring", "https://scoring.example.com"],
    "custom_vision.sku": ["F1"],
    "web.sku": ["F1", "D1", "EP1"],
    "web.image": ["frontend", "registry.io/frontend", "Frontend:latest"],
    "web.health": ["healthz"],
    "devops.organization": ["https://example.visualstudio.com", "example"],
    "devops.approvers": [" "],
    "devops.branch": ["refs/heads/main", ""],
    "devops.pipelines": [{"train": "/ado/train.yml"}, {"train": "ado/train"}, {"a/b": "c.yml"}],
    "devops.environments": [{"pro/duction": True}],
    "devops.secrets": [["scoring_key"]],
    "budget.amount": [0],
    "budget.emails": [[], ["owner"]],
}


def replaced(dotted, value):
    """The variable with one of its keys set otherwise."""
    name, *keys = dotted.split(".")
    values = deepcopy({name: FULL[name]})
    inside = values
    for key in [name, *keys][:-1]:
        inside = inside[key]
    inside[[name, *keys][-1]] = value
    return values


def rules():
    """A test file in JSON: variables are accepted, each of REFUSED is not."""
    accepted = {"full": FULL, "least": LEAST, "private": {"private": True}}
    runs = {name: {"command": "plan", "variables": values} for name, values in accepted.items()}
    for dotted, values in REFUSED.items():
        for number, value in enumerate(values):
            runs[f"{dotted.replace('.', '_')}_{number}"] = {
                "command": "plan",
                "variables": replaced(dotted, value),
                "expect_failures": [f"var.{dotted.partition('.')[0]}"],
            }
    project = FULL["names"]["devops_project"]
    runs["one_name_for_two"] = {
        "command": "plan",
        "variables": replaced("names.devops_repository", project.upper()),
        "expect_failures": ["var.devops"],
    }
    return {"variables": FULL, "run": runs}


def unruly(env):
    Path("tests").mkdir(exist_ok=True)
    Path("tests/rules.tftest.json").write_text(json.dumps(rules(), indent=1), "utf-8")
    return failed(env, "test", "-filter=tests/rules.tftest.json")


def shape(text):
    """Of a type: a dict of an object's, a list of the one of a map or list, else its name."""
    for old, new in (
        ("object({", "{"),
        ("})", "}"),
        ("map(", "["),
        ("list(", "["),
        (")", "]"),
        (" =", ":"),
    ):
        text = text.replace(old, new)
    return yaml.safe_load(text.removeprefix("${").removesuffix("}") if "${" in text else text)


def declared():
    """Variable -> the shape of its type; in the current folder."""
    blocks = [
        b
        for p in Path().glob("variables*.tf")
        for b in hcl2.loads(p.read_text("utf-8"))["variable"]
    ]
    return {
        name.strip('"'): shape(body["type"]) for block in blocks for name, body in block.items()
    }


def unmatched(asked, given, path=""):
    """Keys that only one side has; Terraform drops them in silence."""
    if isinstance(asked, list) and given:
        for value in given.values() if isinstance(given, dict) else given:
            yield from unmatched(asked[0], value, path)
    elif isinstance(asked, dict) and given is not None:
        yield from (f"{path}{key}" for key in asked.keys() ^ given.keys())
        for key in asked.keys() & given.keys():
            yield from unmatched(asked[key], given[key], f"{path}{key}.")


def unmatched_keys():
    return "\n".join(sorted(unmatched(declared(), FULL)))


@pytest.fixture
def variables(tmp_path, monkeypatch):
    """The variables alone, which a plan refuses without any provider; the current folder."""
    for path in INFRA.glob("variables*.tf"):
        shutil.copy(path, tmp_path)
    (tmp_path / "main.devops.tf").touch()
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def environment():
    provider_schemas()  # no provider is asked, but without Terraform there is nothing to ask
    return surroundings("{}")


@pytest.mark.usefixtures("variables")
def test_what_is_rendered_is_what_is_declared():
    assert unmatched_keys() == ""


def test_everything_is_wanted_in_what_is_compared():
    assert {name for name, value in FULL.items() if value in (None, {})} == set()
    assert FULL.keys() == LEAST.keys()


def test_every_name_has_a_rule_that_is_tried():
    assert {f"names.{name}" for name in FULL["names"]} <= REFUSED.keys()


@pytest.mark.usefixtures("variables")
def test_every_variable_has_a_rule_that_is_tried():
    assert declared().keys() - {"private"} == {dotted.partition(".")[0] for dotted in REFUSED}


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("variables.tf", 'variable "location"', 'variable "region"', "location\nregion"),
        ("variables.names.tf", "    key_vault                = string\n", "", "names.key_vault"),
        (
            "variables.tf",
            "    idle        = string\n",
            "    idle_for    = string\n",
            "clusters.idle\nclusters.idle_for",
        ),
        ("variables.tf", "      secret = string\n", "", "kubernetes.tls.secret"),
        ("variables.devops.tf", "    branch       = string\n", "", "devops.branch"),
        (
            "variables.tf",
            'variable "tags"',
            'variable "colour" {\n  type = string\n}\n\nvariable "tags"',
            "colour",
        ),
    ],
)
@pytest.mark.usefixtures("variables")
def test_a_key_that_one_side_lacks_is_seen(file, old, new, said):
    spoil(file, old, new)
    assert unmatched_keys() == said


@pytest.mark.slow
@pytest.mark.usefixtures("variables")
def test_what_every_experiment_renders_is_accepted(environment, tmp_path):
    found = of_every_experiment(tmp_path)
    runs = {name: {"command": "plan", "variables": values} for name, values in found.items()}
    Path("tests").mkdir()
    document = {"variables": FULL, "run": runs}
    Path("tests/experiments.tftest.json").write_text(json.dumps(document), "utf-8")
    assert failed(environment, "test", "-filter=tests/experiments.tftest.json") == ""
    for values in found.values():
        assert list(unmatched(declared(), values)) == []


@pytest.mark.slow
@pytest.mark.usefixtures("variables")
def test_each_rule_refuses_what_azure_would(environment):
    assert unruly(environment) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("variables.names.tf", "^[a-z0-9]{3,24}$", ".", 'run "names_storage_account_0"... fail'),
        ("variables.names.tf", "^[a-z0-9]{3,24}$", "^[a-z]{9}$", 'run "full"... fail'),
        ("variables.names.tf", "{2,121}", "{2,127}", 'run "names_kubernetes_identity_0"... fail'),
        (
            "variables.tf",
            "for k in var.kubernetes[*] : 1 <=",
            "for k in var.kubernetes[*] : 0 <=",
            'run "kubernetes_min_nodes_0"... fail',
        ),
        ("variables.tf", '["F0", "S0"]', '["F0"]', 'run "full"... fail'),
        (
            "variables.tf",
            "1 <= length(b.emails)",
            "0 <= length(b.emails)",
            'run "budget_emails_0"... fail',
        ),
        (
            "variables.devops.tf",
            '"\\\\S", d.approvers',
            '".", d.approvers',
            'run "devops_approvers_0"... fail',
        ),
    ],
)
@pytest.mark.usefixtures("variables")
def test_a_loose_or_tight_rule_is_seen(file, old, new, said, environment):
    spoil(file, old, new)
    assert said in unruly(environment)


@pytest.mark.slow
@pytest.mark.usefixtures("variables")
def test_azure_devops_is_refused_where_its_file_was_left_out(environment):
    Path("main.devops.tf").unlink()
    assert "made by main.devops.tf, which is not here" in unruly(environment)
