import builtins
import io
import json
import os
import random
import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from world import Now, World, compose, record

import deployers
from mlops_spec.facts import Facts, Lazy
from mlops_spec.plan import plan
from mlops_spec.registry import Version
from mlops_spec.steps import Step, keys_of

QUICKSTART = ["+experiment=quickstart"]
CHAMPION = Version(1, "someone else's training", 0, ".mlops/models/digits/other", champion=True)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def made_facts(**changes):
    made = Facts(source="images", code=Lazy(lambda module: {module: "first"}))
    return replace(made, **changes)


def plan_of(*overrides, **changes):
    composition, spec = compose(Now([*QUICKSTART, *overrides]))
    return plan(spec, made_facts(**changes), composition.origins)


def keys_with(*overrides, **changes):
    return {p.step.id: p.key for p in plan_of(*overrides, **changes).steps}


def forbid(monkeypatch, owner, *names):
    def refuse(*_args, **_more):
        raise AssertionError(f"a plan used {owner.__name__}")

    for name in names:
        monkeypatch.setattr(owner, name, refuse)


def test_a_plan_uses_no_clock_network_randomness_or_file(monkeypatch):
    composition, spec = compose(Now([*QUICKSTART, "benchmark=majority"]))
    facts = made_facts(versions=(CHAMPION,))
    expected = plan(spec, facts, composition.origins)
    with monkeypatch.context() as patch:
        forbid(patch, time, "time", "time_ns", "monotonic", "perf_counter", "sleep", "localtime")
        forbid(patch, random, "random", "randrange", "choice", "shuffle", "getrandbits")
        forbid(patch, socket, "socket", "create_connection", "getaddrinfo")
        forbid(patch, os, "urandom", "getenv", "open", "mkdir", "replace")
        forbid(patch, builtins, "open")
        forbid(patch, io, "open")
        forbid(patch, Path, "open", "read_bytes", "read_text", "write_bytes", "write_text")
        again = plan(spec, facts, composition.origins)
    assert again == expected


def test_the_same_inputs_give_the_same_plan_byte_for_byte():
    documents = [json.dumps(plan_of(versions=(CHAMPION,)).document()) for _ in range(2)]
    assert documents[0] == documents[1]


def test_a_plan_survives_json():
    document = plan_of("benchmark=majority", versions=(CHAMPION,)).document()
    assert (
        json.loads(json.dumps(document))["steps"][0]["step"]["payload"]
        == document["steps"][0]["step"]["payload"]
    )


def test_a_plan_does_not_change_its_inputs():
    composition, spec = compose(Now(QUICKSTART))
    before = spec.model_dump_json()
    plan(spec, made_facts(), composition.origins)
    assert spec.model_dump_json() == before


def test_every_placeholder_of_a_command_can_be_filled():
    for planned in plan_of("benchmark=majority", versions=(CHAMPION,)).steps:
        text = " ".join(planned.step.payload["command"])
        named = {*re.findall(r"\$\{\{(\w+)\}\}", text)}
        read = {*planned.step.needs, *planned.step.beside}
        assert {"spec", "out"} <= named <= {"spec", "out", *read}


def test_the_place_of_the_database_is_told_to_training_and_no_part_of_its_key():
    here, there = (plan_of(f"workspace.database={path}") for path in ("a.db", "/b/c.db"))
    one, other = (next(p for p in todo.steps if p.step.id == "train") for todo in (here, there))
    assert one.key == other.key
    assert one.step.payload == other.step.payload
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
    assert [one.step.variables[name] for name in names] == ["sqlite:///a.db", "digits"]
    assert [other.step.variables[name] for name in names] == ["sqlite:////b/c.db", "digits"]


def test_every_step_comes_after_what_it_needs():
    seen = set()
    for planned in plan_of("benchmark=majority", versions=(CHAMPION,)).steps:
        assert {*planned.step.needs, *planned.step.beside} <= seen
        seen.add(planned.step.id)


# Keys, from made-up requests

FIRST = Step("first", "local.run", {"command": ["a"]}, code=("one",))
SECOND = Step("second", "local.run", {"command": ["b"], "source": 1}, ("first",), ("two",))


