"""The cloud that the tests of infra/ apply to behaves as one: the real Terraform plans, applies,
notices what changed behind its back, and ends what failed half-way."""

from __future__ import annotations

import json
import re
import time

import pytest
from cloud_provider import ALWAYS, LOGIN, Cloud
from infra_module import copied, provider_schemas
from infra_variables import rendered
from invented_values import TENANT, WHO
from terraform_site import ended, objections, opened

pytestmark = pytest.mark.slow

CLUSTER = "azurerm_machine_learning_compute_cluster"
WORKSPACE = "azurerm_machine_learning_workspace"
GROUP = "azurerm_resource_group"
NO_SKU = 'creating Compute "cpu": SkuNotAvailable: STANDARD_DS3_V2 is not available in westeurope.'
NO_LOGIN = "building account: could not acquire access token: please run `az login`"
STALE = (
    "The given plan file can no longer be applied because the state was changed by another "
    "operation after the plan was created."
)
REPLACING = {(GROUP, "location"), (CLUSTER, "vm_size")}


def until(true):
    """Waits for something that is about to happen in another thread."""
    deadline = time.monotonic() + 90
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def schemas():
    return provider_schemas()


@pytest.fixture
def site(tmp_path, monkeypatch, schemas):
    monkeypatch.chdir(tmp_path)  # what is composed is what is shipped
    with opened(copied(tmp_path / "infra"), schemas, Cloud(REPLACING)) as made:
        yield made


@pytest.fixture
def applied(site):
    """A site whose infra is there."""
    site.plan()
    assert site.apply() == []
    return site


def test_what_was_planned_is_made_and_nothing_is_left_to_do(site):
    planned = site.plan()
    assert set(planned.values()) == {"create"}
    assert site.cloud.resources == {}
    assert site.apply() == []
    assert len(site.cloud.resources) == len(site.cloud.applied) == len(planned)
    assert planned.keys() == site.state()
    assert site.plan() == {}


def test_ids_and_addresses_are_azures(applied):
    names, cloud = rendered()["names"], applied.cloud
    group = (
        f"/subscriptions/{rendered()['subscription_id']}/resourceGroups/{names['resource_group']}"
    )
    assert cloud.of(GROUP) == [group]
    workspace = (
        f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{names['workspace']}"
    )
    assert cloud.of(WORKSPACE) == [workspace]
    assert cloud.of(CLUSTER) == [f"{workspace}/computes/cpu"]
    (vault,) = cloud.of("azurerm_key_vault")
    assert cloud.resources[vault]["vault_uri"] == f"https://{names['key_vault']}.vault.azure.net/"


def test_what_azure_decides_is_there_and_nothing_else(applied):
    cloud = applied.cloud
    granted = {cloud.resources[one]["principal_id"] for one in cloud.of("azurerm_role_assignment")}
    identities = cloud.of("azurerm_user_assigned_identity")
    assert granted == {
        WHO["object_id"],
        *(cloud.resources[one]["principal_id"] for one in identities),
    }
    assert {cloud.resources[one]["tenant_id"] for one in identities} == {TENANT}
    (workspace,) = cloud.of(WORKSPACE)
    assert cloud.resources[workspace]["identity"][0]["tenant_id"] == TENANT
    (registry,) = cloud.of("azurerm_container_registry")
    assert cloud.resources[registry]["network_rule_set"] == []


def test_a_variable_changes_in_place_and_another_replaces(applied):
    larger = {**rendered()["clusters"]["cpu"], "max_nodes": 7}
    other = {**larger, "vm_size": "Standard_E4s_v3"}
    address = f'{CLUSTER}.this["cpu"]'
    assert applied.plan(clusters={"cpu": larger}) == {address: "update"}
    assert applied.apply() == []
    assert applied.cloud.applied[-1] == (CLUSTER, "update")
    (cluster,) = applied.cloud.of(CLUSTER)
    assert applied.cloud.resources[cluster]["scale_settings"][0]["max_node_count"] == 7
    assert applied.plan(clusters={"cpu": other}) == {address: "replace"}
    assert applied.apply() == []
    assert applied.cloud.applied[-2:] == [(CLUSTER, "delete"), (CLUSTER, "create")]


def test_what_was_deleted_behind_its_back_is_planned_anew(applied):
    assert len(applied.cloud.forget(CLUSTER)) == 1
    assert applied.plan() == {f'{CLUSTER}.this["cpu"]': "create"}
    assert applied.apply() == []
    assert applied.plan() == {}


def test_what_was_changed_behind_its_back_is_put_right(applied):
    (workspace,) = applied.cloud.of(WORKSPACE)
    applied.cloud.resources[workspace]["tags"]["managed-by"] = "hand"
    assert applied.plan() == {f"{WORKSPACE}.this": "update"}
    assert applied.apply() == []
    assert applied.cloud.resources[workspace]["tags"]["managed-by"] == "mlops_spec"


def test_what_failed_half_way_is_finished_by_the_next(site):
    planned = site.plan()
    site.cloud.fail(CLUSTER, NO_SKU)
    assert site.apply() == [(NO_SKU, "")]
    assert planned.keys() - site.state() == {f'{CLUSTER}.this["cpu"]'}
    assert site.plan() == {f'{CLUSTER}.this["cpu"]': "create"}
    assert site.apply() == []
    assert site.plan() == {}


