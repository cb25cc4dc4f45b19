"""A key that was set and that nothing read is said: somebody thinks that it has an effect."""

import json
from pathlib import Path

import pytest
import yaml
from toyproject import KINDS, Project

from mlops_spec import section
from mlops_spec.judging import gate, judged
from mlops_spec.spec import Section
from mlops_spec.step_spec import StepEvaluation


class Inner(Section):
    kind: str
    one: int
    two: int


class Whole(Section):
    left: Inner
    right: Inner
    absent: Inner | None = None
    seed: int = 0


@pytest.fixture
def whole(monkeypatch):
    monkeypatch.setattr(section, "_reads", None)
    monkeypatch.setattr(section, "_copied", {})  # ids of what other tests made are used again
    inner = {"kind": "x", "one": 1, "two": 2}
    made = Whole.model_validate({"left": inner, "right": inner})
    section.note_reads()
    return made


def test_what_nobody_asked_for_is_unread(whole):
    assert whole.left.one == 1
    assert list(section.unread(whole)) == ["left.two", "right.one", "right.two", "seed"]


def test_reading_a_copy_is_reading_what_it_was_made_from(whole):
    changed = whole.left.model_copy(update={"one": 5})
    copy = whole.model_copy(update={"left": changed}).model_copy(update={"seed": 7})
    assert (copy.left.one, copy.seed, copy.right.two) == (5, 7, 2)
    assert list(section.unread(whole)) == ["left.two", "right.one"]


def test_a_section_that_is_dumped_is_read_and_the_whole_is_only_recorded(whole):
    assert whole.model_dump()["seed"] == 0
    assert whole.left.model_dump() == {"kind": "x", "one": 1, "two": 2}
    assert list(section.unread(whole)) == ["right.one", "right.two", "seed"]


@pytest.mark.parametrize(
    ("use", "unread"),
    [
        (lambda whole: whole.left.model_dump_json(), ["right.one", "right.two", "seed"]),
        (lambda whole: dict(whole.left), ["right.one", "right.two", "seed"]),
        (dict, ["left.one", "left.two", "right.one", "right.two"]),  # not what is inside
        (
            lambda whole: whole.model_dump_json(),
            ["left.one", "left.two", "right.one", "right.two", "seed"],
        ),
    ],
)
def test_every_way_to_dump_a_section_reads_it(whole, use, unread):
    assert use(whole)
    assert list(section.unread(whole)) == unread


def test_a_key_of_the_command_line_that_nothing_read_is_a_warning(finished: Project) -> None:
    """The toy trainer has no head; that no preset asked for one is nothing to warn of."""
    before = {*finished.path.glob("runs/*")}
    answer = finished.call(*KINDS, "model.head.hidden=7", "evaluation=floor", "training.flip=true")
    assert answer.returncode == 3, answer.stdout + answer.stderr
    assert answer.stderr == "train: warning: nothing read model.head.hidden (command line)\n"
    (run,) = {*finished.path.glob("runs/*")} - before
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    unread = {row["id"]: row["unread"] for row in rows if row["unread"]}
    assert unread == {"train": ["model.head.hidden"]}
    assert {row["id"]: row["status"] for row in rows}["gate"] == "refused"
    assert "Rejected" in (run / "report.html").read_text("utf-8"), "a refusal is reported too"


def test_a_threshold_of_the_gate_is_read_before_there_is_a_champion():
    path = Path(__file__).parents[1] / "conf" / "evaluation" / "mcnemar.yaml"
    preset = yaml.safe_load(path.read_text("utf-8"))
    wish = StepEvaluation.model_validate({"gate": preset["gate"]})
    section.note_reads()
    one = judged.Judged({"accuracy": 1.0}, {}, frozenset("ab"), "x", ("1",), (True,))
    gate.judge(one, None, wish.gate)
    assert [*section.unread(wish)] == []


def test_what_was_read_in_another_run_is_not_judged_again(finished: Project) -> None:
    assert "warning" not in finished.call(*KINDS, "target.note=other.txt").stderr