def key_of_second(first=FIRST, second=SECOND, **code):
    made = made_facts(code=Lazy(lambda module: {module: code.get(module, "digest")}))
    return keys_of([first, second], made)["second"]


@pytest.mark.parametrize(
    "changed",
    [
        {"second": replace(SECOND, action="azureml.submit")},
        {"second": replace(SECOND, payload={"command": ["b"], "source": 2})},
        {"second": replace(SECOND, payload={"command": ["c"], "source": 1})},
        {"second": replace(SECOND, needs=())},
        {"second": replace(SECOND, code=("one",))},
        {"two": "another digest"},
        {"one": "another digest"},  # the code of the step it needs
        {"first": replace(FIRST, payload={"command": ["z"]})},  # the request of the step it needs
    ],
    ids=[
        "action",
        "payload",
        "command",
        "needs",
        "module",
        "code",
        "needed code",
        "needed payload",
    ],
)
def test_a_key_changes_with_each_of_its_ingredients(changed):
    assert key_of_second(**changed) != key_of_second()


@pytest.mark.parametrize(
    "changed",
    [
        {"second": replace(SECOND, drift="the world moved")},
        {"second": replace(SECOND, payload={"source": 1, "command": ["b"]})},  # order of mapping
        {"first": replace(FIRST, drift="the world moved")},
        {"three": "a module that neither step uses"},
    ],
    ids=["drift", "order", "drift of a need", "foreign code"],
)
def test_a_key_depends_on_nothing_else(changed):
    assert key_of_second(**changed) == key_of_second()


def test_equal_requests_share_a_key_whatever_they_are_called():
    keys = keys_of([FIRST, replace(FIRST, id="twin")], made_facts())
    assert keys["first"] == keys["twin"]


def test_what_is_taken_along_is_no_reason_to_run() -> None:
    beside = replace(SECOND, needs=(), beside=("first",))
    alone = replace(SECOND, needs=())
    assert key_of_second(second=beside) == key_of_second(second=alone)


def test_the_code_of_a_report_is_what_draws_heat_too() -> None:
    report = next(p for p in plan_of().steps if p.step.id == "report")
    assert report.step.code == ("mlops_spec.report", "trainers._torch.attention")


def test_a_report_knows_where_its_settings_were_written() -> None:
    report = next(p for p in plan_of("training.lr=0.5").steps if p.step.id == "report")
    known = json.loads(report.step.variables["MLOPS_SPEC_ORIGINS"])
    assert known["training.lr"] == "command line"
    assert known["training.epochs"].endswith("quickstart.yaml:14")
    other = next(p for p in plan_of().steps if p.step.id == "report")
    assert report.key != other.key, "another value"
    _, spec = compose(Now(QUICKSTART))
    elsewhere = plan(spec, made_facts(), {}).steps
    assert next(p.key for p in elsewhere if p.step.id == "report") == other.key


# Keys, from the spec

AFTER_TRAIN = {"train", "evaluate", "gate", "report", "register"}
EVERYTHING = {"data", *AFTER_TRAIN}


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("name=other", set()),
        ("target=none", set()),
        ("registered_model=other", {"report", "register"}),
        ("workspace.database=other.db", {"register"}),
        ("evaluation.gate.alpha=0.01", {"gate", "report", "register"}),
        ("evaluation=floor", {"gate", "report", "register"}),
        ("evaluation.batch_size=7", {"evaluate", "gate", "report", "register"}),
        ("seed=7", AFTER_TRAIN),
        ("model.head.dropout=0.5", AFTER_TRAIN),
        ("training.epochs=7", AFTER_TRAIN),
        ("training.augment.rotation=7", AFTER_TRAIN),
        ("compute.accelerator=cpu", AFTER_TRAIN),
        ("data.split_seed=7", EVERYTHING),
        ("data.test_fraction=0.5", EVERYTHING),
        ('compute.environment.MALLOC_TOP_PAD_="1"', EVERYTHING),
    ],
)
def test_a_setting_reaches_exactly_the_steps_that_use_it(override, changed):
    before, after = keys_with(), keys_with(override)
    assert {step for step in after if after[step] != before[step]} == changed


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"source": "other images"}, EVERYTHING),
        ({"tools": {"torch": "99"}}, set()),
        ({"target": {"traffic": 100}}, set()),
        ({"latest": {"train": None}}, set()),
        ({"versions": (replace(CHAMPION, champion=False),)}, set()),
        ({"versions": (CHAMPION,)}, {"gate", "report", "register"}),
    ],
    ids=["source", "tools", "target", "latest", "a version", "a champion"],
)
def test_a_fact_reaches_exactly_the_steps_that_use_it(changes, changed):
    before, after = keys_with(), keys_with(**changes)
    assert {step for step in before if after[step] != before[step]} == changed


