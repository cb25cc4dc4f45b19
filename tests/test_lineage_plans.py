"""What settings of a lineage change in a plan, and what a plan tells the step that registers."""

import json
from dataclasses import replace

import lineages
import pytest

from mlops_spec import signing
from mlops_spec.compose import Composer
from mlops_spec.facts import Facts, Lazy
from mlops_spec.plan import plan
from mlops_spec.pretrained import Pretrained
from mlops_spec.reasons import changes
from mlops_spec.registry import Version
from mlops_spec.validate import parse

SIGN = "lineage.sign_with=${secret:SIGNING_KEY}"
TRUST = f"lineage.trusted_key={lineages.public()}"
FACTS = Facts(
    source="images",
    code=Lazy(lambda module: {module: "first"}),
    latest=Lazy(lambda _: None),
    finished=Lazy(lambda _: None),
    target={"digest": None},
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(*words, facts=FACTS):
    composition = Composer().compose(["+experiment=quickstart", "target=local", *words])
    todo = plan(parse(composition.values, composition.origins), facts, composition.origins)
    return {one.step.id: one for one in todo.steps}


@pytest.mark.parametrize(
    ("words", "others"),
    [
        ([SIGN], {"register", "deploy"}),
        ([TRUST], {"deploy"}),
        ([SIGN, TRUST], {"register", "deploy"}),
    ],
    ids=["sign_with", "trusted_key", "both"],
)
def test_settings_of_a_lineage_train_nothing(words, others):
    before, after = planned(), planned(*words)
    assert {name for name in before if before[name].key != after[name].key} == others


def test_a_key_is_named_in_the_step_that_registers_and_in_no_other():
    todo = planned(SIGN, TRUST)
    environments = {name: one.step.payload.get("environment") for name, one in todo.items()}
    assert environments["register"][signing.VARIABLE] == "${secret:SIGNING_KEY}"
    del environments["register"]
    assert "SIGNING_KEY" not in json.dumps(environments)
    assert todo["deploy"].step.payload["trusted_key"] == lineages.public()
    assert signing.VARIABLE not in json.dumps(planned()["register"].step.payload)
    assert todo["deploy"].step.payload["withhold"] == ["SIGNING_KEY"]
    assert not {"trusted_key", "withhold"} & planned()["deploy"].step.payload.keys()


def test_a_service_is_to_have_no_secret_that_a_spec_names_anywhere():
    words = ["+compute.environment.HUB_TOKEN=${secret:HUB}", SIGN]
    words += ["+compute.environment.WHERE='a ${secret:A} and ${secret:HUB}'"]
    assert planned(*words)["deploy"].step.payload["withhold"] == ["A", "HUB", "SIGNING_KEY"]


def origin(*words, facts=FACTS):
    return planned(*words, facts=facts)["register"].step.payload["spec"]["lineage"]


def test_the_step_that_registers_is_told_code_and_parents():
    assert origin() == {
        "code": {"trainers.transfer": "first"},
        "parents": {"champion": None, "weights": None},
    }
    version = Version(3, "1a" * 32, 0, "models/3", champion=True, digest="2b" * 32)
    weights = Pretrained("models/1", "3c" * 32)
    facts = replace(FACTS, versions=(version,), weights=weights)
    assert origin("model.weights=model:other/1", facts=facts)["parents"] == {
        "champion": {"version": 3, "digest": "2b" * 32},
        "weights": {"source": "model:other/1", "digest": "3c" * 32},
    }
    imagenet = {"source": "imagenet", "digest": ""}
    words = ("model=resnet18", "model.weights=imagenet", "model.channels=3")
    assert origin(*words)["parents"]["weights"] == imagenet


def test_a_change_is_told_by_the_name_that_the_spec_has_for_it():
    before, after = planned(), planned(SIGN, TRUST)

    def told(name):
        return changes(before[name].step.payload, after[name].step.payload, {})

    assert told("register") == ["lineage.sign_with (absent) -> ${secret:SIGNING_KEY}"]
    trusted = f"lineage.trusted_key (absent) -> {lineages.public()}"
    assert told("deploy") == [trusted, 'withhold (absent) -> ["SIGNING_KEY"]']
