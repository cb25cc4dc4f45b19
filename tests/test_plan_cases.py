"""Golden plans: every file of cases/ is a case, see world.py for its words."""

from pathlib import Path

import pytest
import yaml
from world import Now, World

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def test_there_are_cases():
    assert CASES


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_is_the_expected_one(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case = yaml.safe_load(path.read_text("utf-8"))
    assert case.keys() == {"shows", "before", "now", "expect"}
    world = World()
    for event in case["before"]:
        world.after(event)
    todo = world.plan(Now(**case["now"]))
    assert [[p.step.id, p.status, p.why] for p in todo.steps] == case["expect"]