def test_what_always_fails_fails_again(site):
    site.cloud.fail(GROUP, NO_SKU, ALWAYS)
    for _ in range(2):
        site.plan()
        assert site.apply() == [(NO_SKU, "")]
    assert site.cloud.resources == {}


def test_without_a_login_nothing_is_planned(site):
    site.asks_for({})
    site.cloud.fail(LOGIN, NO_LOGIN)
    assert objections(site.run("plan", "-json")) == [(NO_LOGIN, "")]
    assert site.plan() != {}


def test_what_is_there_but_not_in_the_state_is_not_made_again(applied):
    (applied.folder / "terraform.tfstate").unlink()
    applied.plan()
    ((summary, detail),) = applied.apply()
    (group,) = applied.cloud.of(GROUP)
    assert summary.startswith(f'A resource with the ID "{group}" already exists')
    assert detail == ""


def test_a_stale_plan_is_refused(site):
    site.plan()
    (site.folder / "saved").rename(site.folder / "older")
    site.plan()
    assert site.apply() == []
    (site.folder / "older").rename(site.folder / "saved")
    before = list(site.cloud.applied)
    assert site.apply() == [("Saved plan is stale", STALE)]
    assert site.cloud.applied == before


def test_of_two_at_once_the_second_is_told_of_the_lock(site):
    site.plan()
    first = site.half_way()
    ((summary, detail),) = site.apply()
    assert summary == "Error acquiring the state lock"
    assert re.search(r"^Lock Info:\n  ID:        [0-9a-f-]{36}$", detail, re.MULTILINE)
    assert "OperationTypeApply" in detail
    site.cloud.release()
    assert objections(ended(first)) == []
    assert site.plan() == {}


def test_interrupted_it_ends_what_it_began_and_the_next_goes_on(site):
    planned = site.plan()
    first = site.half_way()
    first.terminate()
    assert set(objections(ended(first))) == {("execution halted", "")}
    assert site.cloud.applied == [(GROUP, "create")]
    assert site.plan().keys() == planned.keys() - {f"{GROUP}.this"}


def test_killed_it_does_not_know_what_it_made(site):
    planned = site.plan()
    first = site.half_way()
    first.kill()
    ended(first)
    site.cloud.release()
    until(lambda: site.cloud.applied)
    assert site.plan() == planned  # the lock of a local state goes with its process
    ((summary, _),) = site.apply()
    assert "already exists" in summary


def test_destroyed_nothing_is_left(applied):
    applied.plan()
    assert "lifecycle.prevent_destroy" in str(
        objections(applied.run("destroy", "-auto-approve", "-json"))
    )
    for path in applied.folder.glob("main.*.tf"):  # who wants to lose data and models says so there
        text = path.read_text("utf-8")
        path.write_text(text.replace("prevent_destroy = true", "prevent_destroy = false"), "utf-8")
    assert objections(applied.run("destroy", "-auto-approve", "-json")) == []
    assert applied.cloud.resources == {}
    assert applied.state() == set()


def required(block):
    """The least that a block of a schema takes, and what is never to be kept."""
    given = {
        name: sample(attribute)
        for name, attribute in block.get("attributes", {}).items()
        if attribute.get("required") or attribute.get("write_only")
    }
    for name, inner in block.get("block_types", {}).items():
        if inner.get("min_items"):
            given[name] = [required(inner["block"])]
    return given


def sample(attribute):
    if inner := attribute.get("nested_type"):
        return required(inner)
    kind = attribute["type"]
    simple = {"string": "x", "number": 1, "bool": True, "dynamic": {"a": ["b", 1]}}
    return simple[kind] if isinstance(kind, str) else {} if kind[0] == "map" else []


def everything(schemas):
    """A module that has one of each resource and data source, all it takes and no more."""
    module = {"terraform": {"required_providers": {}}, "resource": {}, "data": {}, "provider": {}}
    for source, given in schemas.items():
        name = source.rpartition("/")[2]
        module["terraform"]["required_providers"][name] = {"source": source}
        module["provider"][name] = required(given["provider"]["block"])
        for part, kinds in (("resource", "resource_schemas"), ("data", "data_source_schemas")):
            for kind, schema in given[kinds].items():
                arguments = required(schema["block"])
                named = {"name": kind} if "name" in arguments else {}
                module[part][kind] = {"one": {**arguments, **named}}
    return module


def test_it_serves_all_that_the_schemas_have(tmp_path, schemas):
    module = everything(schemas)
    (tmp_path / "main.tf.json").write_text(json.dumps(module), "utf-8")
    cloud = Cloud()
    with opened(tmp_path, schemas, cloud) as site:
        assert objections(site.run("apply", "-auto-approve", "-json")) == []
        assert set(cloud.kinds.values()) == module["resource"].keys()
        assert site.run("plan", "-detailed-exitcode").returncode == 0
        assert objections(site.run("destroy", "-auto-approve", "-json")) == []
    assert cloud.resources == {}
