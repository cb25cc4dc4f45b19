"""A plan says what is new among the images, not only that something is."""

import json

import pytest
from test_checks import put, scene
from toyproject import Project

from mlops_spec import files, sources

BEFORE = {"ants/1": "a", "ants/2": "b", "bees/1": "c", "bees/2": "d"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"bees/3": "e"}, "1 added (bees/3)"),
        ({"bees/3": "a"}, "1 added (bees/3)"),  # a copy; the old one is still there
        ({"ants/1": None}, "1 removed (ants/1)"),
        ({"ants/1": "x"}, "1 changed (ants/1)"),
        ({"ants/1": None, "bees/1b": "a"}, "1 relabelled (bees/1b)"),
        ({"ants/1": None, "ants/one": "a"}, "1 renamed (ants/one)"),
        ({"ants/1": "b", "ants/2": "a"}, "2 changed (ants/1, ants/2)"),
        (
            {"ants/1": None, "bees/2": None, "bees/1": "z", "new/1": "d", "new/2": "q"},
            "1 added (new/2), 1 removed (ants/1), 1 changed (bees/1), 1 relabelled (new/1)",
        ),
        (
            {f"new/{i}": f"n{i}" for i in range(5)},
            "5 added (new/0, new/1, new/2, ...)",
        ),
    ],
)
def test_changes_are_told_by_sort(change, words):
    after = {name: value for name, value in {**BEFORE, **change}.items() if value is not None}
    assert sources.told(BEFORE, after) == words


def test_what_was_not_kept_is_not_guessed(tmp_path):
    assert sources.changes(tmp_path, BEFORE) == ""
    (tmp_path / "source.json").write_text("{")
    assert sources.changes(tmp_path, BEFORE) == ""
    sources.keep(tmp_path, BEFORE)
    assert sources.changes(tmp_path, {**BEFORE, "x/1": "x"}) == "1 added (x/1)"


@pytest.mark.parametrize("known", [None, [], "x", {"a": []}, {"a": {"b": 1}}, {"ants/1": 3}])
def test_what_is_no_fingerprint_explains_nothing(tmp_path, known):
    files.write_json(tmp_path / "source.json", {"files": known})
    assert sources.changes(tmp_path, BEFORE) == ""


@pytest.mark.slow
def test_a_plan_names_what_changed_in_a_folder_of_photographs(project: Project):
    photos = project.path / "photos"
    for label, first in (("ants", 0), ("bees", 100)):
        for number in range(12):
            put(photos / label / f"{number}.png", scene(first + number))
    words = ["name=x", "data=folder", "data.root=photos", "training=toy", "evaluation=floor"]
    words.append("evaluation.gate.floors.accuracy=0.0")
    assert project.run(*words).returncode == 0
    put(photos / "ants" / "new.png", scene(999))
    (photos / "bees" / "3.png").rename(photos / "ants" / "was_a_bee.png")
    answer = project.run("plan", "--json", *words)
    steps = {step["step"]["id"]: step["why"] for step in json.loads(answer.stdout)["steps"]}
    changed = "1 added (ants/new.png), 1 relabelled (ants/was_a_bee.png)"
    assert steps["data"] == f"the images changed: {changed}"
    assert steps["train"] == "data runs"
