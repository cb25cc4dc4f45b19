"""A rollback and the runs that follow it, in a project of toy kinds."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from registries import mlflow_client
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
    assert "is not what was registered: its model.onnx was changed" in answer.stderr
    listed = promoted.call("models").stdout
    assert "its champion can not be used: its weights or network were changed" in listed


def bundle_of(project: Project, number: int) -> Path:
    answer = project.call("models", f"toy/{number}", "--json")
    return project.path / json.loads(answer.stdout)["path"]


def test_a_champion_with_other_labels_is_neither_judged_nor_gone_back_to(
    promoted: Project,
) -> None:
    """Judged with them it would lose against anything; only its lineage knows them."""
    for number in (1, 2):
        path = bundle_of(promoted, number) / "model.json"
        card = json.loads(path.read_bytes())
        path.write_text(json.dumps({**card, "labels": card["labels"][::-1]}))
    why = "its model.json was changed"
    assert f"version 1: {why}" in promoted.call("models", "toy").stdout
    answer = promoted.call(*KINDS, "seed=5")
    assert answer.returncode == 5
    assert f"is not what was registered: {why}" in answer.stderr
    answer = promoted.call("rollback", *KINDS)
    assert answer.returncode == 1
    assert f"toy 1 was champion before, but {why}" in answer.stderr
    assert champions(promoted)[-1][:2] == (1, 2)
    shutil.move(bundle_of(promoted, 2), promoted.path / "aside")  # the cure that is told
    assert promoted.ran(*WORSE) == ["register", "deploy"]
    answer = promoted.call(*KINDS, "seed=5")
    assert answer.returncode != 5, answer.stderr


def test_a_champion_stays_as_it_is_when_the_one_before_is_moved_away_or_deleted(
    promoted: Project,
) -> None:
    before = promoted.call("models", "toy/2", "--json").stdout
    shutil.move(bundle_of(promoted, 1), promoted.path / "aside")
    assert promoted.ran(*WORSE) == []
    mlflow_client(promoted.path / ".mlops/mlflow.db").delete_model_version("toy", "1")
    assert promoted.ran(*WORSE) == []
    shutil.rmtree(bundle_of(promoted, 2))
    assert promoted.ran(*WORSE) == ["register", "deploy"]
    after = json.loads(promoted.call("models", "toy/2", "--json").stdout)
    was = json.loads(before)
    after["lineage"]["registered"] = was["lineage"]["registered"]
    assert after == was
    assert after["baseline"] == 1


def test_other_code_that_trains_the_same_weights_leaves_a_champion_its_rival(
    promoted: Project,
) -> None:
    with (promoted.path / "trainers/toy.py").open("a") as file:
        file.write("# nothing new\n")
    assert "register" in promoted.ran(*WORSE)
    found = json.loads(promoted.call("models", "toy/2", "--json").stdout)
    assert found["baseline"] == found["lineage"]["parents"]["champion"]["version"] == 1
    promoted.ran(*WORSE)  # asked anew against version 1
    assert promoted.ran(*WORSE) == []


def test_of_two_models_that_beat_one_champion_the_second_to_come_is_judged_again(
    promoted: Project,
) -> None:
    """Both were planned against version 2; while the second one registers, the first one does."""
    ways = [["training.flip=false", f"model.input_size={size}", *WORSE[1:]] for size in (8, 9)]
    hindered = [*KINDS, *ways[1], "name=second", "registered_model=toy"]
    code = """
import subprocess, sys
from mlops_spec import actions, cli
find = actions.find

def slow(name):
    action = find(name)
    def act(step, context):
        if step.id == "register":
            subprocess.run([sys.executable, "-m", "mlops_spec", *FIRST], check=True)
        return action(step, context)
    return act

actions.find = slow
sys.exit(cli.main(sys.argv[1:]))
"""
    code = code.replace("FIRST", repr([*KINDS, *ways[0]]))
    answer = subprocess.run(
        [sys.executable, "-c", code, *hindered],
        cwd=promoted.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 5, answer.stdout + answer.stderr
    assert "another model became champion meanwhile: toy has version 3, not version 2" in (
        answer.stderr
    )
    assert champions(promoted)[-1] == (2, 3, "promote")
    again = promoted.ran(*hindered[4:])
    assert again[:2] == ["evaluate_champion", "gate"]
    assert champions(promoted)[-1] == (3, 4, "promote")
