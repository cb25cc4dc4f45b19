"""A copy of `infra/`, Terraform with providers that know their schemas, and what it can be asked.

Each check answers with what is wrong, nothing if all is well; the module is the current folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import hcl2
import pytest
from infra_variables import FULL, LEAST
from project import ROOT

INFRA = ROOT / "infra"
SHARED = ROOT.parent / "shared"
SCHEMAS = SHARED / "terraform" / "schemas.json"
DESCRIPTIONS = SHARED / "azure" / "openapi" / "arm-schemas"
TOPICS = sorted(path.name.split(".")[0] for path in INFRA.glob("tests/*.tftest.hcl"))
PROVIDERS = ("azurerm", "azapi", "azuredevops")


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
    """A copy of the module without what Terraform has left there; its state is on this disk."""
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars.json")
    shutil.copytree(INFRA, folder, ignore=ignored)
    local = {"terraform": {"backend": {"local": {}}}}
    (folder / "backend_override.tf.json").write_text(json.dumps(local), "utf-8")
    return folder


def spoil(file, old, new):
    """Replaces a text of a file, where it is first."""
    path = Path(file)
    text = path.read_text("utf-8")
    assert old in text, f"{file} has no {old}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def terraform(env, *words):
    return subprocess.run(
        ["terraform", *words], env=env, capture_output=True, text=True, check=False
    )


def failed(env, *words):
    """What a command says that failed or warned, nothing if it went well."""
    answer = terraform(env, *words, "-no-color")
    lines = " ".join((answer.stdout + answer.stderr).split())  # it breaks lines at 78
    return lines if answer.returncode or "Warning: " in lines else ""


def invalid(env, *where):
    """Errors and warnings of `validate`."""
    said = failed(env, *where, "init", "-input=false")
    answer = json.loads(terraform(env, *where, "validate", "-json").stdout)
    return said + "\n".join(f"{d['summary']}: {d.get('detail')}" for d in answer["diagnostics"])


def first_apply(env):
    """Plans in which no id is known yet, as before a first apply: everything, or the least."""
    wanted = {"full": FULL, "private": {**FULL, "private": True}, "least": LEAST}
    runs = {name: {"command": "plan", "variables": values} for name, values in wanted.items()}
    tests = {"mock_provider": {name: {} for name in PROVIDERS}, "variables": FULL, "run": runs}
    Path("tests/first.tftest.json").write_text(json.dumps(tests, indent=1), "utf-8")
    return failed(env, "test", "-filter=tests/first.tftest.json")


def bootstrap(env):
    where = "-chdir=bootstrap"
    return invalid(env, where) + failed(env, where, "test")


WAITS = {  # of what must exist before something else, without being named by it
    ("azurerm_machine_learning_workspace.this", "azurerm_role_assignment.workspace"),
    ("azurerm_machine_learning_compute_cluster.this", "azurerm_role_assignment.jobs"),
    ("azurerm_kubernetes_cluster.this", "azurerm_role_assignment.kubernetes"),
    ("azurerm_kubernetes_cluster.this", "azurerm_role_assignment.nodes"),
    ("azurerm_kubernetes_cluster_extension.azureml", "azapi_resource.kubernetes_access"),
    ("azapi_resource.kubernetes_compute", "azurerm_kubernetes_cluster_extension.azureml"),
    ("azapi_resource.kubernetes_compute", "azurerm_role_assignment.kubernetes_attach"),
    ("azurerm_linux_web_app.this", "azurerm_role_assignment.web"),
    ("azuredevops_variable_group.secrets", "azurerm_federated_identity_credential.devops"),
    ("azuredevops_variable_group.secrets", "azurerm_role_assignment.devops"),
}


def unordered(env):
    """The pairs that Terraform would not wait for."""
    graph = terraform(env, "graph").stdout
    return "\n".join(sorted(f"{a} -> {b}" for a, b in WAITS if f'"{a}" -> "{b}"' not in graph))


def resources():
    """(kind, name) -> body, of the resources of the module and of the one beside it."""
    for path in sorted(Path().glob("**/*.tf")):
        for block in hcl2.loads(path.read_text("utf-8")).get("resource", ()):
            for kind, named in block.items():
                for name, body in named.items():
                    yield (kind.strip('"'), name.strip('"')), body


KEPT = {  # what Terraform must refuse to destroy, and what is not its own to change
    "azurerm_storage_account.this": "prevent_destroy",
    "azurerm_storage_container.this": "prevent_destroy",
    "azurerm_machine_learning_workspace.this": "prevent_destroy",
    "azuredevops_git_repository.this": "prevent_destroy",
    "azurerm_linux_web_app.this": "docker_image_name",
    "azurerm_consumption_budget_resource_group.this": "time_period",
    "azurerm_role_assignment.submitter": "principal_id",
    "azurerm_machine_learning_compute_instance.this": "assign_to_user",
}


def unkept(_env):
    """Of KEPT, what Terraform may destroy or take for its own."""
    found = [(".".join(key), body) for key, body in resources() if ".".join(key) in KEPT]
    assert {name for name, _ in found} == KEPT.keys()
    said = {"prevent_destroy": "may be destroyed"}
    return "\n".join(
        f"{name}: {said.get(KEPT[name], KEPT[name])}"
        for name, body in found
        if not re.search(rf"{KEPT[name]}(?!.*False)", str(body.get("lifecycle")))
    )


def _deprecated(block, body, path):
    """Arguments on their way out, in a block and in those inside it."""
    for name, attribute in block.get("attributes", {}).items():
        if attribute.get("deprecated") and name in body:
            yield f"{path}.{name}"
    for name, nested in block.get("block_types", {}).items():
        written = [*body.get(name, ())]
        for dynamic in body.get("dynamic", ()):
            written += [
                c for part in dynamic.get(f'"{name}"', {}).get("content", ()) for c in [part]
            ]
        for inside in written:
            yield from _deprecated(nested["block"], inside, f"{path}.{name}")


def deprecated(_env):
    """Arguments on their way out, which only the real providers would warn of."""
    known = {}
    for provider in provider_schemas().values():
        known |= provider["resource_schemas"]
    return "\n".join(
        line
        for (kind, _), body in resources()
        for line in _deprecated(known[kind]["block"], body, kind)
    )


def undescribed(_env):
    """Of what azapi sends untyped, what Microsoft's description of the attached compute lacks."""
    body = dict(resources())["azapi_resource", "kubernetes_compute"]
    version = body["type"].strip('"').partition("@")[2]
    file = DESCRIPTIONS / version / "Microsoft.MachineLearningServices.json"
    if not file.exists():
        return f"no description of {version}"
    known = json.loads(file.read_text("utf-8"))["definitions"]
    compute = known["Compute"]["allOf"][0]["properties"] | known["Kubernetes"]["properties"]
    sent = body["body"]["properties"]
    odd = [*(sent.keys() - compute.keys())]
    odd += sent["properties"].keys() - known["KubernetesProperties"]["properties"].keys()
    if sent["computeType"].strip('"') not in compute["computeType"]["oneOf"][0]["enum"]:
        odd.append("computeType")
    return "\n".join(sorted(odd))


CHECKS = {
    "fmt": lambda env: failed(env, "fmt", "-check", "-recursive", "-diff"),
    "validate": invalid,
    "first apply": first_apply,
    "order": unordered,
    "kept": unkept,
    "deprecated": deprecated,
    "described": undescribed,
    "bootstrap": bootstrap,
    **{
        f"test {topic}": lambda env, topic=topic: failed(
            env, "test", f"-filter=tests/{topic}.tftest.hcl"
        )
        for topic in TOPICS
    },
}
