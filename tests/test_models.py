"""The verbs `models` and `rollback`, as people and machines meet them."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from registries import DATABASE, SECOND, candidate, mlflow_client, project, register

from mlops_spec import cli, model_view
from mlops_spec.registering import LocalRegistry

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

WHERE = f"workspace.database={DATABASE}"
SPEC = ("name=mine", "registered_model=digits", WHERE)


@pytest.fixture(scope="module")
def prepared(_registered, tmp_path_factory):
    """Two models, one of them with three versions, of which the second is champion."""
    folder = tmp_path_factory.mktemp("models") / "prepared"
    with project(_registered, folder):
        metrics = {"accuracy": 0.8, "log_loss": 0.5}
        register(candidate(folder / "second", SECOND, 1, 2.0, metrics=metrics))
        register(candidate(folder / "third", "3c" * 32, 2, 3.0))
        LocalRegistry(DATABASE, Path(".mlops/models")).rollback("digits")
        register(candidate(folder / "letter", SECOND, 0, 4.0, model="letters"))
    return folder


@pytest.fixture(autouse=True)
def _in_a_copy(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def say(capsys):
    def run(*words):
        code = cli.main([*words])
        out, err = capsys.readouterr()
        return int(code), out, err

    return run


@pytest.fixture
def lines(say):
    def run(*words):
        code, out, err = say(*words)
        assert (code, err) == (0, "")
        return out.splitlines()

    return run


@pytest.fixture
def documents(lines):
    return lambda *words: [json.loads(line) for line in lines(*words, "--json")]


def bundle_of(number, model="digits"):
    versions = LocalRegistry(DATABASE, Path(".mlops/models")).versions(model)
    return Path(versions[number - 1].path)


def test_all_models_are_listed_without_choosing_an_experiment(lines):
    head, digits, letters = lines("models", WHERE)
    assert head.split() == [
        *("model", "versions", "champion", "accuracy", "log_loss"),
        "last",
        "registered",
    ]
    assert re.fullmatch(r"digits +3 +2 +0\.8000 +0\.5000  (now|\d+ seconds? ago)", digits)
    assert letters.split()[:5] == ["letters", "1", "1", "0.7500", "-"]


def test_an_experiment_says_in_which_workspace_to_look(lines):
    assert lines("models", "+experiment=quickstart")[0].startswith(
        "no model is registered here yet"
    )
    assert len(lines("models", "+experiment=quickstart", WHERE)) == 3


def test_the_list_for_machines(documents):
    digits, letters = documents("models", WHERE)
    assert digits["created"].endswith("Z")
    del digits["created"]
    assert digits == {
        "model": "digits",
        "versions": 3,
        "champion": 2,
        "metrics": {"accuracy": 0.8, "log_loss": 0.5},
        "damage": "",
    }
    assert letters["model"] == "letters"
    assert documents("models") == []


def test_a_model_shows_versions_and_history(lines, monkeypatch):
    assert "log_loss" not in lines("models", "digits", WHERE)[1]  # no room for it
    monkeypatch.setenv("COLUMNS", "100")
    title, head, first, second, third, history, *moves = lines("models", "digits", WHERE)
    assert title == "digits: 3 versions, champion 2"
    assert head.split()[:4] == ["version", "accuracy", "log_loss", "digest"]
    assert first.split()[:3] == ["1", "0.7500", "-"]
    assert second.split()[:4] == ["●", "2", "0.8000", "0.5000"]
    assert second.split()[5:8] == ["2b2b2b2b", "1", "yes"]
    assert third.split()[0] == "3"
    assert history == "history of the champion (UTC)"
    told = [line.split("  ", 2)[2] for line in moves]
    assert told[0].split("  ")[-2:] == ["none -> 1", "gate: better"]
    assert [re.split(r"  +", text)[-2:] for text in told[1:]] == [
        *(["1 -> 2", "gate: better"], ["2 -> 3", "gate: better"], ["3 -> 2", "rollback"]),
    ]


@pytest.mark.parametrize(
    "words", [[], ["digits"], ["digits/2"], ["compare", "digits/1", "digits/2"]]
)
def test_everything_fits_a_terminal_of_80_columns(words, lines):
    place = LocalRegistry(DATABASE, Path(".mlops/models"))
    place.promote("digits", 3, "gate: better than the champion: " + "so many words " * 20, 2)
    assert max(map(len, lines("models", *words, WHERE))) <= 80


def test_a_model_for_machines(documents):
    (digits,) = documents("models", "digits", WHERE)
    assert [v["version"] for v in digits["versions"]] == [1, 2, 3]
    assert [v["rolled_back"] for v in digits["versions"]] == [False, False, True]
    assert digits["versions"][1]["train"] == SECOND
    assert [m["kind"] for m in digits["history"]] == [*("promote",) * 3, "rollback"]


def test_a_version_shows_all_there_is(lines):
    mlflow_client().set_model_version_tag("digits", "2", "owner", "ann")
    text = "\n".join(lines("models", "digits/2", WHERE))
    assert text.startswith("digits version 2, champion\n")
    for part in (
        r"measured against +version 1, the champion then",
        r"bundle +\.mlops/models/digits/\w{16}\n",
        r"intact +yes",
        r"training step +2b2b2b2b2b2b2b2b\n",
        r"labels +3: blue, green, red",
        r"accuracy +0\.8000",
        r"owner +ann",
        r"model\.backbone +brightness",
        r"onnx +1",
    ):
        assert re.search(part, text), part
    assert "digits version 3, rolled back" in lines("models", "digits/3", WHERE)[0]
    assert "nobody: there was no champion" in "\n".join(lines("models", "digits/1", WHERE))


def test_a_version_for_machines_has_its_card_and_no_pictures(documents):
    (version,) = documents("models", "digits/2", WHERE)
    assert version["model"] == "digits"
    assert version["card"]["labels"] == ["blue", "green", "red"]
    assert version["card"]["spec"]["model"] == {"backbone": "brightness"}
    assert "golden" not in version["card"]
    assert len(version["digest"]) == 64


def test_two_versions_side_by_side(lines):
    path = bundle_of(2) / "model.json"
    card = json.loads(path.read_bytes())
    card["spec"]["seed"], card["spec"]["new"] = 7, None
    path.write_text(json.dumps(card), encoding="utf-8")
    said = lines("models", "compare", "digits/1", "digits/2", WHERE)
    assert said[0].split() == ["digits/1", "digits/2", "difference"]
    assert said[1].split() == ["accuracy", "0.7500", "0.8000", "+0.0500"]
    assert said[2].split() == ["log_loss", "-", "0.5000", "-"]
    assert said[3:] == ["the same data", "other settings", "  seed  0 -> 7", "the same libraries"]


def test_a_comparison_for_machines(documents):
    (both,) = documents("models", "compare", "digits/2", "letters/1", WHERE)
    assert both == {
        "versions": ["digits/2", "letters/1"],
        "metrics": {"accuracy": [0.8, 0.75], "log_loss": [0.5, None]},
        "unreadable": [],
        "data": {},
        "spec": {},
        "libraries": {},
    }


def test_a_bundle_that_is_gone_or_changed_is_shown_wherever_it_is_looked_at(lines, documents):
    with (bundle_of(2) / "model.onnx").open("ab") as file:
        file.write(b"x")
    shutil.rmtree(bundle_of(1))
    why = "its weights or network were changed"
    assert lines("models", WHERE)[2] == f"  its champion can not be used: {why}"
    said = lines("models", "digits", WHERE)
    assert [line.split()[-3] for line in said[2:5]] == ["no", "no", "yes"]
    assert said[5:7] == ["  version 1: its bundle is gone", f"  version 2: {why}"]
    (digits,) = documents("models", "digits", WHERE)
    assert [v["intact"] for v in digits["versions"]] == [False, False, True]
    assert any(f"no: {why}" in line for line in lines("models", "digits/2", WHERE))
    assert lines("models", "digits/1", WHERE)[0] == "digits version 1"
    compared = lines("models", "compare", "digits/1", "digits/2", WHERE)
    assert compared[-1] == "the card of digits/1 can not be read: its spec is unknown"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["digit"], "no such registered model; did you mean digits? (known: digits, letters)"),
        (["digits/4"], "no such version (known: digits/1, digits/2, digits/3)"),
        (["digits/"], "no such version"),
        (["digits/1/2"], "no such version"),
        (["digits/01"], "no such version"),
        (["leters/1"], "did you mean letters?"),
        (["digits", "letters"], "models compare NAME/VERSION NAME/VERSION"),
        (["compare"], "takes two versions"),
        (["compare", "digits/1"], "takes two versions"),
        (["compare", "digits/1", "digits/2", "digits/3"], "takes two versions"),
        (["compare", "digits/1", "digits/9"], "no such version"),
        (["compare", "digits/1", "digits"], "no such version"),
        (["-m"], "leave out -m"),
        (["--check"], "--check belongs to"),
        (["workspac.database=x"], "did you mean"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_said_with_what_is(words, what, say):
    code, out, err = say("models", *words, WHERE)
    assert (code, out) == (2, "")
    assert what in err
    assert "Traceback" not in err


def test_without_a_registry_nothing_is_listed_and_nothing_is_made(say, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert say("models")[:2] == (
        *(
            0,
            "no model is registered here yet; `python -m mlops_spec +experiment=NAME` makes one\n",
        ),
    )
    assert "nothing is registered here yet" in say("models", "digits")[2]
    code, _, err = say("rollback", "+experiment=quickstart")
    assert code == 1
    assert "nothing is registered as digits" in err
    assert [*Path.cwd().iterdir()] == []


def test_a_registry_in_the_cloud_needs_the_sdk(say, monkeypatch):
    monkeypatch.setattr("mlops_spec.azure.client._is_installed", lambda _: False)
    cloud = ("workspace=azure", "workspace.subscription_id=11111111-2222-3333-4444-555555555555")
    for words in (["models"], ["rollback", "name=mine"]):
        code, out, err = say(*words, *cloud)
        assert (code, out) == (1, "")
        assert "azure.ai.ml is not installed" in err
        assert "pip install 'mlops_spec[azure]'" in err


@pytest.mark.parametrize("words", [["models"], ["models", "digits"], ["rollback", *SPEC[:2]]])
def test_a_damaged_registry_is_one_clear_error(words, say):
    DATABASE.write_bytes(b"no database" * 100)
    code, out, err = say(*words, WHERE)
    assert (code, out) == (1, "")
    assert "can not be read: file is not a database" in err
    assert "restore it from a copy" in err


def test_going_back_says_where_to_and_what_to_do_next(say):
    code, out, err = say("rollback", *SPEC)
    assert (code, err) == (0, "")
    first, following, *commands = out.splitlines()
    assert first == "digits: version 1 is champion again instead of version 2"
    assert following == "next:"
    assert commands[0].startswith(f"  python -m mlops_spec plan {' '.join(SPEC)}    # ")
    assert commands[1].startswith(f"  python -m mlops_spec models digits {WHERE}    # ")
    assert mlflow_client().get_model_version_by_alias("digits", "champion").version == 1


def test_going_back_for_machines_and_in_few_words(say):
    code, out, _ = say("rollback", *SPEC, "--json")
    document = json.loads(out)
    assert (code, document.pop("when")[:2]) == (0, "20")
    assert document == {
        "event": "rollback",
        "model": "digits",
        "before": 2,
        "after": 1,
        "kind": "rollback",
        "why": "",
    }
    code, _, err = say("rollback", *SPEC)
    assert code == 1
    assert "digits has no earlier champion to go back to: nobody was before version 1" in err


def test_quiet_is_one_line(say):
    assert say("rollback", *SPEC, "-q")[1].count("\n") == 1


def test_going_back_to_a_bundle_that_is_gone_is_refused(say):
    shutil.rmtree(bundle_of(1))
    code, out, err = say("rollback", *SPEC)
    assert (code, out) == (1, "")
    assert "digits 1 was champion before, but its bundle is gone" in err
    assert "restore .mlops/models/digits/" in err


def test_a_model_of_another_name_has_nowhere_to_go_back_to(say):
    code, _, err = say("rollback", "name=mine", "registered_model=digit", WHERE)
    assert code == 1
    assert "nothing is registered as digit; did you mean digits?" in err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["digits"], "rollback does not take 'digits': write KEY=VALUE"),
        ([], "choose an experiment by +experiment=NAME"),
        (["-m", *SPEC], "leave out -m"),
    ],
)
def test_a_rollback_of_nothing_is_a_wrong_command(words, what, say):
    code, _, err = say("rollback", *words)
    assert code == 2
    assert what in err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "now"), (-5, "now"), (1, "1 second ago"), (59, "59 seconds ago")),
        *((60, "1 minute ago"), (7200, "2 hours ago"), (86400 * 400, "400 days ago")),
    ],
)
def test_an_age_is_said_in_its_largest_unit(seconds, text):
    when = datetime.now(UTC) - timedelta(seconds=seconds)
    assert model_view.ago(f"{when:%Y-%m-%dT%H:%M:%S.%fZ}") == text