# Reasons and estimates


def test_a_step_of_which_only_the_damage_is_known_runs_and_says_so():
    train = plan_of().steps[1]
    damaged = replace(record(train), id="", payload={}, damage="result.json is damaged")
    planned = plan_of(finished={train.key: damaged}, latest={"train": damaged}).steps[1]
    assert (planned.status, planned.why) == ("run", "result.json is damaged")


def test_a_step_whose_last_record_is_damaged_and_that_changed_since_still_has_a_plan():
    train = plan_of("training.lr=0.01").steps[1]
    damaged = replace(
        record(train), id="", payload={}, code={}, damage="it did not finish the last time"
    )
    world = {"finished": {train.key: damaged}, "latest": {"train": damaged}}
    planned = plan_of("training.lr=0.003", **world).steps[1]
    assert planned.status == "run"
    assert planned.why in ("never ran", damaged.damage)


def test_the_estimate_is_the_time_of_the_steps_that_run():
    world = World().after({"overrides": QUICKSTART})
    again = world.plan(Now([*QUICKSTART, "evaluation.gate.alpha=0.01"]))
    assert [p.step.id for p in again.to_run] == ["gate", "report", "register"]
    assert again.seconds == 6.0


def test_there_is_no_estimate_when_a_step_never_ran():
    world = World().after({"overrides": QUICKSTART})
    todo = world.plan(Now([*QUICKSTART, "benchmark=majority"]))
    assert [p.step.id for p in todo.to_run] == ["benchmark", "report"]
    assert todo.seconds is None


# A target of one's own

SHELF = """
from typing import Literal

from mlops_spec.steps import Step
from mlops_spec.spec import OpenSection


class Spec(OpenSection):
    kind: Literal["shelf"]
    height: int


def steps(spec, facts):
    drift = "" if facts.target.get("stands") else "nothing stands on the shelf"
    yield Step("deploy", "shelf.put", {"height": spec.target.height}, ("train",), drift=drift)
"""


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setattr(deployers, "__path__", [*deployers.__path__])
    Path("deployers").mkdir()
    Path("deployers/shelf.py").write_text(SHELF, encoding="utf-8")
    return {"target/shelf.yaml": "kind: shelf\nheight: 3\n"}


def on_the_shelf(facts_of_target, conf, *overrides):
    wish = Now([*QUICKSTART, "target=shelf", *overrides], conf=conf)
    world = World().after({"overrides": QUICKSTART}).after(vars(wish))
    composition, spec = compose(wish)
    facts = made_facts(
        versions=tuple(world.versions),
        finished=world.finished,
        latest=world.latest[spec.name],
        target=facts_of_target,
    )
    return plan(spec, facts, composition.origins)


def test_another_target_deploys_and_does_not_retrain(shelf):
    before = World().after({"overrides": QUICKSTART})
    todo = before.plan(Now([*QUICKSTART, "target=shelf"], conf=shelf))
    statuses = {p.step.id: (p.status, p.why) for p in todo.steps}
    assert statuses.pop("deploy") == ("run", "never ran")
    assert {status for status, _ in statuses.values()} == {"reuse"}


def test_a_deployed_model_stays_while_the_target_has_it(shelf):
    deploy = on_the_shelf({"stands": True}, shelf).steps[-1]
    assert (deploy.status, deploy.why) == ("reuse", "deploy done")


def test_a_target_that_lost_the_model_is_served_again(shelf):
    deploy = on_the_shelf({}, shelf).steps[-1]
    assert (deploy.status, deploy.why) == ("run", "nothing stands on the shelf")
