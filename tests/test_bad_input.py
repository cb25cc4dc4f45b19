"""Several mistakes at once, unreadable files, unknown words and secrets: one short answer each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from project import check, experiment, refusal, rows, shipped, started, tree, write

from mlops_spec.cli import VERBS, main
from mlops_spec.errors import ExitCode

MINE = "+experiment=mine"
QUICK = "+experiment=quickstart"
FILE = "conf/experiment/mine.yaml"
LINE = "command line"
CONFIG = shipped("config") + "sede: 1\n"
CONFIG_LINE = f"conf/config.yaml:{len(CONFIG.splitlines())}"


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    """An empty folder, in which nothing may start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlops_spec.run.execute", started)


THREE = {"conf/config.yaml": CONFIG, **experiment("training:\n  freez: none")}
THREE_WORDS = [MINE, "model.backbon=small_cnn"]
THREE_PROBLEMS = [
    (CONFIG_LINE, "sede", "did you mean seed?"),
    (f"{FILE}:4", "training.freez", "did you mean freeze?"),
    (LINE, "model.backbon", "did you mean backbone?"),
]


@pytest.mark.parametrize(
    "verb", [[], ["run"], ["plan"], ["show"], ["show", "seed"], ["-m"]], ids=" ".join
)
def test_three_misspellings_in_three_places_are_one_message_whatever_the_verb(verb, capsys):
    check(refusal(THREE, [*verb, *THREE_WORDS], capsys), THREE_PROBLEMS)


def test_the_columns_of_the_message_are_aligned(capsys):
    lines = refusal(THREE, THREE_WORDS, capsys).splitlines()
    assert len({line.index("unknown key") for line in lines}) == 1


def test_machines_get_the_same_problems_as_one_json_document(capsys):
    said = refusal(THREE, THREE_WORDS, capsys)
    document = json.loads(refusal({}, [*THREE_WORDS, "--json"], capsys))
    assert document["event"] == "error"
    assert document["exit_code"] == 2
    problems = [[p["where"], p["key"], p["message"]] for p in document["problems"]]
    assert problems == rows(said)
    assert document["message"] + "\n" == said


def test_a_sweep_names_each_bad_value_once_and_the_member_that_has_it(capsys):
    said = refusal({}, ["-m", QUICK, "seed=1,b,3", "training.lr=0.1,-1", "model.backbon=x"], capsys)
    expected = [
        (LINE, "model.backbon", "did you mean backbone?"),
        (LINE, "seed", "seed=b training.lr=0.1"),
        (LINE, "training.lr", "seed=1 training.lr=-1"),
    ]
    check(said, expected)


def test_the_plan_of_a_sweep_is_shown_only_when_all_of_it_is_valid(capsys):
    said = refusal({}, ["plan", "-m", QUICK, "seed=1,b"], capsys)
    assert "'b'" in said


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("training:\n  lr: [0.1\nseed: 1", 5),
        ("training: {lr: 'x\n", 5),
        ("a:\n\tb: 1", 4),
        ("seed: 1\nseed: 2", 4),
    ],
    ids=["bracket", "quote", "tab", "twice"],
)
def test_a_syntax_error_is_one_short_line_with_its_place(body, line, capsys):
    said = refusal(experiment(body), [QUICK], capsys)
    ((where, message),) = rows(said)
    file, _, number = where.partition(":")
    assert file == FILE
    assert abs(int(number) - line) <= 1
    assert message.startswith("this is not valid YAML: ")
    assert len(said) < 160


def test_the_syntax_errors_of_all_files_are_said_at_once(capsys):
    files = {**experiment("a: 'x"), "conf/model/a.yaml": "b: [\n", "conf/model/fine.yaml": "c: 1\n"}
    assert [row[0].partition(":")[0] for row in rows(refusal(files, [QUICK], capsys))] == [
        FILE,
        "conf/model/a.yaml",
    ]


def test_an_experiment_without_its_package_line_is_told_to_write_it(capsys):
    ((where, _, message),) = rows(refusal({FILE: "name: mine\nseed: 1\n"}, [MINE], capsys))
    assert where.startswith(f"{FILE}:")
    assert "# @package _global_" in message


