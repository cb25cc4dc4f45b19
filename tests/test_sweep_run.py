"""Sweeps through the command line: checked first, crash-proof, continued by the same command."""

import json

import pytest
from toyproject import KINDS, Project

QUICK = (
    "target=none",
    "evaluation.gate.floors.accuracy=1.0",
    "training.flip=true",
)  # never registers


def test_invalid_member_stops_a_sweep_before_anything_runs(project: Project) -> None:
    answer = project.call(*KINDS, "-m", "training.rounds=1,2,none,3", "model.chanels=1")
    assert answer.returncode == 2
    assert "(member training.rounds=none)" in answer.stderr
    assert answer.stderr.count("model.chanels") == 1
    assert answer.stdout == ""
    assert not (project.path / ".mlops").exists()
    assert not (project.path / "runs").exists()


@pytest.mark.slow
def test_one_crash_does_not_lose_the_rest_and_the_same_command_continues(project: Project) -> None:
    words = [*KINDS, *QUICK, "-m", "training.rounds=1,2", "training.fault=none,crash"]
    answer = project.call(*words)
    assert answer.returncode == 5
    assert "sweep of 4 members, all valid" in answer.stdout
    table = answer.stdout[answer.stdout.rindex("\nmember ") :]
    assert table.count("step failed") == 2
    assert table.count("refused") == 2
    trained = sorted(project.path.glob(".mlops/steps/*/result.json"))
    again = project.call(*words)
    assert again.returncode == 5
    assert again.stdout.count("train: started") == 2  # the two that crashed
    assert sorted(project.path.glob(".mlops/steps/*/result.json")) == trained


@pytest.mark.slow
def test_sweep_of_groups_and_values_in_json(project: Project) -> None:
    answer = project.call(*KINDS, *QUICK, "--json", "-m", "evaluation=floor,mcnemar", "seed=1")
    last = json.loads(answer.stdout.splitlines()[-1])
    assert last["event"] == "sweep"
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert {event["member"] for event in events[:-1]} == {"evaluation=floor", "evaluation=mcnemar"}
    assert [event["exit_code"] for event in events if event["event"] == "closed"] == [3, 3]
    assert [member["label"] for member in last["members"]] == [
        *("evaluation=floor", "evaluation=mcnemar"),
    ]
    assert {member["exit_code"] for member in last["members"]} == {3}
    assert answer.returncode == 3


def test_plan_of_a_sweep_plans_each_member(project: Project) -> None:
    answer = project.call("plan", "--json", *KINDS, "-m", "seed=1,2,3")
    plans = [json.loads(line) for line in answer.stdout.splitlines()]
    steps = [step for plan in plans for step in plan["steps"]]
    keys = {step["key"] for step in steps if step["step"]["id"] == "train"}
    assert len(plans) == len(keys) == 3
