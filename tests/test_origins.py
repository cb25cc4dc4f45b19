"""YAML with the line of every key, read to the same values as OmegaConf reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mlops_spec.errors import SpecError
from mlops_spec.origins import COMMAND_LINE, Layer, Setting, display, read_yaml, where_is


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(text: str | bytes, name: str = "file.yaml") -> Path:
    path = Path.cwd() / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_key_carries_the_line_it_is_written_on():
    text = "# a comment\na: 1\n\nb:\n  c: 2 # said\n  d: {e: 3}\n  f: [1,\n    2]\n? g\n: 4\n"
    parsed = read_yaml(written(text))
    assert parsed.values == {"a": 1, "b": {"c": 2, "d": {"e": 3}, "f": [1, 2]}, "g": 4}
    assert parsed.lines == {"a": 2, "b": 4, "b.c": 5, "b.d": 6, "b.d.e": 6, "b.f": 7, "g": 9}


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n"])
def test_a_file_without_content_sets_nothing(text):
    parsed = read_yaml(written(text))
    assert (parsed.values, parsed.lines) == ({}, {})


def test_a_changed_file_is_read_again():
    path = written("a: 1\n")
    assert read_yaml(path).values == {"a": 1}
    path.write_text("a: 2\n")
    os.utime(path, ns=(1, 1))
    assert read_yaml(path).values == {"a": 2}


FLOATS = [
    "1e-3",
    "1E3",
    "1.5e3",
    "1e+3",
    "-1e-3",
    "1.e3",
    "12e03",
    "1.5E+3",
    "5.",
    "-1.",
    "+1.5",
    "0.1e-3",
    "-0.0",
    ".5",
    ".5e-3",
    "1_000.5",
    "1_0.5_0",
    "1_000e3",
    "1_.5",
    "1_2_.5",
    "1e",
    "1e0.5",
    "1e5_0",
    "1_e3",
    "1._5",
    "._5",
    ".5_0",
    ".e3",
    ".",
    "1.2.3",
    "-.5",
    "+.5",
    "-.5e-1",
    ".5e3",
    "190:20:30.15",
    ".inf",
    "-.inf",
    "+.inf",
    ".Inf",
    ".nan",
    ".NaN",
]
INTEGERS = [
    "0",
    "00",
    "-0",
    "+1",
    "017",
    "08",
    "0o17",
    "0x1f",
    "-0x1f",
    "0b11",
    "1_000",
    "_1",
    "1__0",
    "1:30",
    "190:20:30",
    "-_1",
    "1_",
]
WORDS = [
    "yes",
    "no",
    "on",
    "off",
    "Yes",
    "ON",
    "true",
    "True",
    "TRUE",
    "y",
    "n",
    "null",
    "~",
    "NULL",
    "Null",
    "nul",
    "e3",
    "2024-01-31",
]
OTHERS = [
    "'1e-3'",
    '"yes"',
    "2024-01-31 10:00:00",
    "",
    "[1e-3, yes, 2024-01-31, {a: 1e3}]",
    "!!str 1e-3",
    "!!float 1",
    "|\n  1e-3",
    "{<<: {b: 1e-3}, c: 2}",
]


@pytest.mark.parametrize("text", [*FLOATS, *INTEGERS, *WORDS, *OTHERS])
def test_a_value_means_what_it_means_to_omegaconf(text):
    path = written(f"a: {text}\n")
    ours, theirs = read_yaml(path).values, OmegaConf.to_container(OmegaConf.load(path))
    assert repr(ours) == repr(theirs)  # repr tells 1, 1.0 and True apart, and nan equals nan


MULTIPLIED_MAPPINGS = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}, r: *a{i - 1}, s: *a{i - 1}}}\n" for i in range(1, 9)
)
MULTIPLIED_LISTS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 5)
)
SYNTAX = {
    "a tab": ("a: 1\nb:\n\tc: 2\n", 3, "not valid YAML"),
    "an open quote": ("a: 1\nb: 'never\nclosed: 2\n", 4, "not valid YAML"),
    "an open bracket": ("a: 1\nb: [1, 2\nc: 3\n", 3, "not valid YAML"),
    "a missing colon": ("a: 1\nb\nc: 3\n", 3, "not valid YAML"),
    "two colons": ("a: 1\nb: c: 2\n", 2, "not valid YAML"),
    "an unknown alias": ("a: 1\nb: *nowhere\n", 2, "undefined alias"),
    "code in a tag": ("a: !!python/object/apply:os.getcwd []\n", 1, "not valid YAML"),
    "a number that is none": ("b: 1\na: !!int ten\n", 2, "not valid YAML"),
    "a number without end": (f"b: 1\na: {'9' * 5000}\n", 2, "not valid YAML"),
    "a list on top": ("- 1\n- 2\n", 1, "key: value"),
    "a word on top": ("hello\n", 1, "key: value"),
    "a key twice": ("a: 1\nb: 2\na: 3\n", 3, "a is written twice"),
    "an inner key twice": ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "a.b is written twice"),
    "a key twice in a list": ("a:\n  - b: 1\n    b: 2\n", 3, "written twice"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
    "a control character": ("a: \0\n", 1, "not valid YAML"),
    "no UTF-8": (b"a: \xff\n", 1, "not valid YAML"),
    "aliases that multiply mappings": (MULTIPLIED_MAPPINGS, 5, "aliases"),
    "aliases that multiply lists": (MULTIPLIED_LISTS, 3, "aliases"),
    "a mapping inside itself": ("a: &a\n  b: *a\n", 2, ""),
    "a list inside itself": ("a: &a\n  - *a\n", 1, ""),
    "a bottomless nesting": (f"b: 1\na: {'[' * 2000}{']' * 2000}\n", 2, ""),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("text", "line", "what"), SYNTAX.values(), ids=SYNTAX.keys())
def test_an_unreadable_file_is_one_short_problem_near_its_line(text, line, what):
    path = written(text, "bad.yaml")
    with pytest.raises(SpecError) as caught:
        read_yaml(path)
    (problem,) = caught.value.problems
    file, _, number = problem.where.partition(":")
    assert file == "bad.yaml"
    assert abs(int(number) - line) <= (5 if what == "aliases" else 1)
    assert what in problem.message
    assert "\n" not in problem.message
    assert len(problem.message) < 120


def test_a_value_brought_in_by_a_merge_key_keeps_a_place_in_its_file():
    parsed = read_yaml(written("base: &base {lr: 0.5}\ntraining:\n  <<: *base\n  epochs: 3\n"))
    assert parsed.values["training"] == {"lr": 0.5, "epochs": 3}
    assert parsed.lines["training.epochs"] == 4
    assert not [key for key in parsed.lines if "<<" in key]  # would be offered as a suggestion


def test_a_later_layer_merges_into_mappings_and_replaces_all_else():
    layer = Layer()
    layer.merge({"a": {"b": 1, "c": [1, 2]}, "d": {"e": 1}}, {"a.b": [Setting(1, "one:1")]})
    layer.merge({"a": {"b": 2, "c": [3]}, "d": None}, {"a.b": [Setting(2, "two:1")]})
    assert layer.values == {"a": {"b": 2, "c": [3]}, "d": None}
    assert layer.origins["a.b"] == [Setting(1, "one:1"), Setting(2, "two:1")]


def test_a_command_line_value_makes_the_sections_around_it():
    layer = Layer()
    layer.put("a.b.c", 1, COMMAND_LINE)
    layer.put("a.b.d", 2, COMMAND_LINE)
    assert layer.values == {"a": {"b": {"c": 1, "d": 2}}}


def test_keys_are_dropped_only_where_they_are():
    layer = Layer({"a": {"b": None, "c": 2}})
    assert layer.drop("a.b")
    assert not layer.drop("a.b")
    assert not layer.drop("a.c.d")
    assert not layer.drop("x.y")
    assert layer.values == {"a": {"c": 2}}


def test_a_copy_of_a_layer_shares_nothing_with_it():
    layer = Layer()
    layer.merge({"a": {"b": [1]}}, {"a.b": [Setting([1], "one:1")]})
    copy = layer.copy()
    copy.put("a.b", [2], COMMAND_LINE)
    copy.values["a"]["c"] = 3
    assert layer.values == {"a": {"b": [1]}}
    assert layer.origins == {"a.b": [Setting([1], "one:1")]}


def test_the_place_of_a_key_is_its_last_setting_or_that_of_what_surrounds_it():
    origins = {"a": [Setting({}, "f:1")], "a.b": [Setting(1, "f:2"), Setting(2, COMMAND_LINE)]}
    assert where_is(origins, "a.b") == COMMAND_LINE
    assert where_is(origins, "a.x.y") == "f:1"
    assert where_is(origins, "z") == ""


def test_paths_are_shown_as_a_person_would_write_them(tmp_path):
    assert display(tmp_path / "conf" / "x.yaml") == "conf/x.yaml"
    assert display(Path("/elsewhere/x.yaml")) == "/elsewhere/x.yaml"
