"""Steps as jobs: what their documents say, what they cost, and what is asked of a workspace."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from project import CLOUD, ROOT
from world import Now, World, compose

from mlops_spec import names, registry, remote, road
from mlops_spec.azure import jobs, shelves
from mlops_spec.azure.place import Place
from mlops_spec.errors import SpecError, StateError
from mlops_spec.facts import Facts, Lazy
from mlops_spec.registry import Version
from mlops_spec.render import azureml, environments
from mlops_spec.render import pipeline as pipelines
from mlops_spec.view import money

QUICK = ["+experiment=quickstart", *CLOUD]
HOURLY = 0.293  # USD of the preset's machine, as the list of prices has it
FACTS = Facts("source", code=Lazy(lambda module: {module: "first"}))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def spec(*words):
    return compose(Now([*QUICK, *words]))[1]


def steps(*words):
    return {step.id: step for step in road.steps(spec(*words), FACTS)}


def test_a_plan_says_what_its_jobs_cost_at_most_and_after_a_run_about_what():
    world = World()
    first = world.plan(Now(QUICK))
    assert (first.usd, first.usd_at_most) == (None, pytest.approx(2 * HOURLY))  # an hour each
    assert money(first) == "jobs: 0.59 USD at most (list prices of 2025, East US)"
    world.after({"overrides": QUICK})
    again = world.plan(Now([*QUICK, "training.lr=0.5"]))
    assert again.usd == pytest.approx(3 * HOURLY * 2 / 3600)  # two seconds each, the last time
    assert again.usd_at_most == pytest.approx(3 * HOURLY)
    assert again.document()["usd"] == again.usd
    assert not world.plan(Now(QUICK)).costs
    unknown = World().plan(Now([*QUICK, "compute.vm_size=Standard_Unheard_of"]))
    assert "compute.price_per_hour" in money(unknown)


def test_nodes_and_the_jobs_of_a_pipeline_count_and_a_clock_costs_nothing_now():
    several = World().plan(Now([*QUICK, "compute.nodes=2"]))
    assert several.usd_at_most == pytest.approx(3 * HOURLY)  # two to train, one to judge
    whole = [*QUICK, "compute.shape=pipeline"]
    assert World().plan(Now(whole)).usd_at_most == pytest.approx(3 * HOURLY)
    clock = World().plan(Now([*whole, "compute.schedule='0 6 * * 1'"]))
    assert clock.usd_at_most == pytest.approx(3 * HOURLY)


def test_a_budget_is_about_all_jobs_of_a_run_that_are_not_done():
    enough, little = [*QUICK, "budget.per_run=0.6"], [*QUICK, "budget.per_run=0.5"]
    world = World()
    world.plan(Now(enough))
    with pytest.raises(
        SpecError, match=r"0.5 USD is less than 2 jobs may cost, 0.59 USD"
    ) as caught:
        world.plan(Now(little))
    (problem,) = caught.value.problems
    assert (problem.where, problem.key) == ("command line", "budget.per_run")
    world.after({"overrides": QUICK})
    assert not world.plan(Now(little)).to_run


def test_a_cluster_has_the_identity_that_terraform_makes_and_no_open_port():
    document = azureml.cluster(spec())
    (one,) = document["identity"]["user_assigned_identities"]
    named = names.of("quickstart", spec().workspace)
    assert document["identity"]["type"] == "user_assigned"
    assert one["resource_id"].split("/")[4::4] == [named.resource_group, named.jobs_identity]
    assert "name                = var.names.jobs_identity" in terraform("main.compute.tf")
    assert document["ssh_public_access_enabled"] is False


def terraform(name):
    return (ROOT / "infra" / name).read_text("utf-8")


def test_only_training_is_done_by_several_machines_together():
    found = steps("compute=azureml_gpu_distributed")
    train, evaluate = (found[name].terms["job"] for name in ("train", "evaluate"))
    assert train["resources"] == {"instance_count": 2}
    assert train["distribution"]["process_count_per_instance"] == 4
    assert evaluate["resources"] == {"instance_count": 1}
    assert "distribution" not in evaluate


def test_a_job_waits_for_what_it_runs_on():
    assert steps()["train"].beside == ("environment", "compute")
    assert steps("compute=azureml_serverless")["train"].beside == ("environment",)


def test_a_job_reads_and_writes_where_its_keys_say():
    step = steps()["evaluate"]
    made = azureml.complete(step, "b" * 64, {"train": "a" * 64, "data_asset": "c" * 64})
    assert made["name"] == "quickstart-evaluate-bbbbbbbbbbbb"
    assert made["inputs"]["train"]["path"].endswith(f"/mlops_spec/{'a' * 64}/")
    assert made["outputs"]["out"]["path"].endswith(f"/mlops_spec/{'b' * 64}/")
    assert made["environment_variables"]["MLOPS_SPEC_STEP"] == "b" * 64
    assert azureml.complete(step, "b", {"train": "a"}, "another")["name"] == "another"
    assert "name" not in step.payload["job"], "the document of a plan stays as it is"


def test_words_of_a_command_line_reach_the_shell_whole():
    words = ["run", "two words", "${{data}}", "--model=${{model}}", "${{out}}"]
    step = steps()["train"]
    step = replace(step, payload={"command": words, "environment": {}})
    expected = "run 'two words' ${{inputs.data}} '--model=${{inputs.model}}' ${{outputs.out}}"
    assert azureml.job(step, {})["command"] == expected


def test_a_pipeline_is_rerun_whole_and_bound_from_step_to_step():
    job = pipelines.submitted(steps("compute.shape=pipeline")["pipeline"], "k" * 64, {})
    assert job["settings"]["force_rerun"] is True, "a verdict depends on what is registered"
    promote = job["jobs"]["promote"]
    assert promote["inputs"]["train"] == "${{parent.jobs.train.outputs.out}}"
    assert promote["inputs"]["model"] == "${{parent.inputs.model}}"
    assert promote["inputs"]["spec"] == {"type": "uri_file", "path": "promote.spec.json"}
    assert "register" in promote["environment"]
    assert "register" not in job["jobs"]["train"]["environment"]


def test_what_is_gone_is_made_again_and_says_why():
    wanted = spec()
    data = road.data_step(wanted, "source")
    *_, cluster, _ = remote.before(wanted, data, FACTS)
    gone = replace(FACTS, lost={json.dumps(cluster.payload["document"]): True})
    drifts = {step.id: step.drift for step in remote.before(wanted, data, gone)}
    assert drifts.pop("compute").startswith("it is not in the workspace any more")
    assert set(drifts.values()) == {""}


def test_the_image_that_serves_is_another_one_when_its_dockerfile_is(monkeypatch):
    before = environments.document(spec(), "score")["version"]
    monkeypatch.setattr(environments, "_DOCKERFILE", "FROM {image}\nRUN true\n")
    assert environments.document(spec(), "score")["version"] != before


def test_a_workspace_fits_on_a_command_line():
    for emulator in ("", ".mlops/azure"):
        place = Place("an-id", "a-group", "a-name", emulator)
        assert Place.parse(place.uri) == place
    with pytest.raises(StateError, match="https://a is no address of a workspace"):
        Place.parse("https://a")


def test_the_log_of_the_first_process_is_heard_however_many_there_are():
    heard = ["std_log.txt", "std_log_process_0.txt", "std_log_process_00.txt"]
    others = ["std_log_process_1.txt", "std_log_process_10.txt", "other.txt"]
    found = [name for name in (*heard, *others) if jobs._LOG.fullmatch(f"user_logs/{name}")]
    assert found == heard


def test_a_plan_knows_what_the_workspace_told_the_last_time(monkeypatch):
    place = Place("an-id", "a-group", "a-name")
    assert shelves.told(place, "digits") == []
    version = Version(1, "key", 0, "a/path", champion=True, digest="d", metrics={"accuracy": 0.5})
    shelf = registry.Shelf([version], [], 0, [])
    monkeypatch.setattr("mlops_spec.azure.registry.AzuremlRegistry.look", lambda *_: shelf)
    assert shelves.ask(place, Path("models"), "digits") == [version]
    assert shelves.told(place, "digits") == [version]
    assert shelves.told(Place("an-id", "a-group", "another"), "digits") == []
