"""From an empty subscription to a registered model in one command: the real Terraform makes what
the spec stands on, Azure's own SDK trains there; the cloud of both is made up, on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cloud
import pytest
from cloud_provider import Cloud
from infra_module import provider_schemas, surroundings
from schema_provider import serving
from toyproject import make

from mlops_spec.azure import client
from mlops_spec.azure import emulation as engine

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
GROUP, WORKSPACE = "azurerm_resource_group", "azurerm_machine_learning_workspace"
CLUSTER = "azurerm_machine_learning_compute_cluster"
AFTER = ["data", "environment", "data_asset", "train", "evaluate", "gate", "report", "publish"]


class Azure(Cloud):
    """What Terraform makes; workspace and cluster are those that the SDK finds then."""

    def __init__(self, place):
        super().__init__()
        self.place = place

    def apply(self, kind, block, prior, planned):
        made = super().apply(kind, block, prior, planned)
        if kind == WORKSPACE and made:
            assert (made["name"], made["resource_group_name"]) == (
                self.place.name,
                self.place.group,
            )
            engine.ensure_workspace(self.place, client.token(), client.MANAGEMENT)
        if kind == CLUSTER and made:
            from azure.ai.ml.entities import AmlCompute

            with client.opened(self.place, lambda _: None) as ml:
                wanted = AmlCompute(name=made["name"], size=made["vm_size"])
                ml.compute.begin_create_or_update(wanted).result()
        return made


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[tuple]:
    """A project, and a subscription in which nothing is."""
    schemas = provider_schemas()
    place = cloud.place("empty")
    made = Azure(place)
    state = tmp_path_factory.mktemp("emulator") / "state"
    context = pytest.MonkeyPatch.context
    with cloud.running(state), serving(schemas, made) as reattach, context() as patch:
        for name, value in surroundings(reattach).items():
            patch.setenv(name, value)
        patch.setenv("ARM_CLIENT_ID", "whoever")
        yield make(tmp_path_factory.mktemp("project") / "toy"), made


def words(*more):
    return cloud.words("empty", "infra=terraform", "infra.remote_state=false", *more)


def run(project, *more):
    """Exit code, and what became of each step, in order."""
    answer = project.call("run", "--json", *words(*more))
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    ended = {event["id"]: event["status"] for event in events if event["event"] == "result"}
    return answer.returncode, ended, answer


def test_one_command_makes_it_all_and_the_next_has_nothing_to_do(site):
    project, made = site
    assert project.call("render", *words()).returncode == 0
    code, ended, answer = run(project)
    assert code == 0, answer.stdout + answer.stderr
    assert ended == dict.fromkeys(["infra", *AFTER, "register"], "done")
    assert len(made.of(WORKSPACE)) == len(made.of(CLUSTER)) == 1
    facts = json.loads(max(project.path.glob("runs/*/facts.json")).read_text("utf-8"))
    assert "+ azurerm_resource_group.this" in facts["infra"]["changes"]
    code, ended, answer = run(project)
    assert (code, set(ended.values())) == (0, {"reused"}), answer.stdout + answer.stderr


def test_more_machines_are_made_and_nothing_is_trained(site):
    project, made = site
    more = "compute.max_nodes=3"
    assert project.call("render", *words(more)).returncode == 0
    made.applied.clear()
    code, ended, answer = run(project, more)
    assert code == 0, answer.stdout + answer.stderr
    assert {step for step, status in ended.items() if status == "done"} == {"infra"}
    assert made.applied == [(CLUSTER, "update")]


def test_what_can_not_be_made_keeps_jobs_from_being_submitted(site):
    project, made = site
    made.fail(CLUSTER, "creating Compute: SkuNotAvailable: not available in westeurope.")
    changes = ("compute.max_nodes=4", "training.rounds=2")
    assert project.call("render", *words(*changes)).returncode == 0
    code, ended, answer = run(project, *changes)
    assert code == 5, answer.stdout + answer.stderr
    assert (ended["infra"], ended["train"]) == ("failed", "skipped")
