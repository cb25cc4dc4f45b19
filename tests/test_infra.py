"""What Terraform says of `infra/`: nothing, and of each seeded fault the right thing."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path

import hcl2
import pytest
from project import CLOUD, ROOT, shipped_composer
from schema_provider import serving

from mlops_spec.cli import main
from mlops_spec.render.terraform import variables
from mlops_spec.validate import parse

INFRA = ROOT / "infra"
AZURERM = "registry.terraform.io/hashicorp/azurerm"
SCHEMAS = ROOT.parent / "shared" / "terraform" / "schemas.json"


@cache
def rendered():
    """The variables of a spec that has a cluster."""
    composition = shipped_composer().compose(["+experiment=quickstart", *CLOUD])
    return variables(parse(composition.values, composition.origins, composition.problems))


REFUSED = {  # one value that each rule of variables.tf refuses
    "subscription_id": "quickstart",
    "location": "West Europe",
    "tags": {"a/b": "c"},
    "names.resource_group": "ends-with-a-dot.",
    "names.workspace": "-quickstart",
    "names.storage_account": "st-quickstart",
    "names.key_vault": "kv--quickstart",
    "names.container_registry": "cr-quickstart",
    "names.log_analytics": "log",
    "names.application_insights": "appi/quickstart",
    "cluster.name": "1cpu",
    "cluster.vm_priority": "Spot",
    "cluster.min_nodes": 3,
    "cluster.max_nodes": 0,
    "cluster.idle": "10 minutes",
}


def replaced(values, dotted, value):
    """The variables with one of them, or one key of it, set otherwise."""
    name, _, key = dotted.partition(".")
    return {name: {**values[name], key: value} if key else value}


def rules():
    """A test file in JSON: the rendered variables are accepted, each of REFUSED is not."""
    accepted = {"cluster": rendered(), "no_cluster": {"cluster": None}}
    runs = {name: {"command": "plan", "variables": values} for name, values in accepted.items()}
    for dotted, value in REFUSED.items():
        runs[dotted.replace(".", "_")] = {
            "command": "plan",
            "variables": replaced(rendered(), dotted, value),
            "expect_failures": [f"var.{dotted.partition('.')[0]}"],
        }
    return {"mock_provider": {"azurerm": {}}, "variables": rendered(), "run": runs}


def declared():
    """Variable -> the keys of its object, none for other types; in the current folder."""
    blocks = hcl2.loads(Path("variables.tf").read_text("utf-8"))["variable"]
    return {
        name.strip('"'): set(re.findall(r"(\w+) = ", body["type"]))
        for block in blocks
        for name, body in block.items()
    }


def unmatched_keys():
    """Keys that only one side has; Terraform drops them in silence."""
    asked, given = declared(), rendered()
    odd = [*(asked.keys() ^ given.keys())]
    for name in asked.keys() & given.keys():
        if asked[name]:
            odd += [f"{name}.{key}" for key in asked[name] ^ given[name].keys()]
    return "\n".join(sorted(odd))


def terraform(env, *words):
    return subprocess.run(
        ["terraform", *words], env=env, capture_output=True, text=True, check=False
    )


def failed(env, *words):
    """What a failed command says, nothing if it went well."""
    answer = terraform(env, *words, "-no-color")
    lines = " ".join((answer.stdout + answer.stderr).split())  # it breaks lines at 78
    return lines if answer.returncode else ""


def invalid(env):
    """Errors and warnings of `validate`."""
    said = failed(env, "init", "-backend=false", "-input=false")
    answer = json.loads(terraform(env, "validate", "-json").stdout)
    return said + "\n".join(f"{d['summary']}: {d.get('detail')}" for d in answer["diagnostics"])


def unruly(env):
    Path("tests/rules.tftest.json").write_text(json.dumps(rules(), indent=1), "utf-8")
    return failed(env, "test", "-filter=tests/rules.tftest.json")


def unordered(env):
    """Of what must exist before something else, the pairs that Terraform would not wait for."""
    graph = terraform(env, "graph").stdout
    waits = {
        ("azurerm_machine_learning_workspace.this", "azurerm_role_assignment.workspace"),
        ("azurerm_machine_learning_compute_cluster.this", "azurerm_role_assignment.jobs"),
    }
    return "\n".join(f"{a} -> {b}" for a, b in waits if f'"{a}" -> "{b}"' not in graph)


def deprecated(_env):
    """Arguments on their way out, which only the real provider would warn of."""
    provider = json.loads(SCHEMAS.read_text("utf-8"))["provider_schemas"][AZURERM]
    gone = {
        (kind, name)
        for kind, schema in provider["resource_schemas"].items()
        for name, attribute in schema["block"]["attributes"].items()
        if attribute.get("deprecated")
    }
    used = set()
    for path in Path().glob("*.tf"):
        for block in hcl2.loads(path.read_text("utf-8")).get("resource", ()):
            for kind, named in block.items():
                used |= {(kind.strip('"'), name) for body in named.values() for name in body}
    return "\n".join(f"{kind}.{name}" for kind, name in sorted(used & gone))


CHECKS = {
    "fmt": lambda env: failed(env, "fmt", "-check", "-recursive", "-diff"),
    "validate": invalid,
    "test": lambda env: failed(env, "test", "-filter=tests/main.tftest.hcl"),
    "rules": unruly,
    "order": unordered,
    "deprecated": deprecated,
}


def provider_schemas():
    """Source -> part of `terraform providers schema`; skips where Terraform can not be asked."""
    if not shutil.which("terraform"):
        pytest.skip("LOUD: no terraform on the PATH, infra/ is not checked")
    if not SCHEMAS.exists():
        pytest.skip("LOUD: no provider schemas beside the repository, infra/ is not checked")
    return json.loads(SCHEMAS.read_text("utf-8"))["provider_schemas"]


def surroundings(reattach):
    """Environment of a Terraform that asks these providers and nobody else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return {
        **clean,
        "TF_REATTACH_PROVIDERS": reattach,
        "TF_CLI_CONFIG_FILE": os.devnull,
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
    }


