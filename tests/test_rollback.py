"""A rollback and the runs that follow it, in a project of toy kinds."""

import json

import pytest
from toyproject import KINDS, Project

pytestmark = [
    pytest.mark.slow,
    # MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
]

WORSE = ("training.flip=true", "evaluation=floor", "evaluation.gate.floors.accuracy=0.0")


def served(project: Project) -> int:
    return json.loads((project.path / "served.txt").read_text())["version"]


def champions(project: Project) -> list[tuple[int, int, str]]:
    answer = project.call("models", "toy", "--json")
    assert answer.returncode == 0, answer.stderr
    return [(m["before"], m["after"], m["kind"]) for m in json.loads(answer.stdout)["history"]]


@pytest.fixture
def promoted(finished: Project) -> Project:
    """A worse model was let through and is served."""
    answer = finished.call(*KINDS, *WORSE)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert served(finished) == 2
    return finished


def test_the_target_follows_a_rollback_and_nothing_is_trained(promoted: Project) -> None:
    said = promoted.call("rollback", *KINDS, *WORSE)
    assert "toy: version 1 is champion again instead of version 2" in said.stdout, said.stderr
    plan = promoted.planned(*WORSE)
    assert {step for step, (status, _) in plan.items() if status == "run"} == {"register", "deploy"}
    assert plan["register"][1] == "rolled back: version 1 stays champion"
    assert promoted.ran(*WORSE) == ["register", "deploy"]
    assert served(promoted) == 1
    assert promoted.ran(*WORSE) == []
    assert champions(promoted)[1:] == [(1, 2, "promote"), (2, 1, "rollback")]


def test_the_same_model_by_another_training_stays_out_too(promoted: Project) -> None:
    """Of toy trainings those of more rounds give the same weights."""
    assert promoted.call("rollback", *KINDS, *WORSE).returncode == 0
    answer = promoted.call(*KINDS, *WORSE, "training.rounds=4")
    assert "toy version 1 stays champion: this model was rolled back" in answer.stdout
    assert served(promoted) == 1
    assert promoted.call(*KINDS, *WORSE, "training.rounds=4").returncode == 0
    assert promoted.ran(*WORSE, "training.rounds=4") == []
    assert champions(promoted)[-1] == (2, 1, "rollback")


def test_the_reason_of_the_gate_is_in_the_history(promoted: Project) -> None:
    said = " ".join(promoted.call("models", "toy").stdout.split())
    assert "gate: accuracy" in said
    assert "there is no champion to beat yet" in said
    assert "every floor and limit is kept" in said


def test_a_champion_that_was_changed_is_found_where_it_is_used(promoted: Project) -> None:
    answer = promoted.call("models", "toy/2", "--json")
    bundle = promoted.path / json.loads(answer.stdout)["path"]
    with (bundle / "model.onnx").open("ab") as file:
        file.write(b"x")
    answer = promoted.call(*KINDS, "seed=5")
    assert answer.returncode == 5
    assert "model.onnx is not the file that training recorded" in answer.stderr
    listed = promoted.call("models").stdout
    assert "its champion can not be used: its weights or network were changed" in listed