def test_a_key_with_dots_in_a_file_is_told_to_nest(capsys):
    said = refusal(experiment("training.lr: 0.1"), [MINE], capsys)
    check(said, [(f"{FILE}:3", "training.lr", "training:")])


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["shwo", QUICK], "unknown verb 'shwo'; did you mean show?"),
        (["xyz"], f"(known: {', '.join(VERBS)})"),
        ([QUICK, "--jsn"], "unknown switch --jsn; did you mean --json?"),
        ([QUICK, "--multi"], "unknown switch --multi"),
        ([QUICK, "-x"], "unknown switch -x"),
        ([QUICK, "training"], "'training'"),
        (["plan", "quickstart"], "'quickstart': write KEY=VALUE"),
        ([QUICK, "training.lr=[1"], "'training.lr=[1'"),
        ([QUICK, "=1"], "'=1'"),
        ([QUICK, "training.lr=0.1,0.2"], "add -m for a sweep"),
        (["-m", QUICK, "training.lr=interval(0,1)"], "needs a step"),
        (["show", "training.lrr", QUICK], "no such key in the spec; did you mean training.lr?"),
        (["init"], "init takes one folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_line_that_means_nothing_is_refused_with_a_hint(argv, what, capsys):
    ((where, *_, message),) = rows(refusal({}, argv, capsys))
    assert where == LINE
    assert what in message


def test_all_unreadable_words_are_said_at_once(capsys):
    said = refusal({}, [QUICK, "training.lr=[1", "seed=(2"], capsys)
    assert "training.lr=[1" in said
    assert "seed=(2" in said


TOKEN = "ghp_" + "a1B2" * 9
KEY = "AccountName=a;AccountKey=aGVsbG8aGVsbG8=="
SEED = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"  # 32 bytes in base64
ENVIRONMENT = "compute.environment"


def written(value):
    return experiment(f"compute:\n  environment:\n    DB_PASSWORD: {value}")


# name -> files, command line, the secret, the key that is told to be one
SECRETS = {
    "by name in YAML": (written("hunter2"), [MINE], "hunter2", f"{ENVIRONMENT}.DB_PASSWORD"),
    "a number in YAML": (written("48151623"), [MINE], "48151623", f"{ENVIRONMENT}.DB_PASSWORD"),
    "by look in YAML": (
        experiment(f"registered_model: {TOKEN}"),
        [MINE],
        TOKEN,
        "registered_model",
    ),
    "a list in YAML": (experiment("extra: {tokens: [hunter2]}"), [MINE], "hunter2", "extra.tokens"),
    "used elsewhere": (
        experiment(f"name: a{{{TOKEN}\nseed: ${{name}}", head=""),
        [MINE],
        TOKEN,
        "seed",
    ),
    "by name": ({}, [QUICK, "+password=hunter2"], "hunter2", "password"),
    "a number": (
        {},
        [QUICK, f"+{ENVIRONMENT}.API_KEY=48151623"],
        "48151623",
        f"{ENVIRONMENT}.API_KEY",
    ),
    "by look": ({}, [QUICK, f"+{ENVIRONMENT}.A={TOKEN}"], TOKEN, f"{ENVIRONMENT}.A"),
    "quoted": ({}, [QUICK, f"+{ENVIRONMENT}.A='{KEY}'"], KEY, f"{ENVIRONMENT}.A"),
    "of a wrong type": ({}, [QUICK, f"training.lr={TOKEN}"], TOKEN, "training.lr"),
    "as a choice": ({}, [QUICK, f"training.optimizer={TOKEN}"], TOKEN, "training.optimizer"),
    "as a name": ({}, [QUICK, f"'name={TOKEN} x'".strip("'")], TOKEN, "name"),
    "as a kind": ({}, [QUICK, f"target.kind={TOKEN}"], TOKEN, "target.kind"),
    "as a kind of the engine's": ({}, [QUICK, f"compute.kind={TOKEN}"], TOKEN, "compute.kind"),
    "as a folder": ({}, ["name=x", "data=folder", f"data.root={TOKEN}"], TOKEN, "data.root"),
    "a key to sign with": ({}, [QUICK, f"lineage.sign_with={SEED}"], SEED, "lineage.sign_with"),
    "a key to sign with in YAML": (
        experiment(f"lineage:\n  sign_with: {SEED}="),
        [MINE],
        SEED,
        "lineage.sign_with",
    ),
    "a private key for a public one": (
        experiment("lineage: {trusted_key: '-----BEGIN PRIVATE KEY----- hunter2'}"),
        [MINE],
        "hunter2",
        "lineage.trusted_key",
    ),
    "in a sweep": (
        {},
        ["-m", QUICK, f"+{ENVIRONMENT}.TOKEN=hunter2,{TOKEN}", "seed=1,b"],
        "hunter2",
        f"{ENVIRONMENT}.TOKEN",
    ),
}


@pytest.mark.parametrize(("files", "argv", "secret", "key"), SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_is_refused_with_a_cure_and_never_repeated(files, argv, secret, key, capsys):
    said = refusal(files, argv, capsys)
    assert secret not in said
    told = [row for row in rows(said) if row[1:2] == [key] and "a secret does not belong" in row[2]]
    assert told
    assert "${secret:" in told[0][2]


# What is wrong here is said before anybody could know that a secret is among it.
UNSEEN = {
    "an unreadable override": ([QUICK, f"+{ENVIRONMENT}.A={KEY}"], KEY),
    "an unreadable override, by name": (
        [QUICK, f"+{ENVIRONMENT}.DB_PASSWORD=hunter2=="],
        "hunter2",
    ),
    "a switch": ([QUICK, "--password=hunter2"], "hunter2"),
    "an option": ([QUICK, f"model={TOKEN}"], TOKEN),
    "an experiment": ([f"+experiment={TOKEN}"], TOKEN),
    "a verb": ([TOKEN, QUICK], TOKEN),
    "a word": (["plan", TOKEN], TOKEN),
    "a key to show": (["show", QUICK, TOKEN], TOKEN),
}


@pytest.mark.parametrize(("argv", "secret"), UNSEEN.values(), ids=UNSEEN.keys())
def test_a_mistake_on_the_command_line_repeats_no_secret(argv, secret, capsys):
    assert secret not in refusal({}, argv, capsys)


@pytest.mark.parametrize(
    "value", ["@hunter2", "%hunter2", "*hunter2", "!hunter2 x", "'hunter2", "[hunter2"]
)
def test_a_syntax_error_beside_a_secret_does_not_repeat_it(value, capsys):
    assert "hunter2" not in refusal(written(value), [MINE], capsys)


def test_a_reference_to_a_secret_is_no_problem_and_stays_a_name(monkeypatch, capsys):
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    write(Path.cwd(), written("${secret:DB_PASSWORD}"))
    before = tree(Path.cwd())
    for argv in (["show", MINE], ["plan", MINE, "-v"], ["plan", MINE, "--json"]):
        assert main(argv) is ExitCode.DONE
    out, err = capsys.readouterr()
    assert out.count("${secret:DB_PASSWORD}") >= 3
    assert "hunter2" not in out + err
    assert tree(Path.cwd()) == before