def copied(folder):
    """A copy of the module, without what Terraform has left there."""
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*")
    return Path(shutil.copytree(INFRA, folder, ignore=ignored))


@pytest.fixture(scope="module")
def environment():
    with serving(provider_schemas()) as reattach:
        yield surroundings(reattach)


@pytest.fixture
def infra(tmp_path, monkeypatch):
    """A copy of the module, which is the current folder."""
    copied(tmp_path / "infra")
    monkeypatch.chdir(tmp_path / "infra")
    return tmp_path / "infra"


def spoil(folder, old, new):
    """Replaces a text in the one file that has it, where it is first."""
    (path,) = (path for path in folder.glob("*.tf") if old in path.read_text("utf-8"))
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.usefixtures("infra")
def test_there_is_nothing_to_say(check, environment):
    assert CHECKS[check](environment) == ""


@pytest.mark.usefixtures("infra")
def test_what_is_rendered_is_what_is_declared():
    assert unmatched_keys() == ""


@pytest.mark.usefixtures("infra")
def test_every_name_has_a_rule_that_is_tried():
    assert {f"names.{name}" for name in rendered()["names"]} <= REFUSED.keys()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('variable "location"', 'variable "region"', "location\nregion"),
        ('variable "tags"', 'variable "colour" {\n  type = string\n}\n\nvariable "tags"', "colour"),
        ("    key_vault            = string\n", "", "names.key_vault"),
        (
            "    idle        = string\n",
            "    idle_for    = string\n",
            "cluster.idle\ncluster.idle_for",
        ),
    ],
)
def test_a_key_that_one_side_lacks_is_seen(old, new, said, infra):
    spoil(infra, old, new)
    assert unmatched_keys() == said


IDENTITY = """
  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.workspace.id]
  }
"""
JOBS = (
    'count = var.cluster == null ? 0 : 1\n\n  name                = "${var.names.workspace}-jobs"'
)
VAULT_ID = "key_vault_id                   = azurerm_key_vault.this.id"
STORAGE_ID = VAULT_ID.replace("azurerm_key_vault", "azurerm_storage_account")
RBAC = "rbac_authorization_enabled"
VAULT_ROLE = "vault          = { scope = azurerm_key_vault.this.id"

FAULTS = {  # text, what replaces it, the check that sees it, part of what it says
    "layout": ("admin_enabled  ", "admin_enabled", "fmt", "admin_enabled"),
    "argument name": ("admin_enabled ", "admin_user ", "validate", "Unsupported argument"),
    "argument type": ("= 30 ", "= [30] ", "validate", "number required"),
    "no argument": ('  sku_name                   = "standard"\n', "", "validate", "sku_name"),
    "no block": (IDENTITY, "", "validate", "Insufficient identity blocks"),
    "reference": (VAULT_ID, VAULT_ID.replace("this", "main"), "validate", "undeclared resource"),
    "attribute": ("current.object_id", "current.me", "validate", "Unsupported attribute"),
    "variable": ("var.cluster.vm_size", "var.cluster.size", "validate", "Unsupported attribute"),
    "deprecated": (RBAC, "enable_rbac_authorization", "deprecated", "enable_rbac"),
    "kind of id": (VAULT_ID, STORAGE_ID, "test", "Microsoft.Storage/storageAccounts/a."),
    "kind of name": ("= var.names.storage_account", "= var.names.key_vault", "test", "otherwise"),
    "keys": ("  shared_access_key_enabled       = false\n", "", "test", "account accepts keys"),
    "datastore": ('"Identity"', '"AccessKey"', "test", "storage with a key"),
    "admin": ("admin_enabled       = false", "admin_enabled       = true", "test", "admin account"),
    "ssh": ("  ssh_public_access_enabled     = false", "", "test", "open SSH port"),
    "tags": (f"  tags{27 * ' '}= var.tags\n", "", "test", "lacks the tags"),
    "nodes": ("= var.cluster.min_nodes", "= var.cluster.max_nodes", "test", "scales otherwise"),
    "whose": ("jobs[0].id]", "workspace.id]", "test", "cluster has another identity"),
    "role": (VAULT_ROLE, VAULT_ROLE.replace("key_vault", "resource_group"), "test", "beyond"),
    "register": ("AzureML Data Scientist", "Reader", "test", "not register models"),
    "count": (JOBS, JOBS.replace("? 0", "? 1"), "test", "an identity of jobs"),
    "loose rule": ("^[a-z0-9]{3,24}$", ".", "rules", 'run "names_storage_account"... fail'),
    "tight rule": ("^[a-z0-9]{3,24}$", "^[a-z]{9}$", "rules", 'run "cluster"... fail'),
    "too early": (
        "  depends_on = [azurerm_role_assignment.w",
        "  # [",
        "order",
        "assignment.workspace",
    ),
}


@pytest.mark.slow
def test_the_commands_that_render_prints_are_terraforms(tmp_path, monkeypatch, environment, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", "+experiment=quickstart", *CLOUD]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " terraform " in line]
    for line in lines:
        _, chdir, *words = shlex.split(line)
        if words[0] == "apply":  # it needs a subscription; this does not, and is what it does first
            words = ["validate"]
        assert failed(environment, chdir, *words) == ""
    assert terraform(environment, "-chdir=infra", "workspace", "show").stdout == "quickstart\n"


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault, infra, environment):
    old, new, check, said = FAULTS[fault]
    spoil(infra, old, new)
    assert said in CHECKS[check](environment)
