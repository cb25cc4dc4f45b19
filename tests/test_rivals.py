"""Whom a model is judged against when bundles or versions of before are gone."""

from dataclasses import replace
from pathlib import Path

import pytest
from registries import DATABASE, FIRST, MODELS, SECOND, candidate, mlflow_client, register
from world import Now, World

from mlops_spec import registry
from mlops_spec.compose import Composer
from mlops_spec.errors import StateError
from mlops_spec.validate import parse
from mlops_spec.weights import find

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

BEFORE = ["+experiment=quickstart", "training.lr=0.01"]
NOW = ["+experiment=quickstart", "training.lr=0.003"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def world():
    """Version 2 is champion, and was judged against version 1."""
    return World().after({"overrides": BEFORE}).after({"overrides": NOW})


def change(world, number, **values):
    world.versions = [replace(v, **values) if v.version == number else v for v in world.versions]


def forget(world, *steps):
    """Their results are not there any more."""
    for planned in world.plan(Now(NOW)).steps:
        if planned.step.id in steps:
            del world.finished[planned.key]


def ran(world, overrides=NOW):
    return [planned.step.id for planned in world.plan(Now(overrides)).to_run]


def test_a_finished_comparison_needs_no_bundle_any_more(world):
    before = world.plan(Now(NOW))
    change(world, 1, intact=False)
    after = world.plan(Now(NOW))
    assert after.to_run == []
    assert [p.key for p in after.steps] == [p.key for p in before.steps]
    change(world, 2, intact=False)
    assert ran(world) == ["register"]


@pytest.mark.parametrize("gone", [["evaluate_champion"], ["data"]])
def test_a_comparison_with_a_bundle_that_is_gone_says_whose(world, gone):
    change(world, 1, intact=False)
    forget(world, *gone)
    with pytest.raises(StateError) as caught:
        world.plan(Now(NOW))
    said = "the bundle of version 1, which digits 2 was judged against, is gone"
    assert caught.value.message == said
    assert "restore .mlops/models/digits/" in caught.value.cure
    assert ".before" in caught.value.cure
    assert "rollback" not in caught.value.cure


def test_a_champion_whose_bundle_is_gone_can_be_gone_back_from(world):
    change(world, 2, intact=False)
    with pytest.raises(StateError) as caught:
        world.plan(Now([*NOW, "seed=7"]))
    assert caught.value.message == "the bundle of champion digits 2 is gone"
    assert "go back with the verb rollback" in caught.value.cure


def test_a_model_that_was_rolled_back_is_told_of_the_champion_it_was_judged_against(world):
    world.after({"rollback": 1})
    change(world, 1, intact=False)
    assert ran(world) == ["register"]
    forget(world, "evaluate_champion")
    with pytest.raises(StateError, match="the bundle of champion digits 1 is gone"):
        world.plan(Now(NOW))


def test_a_deleted_version_stays_the_question_that_was_answered(world):
    before = world.plan(Now(NOW))
    change(world, 1, train="", deleted=True)
    after = world.plan(Now(NOW))
    assert after.to_run == []
    assert [p.step.payload for p in after.steps] == [p.step.payload for p in before.steps]
    forget(world, "evaluate_champion")
    assert "evaluate_champion" in ran(world), "its bundle is there"


def test_a_deleted_version_of_which_nothing_is_known_is_an_error_and_not_nobody(world):
    world.versions = world.versions[1:]
    with pytest.raises(StateError) as caught:
        world.plan(Now(NOW))
    said = "version 1, which digits 2 was judged against, is not in the registry any more"
    assert caught.value.message == said
    assert "train another model" in caught.value.cure
    assert "evaluate_champion" in ran(world, [*NOW, "seed=7"])  # which is that cure


# As the registry tells it


def deleted(*numbers):
    for number in numbers:
        mlflow_client().delete_model_version("digits", str(number))
    return registry.read(DATABASE, MODELS, "digits")


@pytest.fixture
def two(registered):
    """The second one was judged against the first one."""
    assert registered
    register(candidate(Path("second"), SECOND, 1, 2.0))
    return registry.read(DATABASE, MODELS, "digits")


def test_a_registry_tells_the_rival_that_was_deleted(two):
    second, first = deleted(1)
    assert second == two[1]
    assert (first.version, first.digest, first.path) == (1, two[0].digest, two[0].path)
    assert (first.deleted, first.champion, first.train) == (True, False, "")
    assert registry.rival([second, first], SECOND) == first
    assert registry.rival([second, first], FIRST) == second  # the champion: it is no version
    Path(first.path).rename("aside")
    assert not registry.read(DATABASE, MODELS, "digits")[1].intact


def test_what_was_deleted_is_told_nowhere_else(two):
    assert len(two) == 2
    register(candidate(Path("third"), "3c" * 32, 2, 3.0))
    assert [one.version for one in deleted(1)] == [2, 3, 1]
    assert [one.version for one in deleted(2)] == [3, 2]  # nobody needs 1 any more
    assert [one.version for one in registry.look(DATABASE, MODELS, "digits").versions] == [3]


def test_nobody_trains_from_what_was_deleted(two):
    assert two
    deleted(1)
    words = ("model.weights=model:digits/1", f"workspace.database={DATABASE}")
    composed = Composer().compose(["+experiment=quickstart", "registered_model=mine", *words])
    spec = parse(composed.values, composed.origins)
    with pytest.raises(StateError, match=r"digits has no version 1 \(versions: 2\)"):
        find(spec, MODELS)
