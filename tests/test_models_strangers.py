"""What strangers wrote into a bundle or a registry reaches no terminal as it is.

Otherwise it could move the cursor, hide what is wrong, or forge a line that we would have said.
"""

import json
import shutil
from pathlib import Path

import lineages
import pytest
from registries import DATABASE, SECOND, candidate, mlflow_client, project, register

from mlops_spec import cli, model_view
from mlops_spec.redaction import harmless
from mlops_spec.registering import LocalRegistry
from mlops_spec.view import Style

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

WHERE = f"workspace.database={DATABASE}"
FORGED = "  signed by somebody, which is lineage.trusted_key"
EVIL = f"x\x1b[2J\x9b1A\r\u202e\u2028\n{FORGED}\ny"


@pytest.fixture(scope="module")
def prepared(_registered, tmp_path_factory):
    """Two versions; every text of theirs that nothing else refuses is forged."""
    folder = tmp_path_factory.mktemp("strangers") / "prepared"
    with project(_registered, folder):
        register(candidate(folder / "second", SECOND, 1, 2.0))
        for version in versions():
            forge(Path(version.path), version.version)
    return folder


def versions():
    return LocalRegistry(DATABASE, Path(".mlops/models")).versions("digits")


def forge(bundle, number):
    card = json.loads((bundle / "model.json").read_text())
    card["versions"] = {"onnx": f"{EVIL}{number}", EVIL: "1"}
    card["spec"] = {"seed": number, EVIL: EVIL}
    card["labels"] = [f"{EVIL}{label}" for label in card["labels"]]
    (bundle / "model.json").write_text(json.dumps({**card, "trainer": EVIL}))
    lineages.changed(bundle, gate={"verdict": "promote", "reason": EVIL})
    client = mlflow_client()
    client.set_model_version_tag("digits", str(number), "note", EVIL)
    client.set_model_version_tag("digits", str(number), "mlops_spec.train", EVIL)


@pytest.fixture
def say(prepared, tmp_path, monkeypatch, capsys):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        cli.main(["models", *words, WHERE])
        return "".join(capsys.readouterr())

    return run


WORDS = (
    [],
    ["digits"],
    ["digits/1"],
    ["compare", "digits/1", "digits/2"],
    ["verify", "digits/1"],
    ["digit"],
    ["digits/9"],
)


@pytest.mark.parametrize("machine", [[], ["--json"]], ids=["people", "machines"])
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_nothing_of_it_reaches_a_terminal(words, machine, say):
    said = say(*words, *machine)
    assert said
    assert FORGED not in said.splitlines()
    assert all(line.isprintable() for line in said.split("\n"))


def test_machines_get_it_as_it_is(say):
    document = json.loads(say("digits/1", "--json"))
    assert document["card"]["trainer"] == document["tags"]["note"] == EVIL
    assert document["lineage"]["gate"]["reason"] == EVIL


def test_people_see_that_it_is_there(say):
    assert f"note  {harmless(EVIL)}" in say("digits/1")


def test_a_name_in_a_registry_is_said_without_it(say):
    mlflow_client().create_registered_model(f"digits{EVIL[:5]}")
    mlflow_client().create_model_version(
        f"digits{EVIL[:5]}", "elsewhere", tags={"mlops_spec.digest": "x"}
    )
    said = say("digit")
    assert "digitsx\\x1b[2J" in said
    assert all(line.isprintable() for line in said.split("\n"))
    assert "digitsx\\x1b[2J" in say()


def test_a_lineage_that_is_believed_is_harmless_all_the_same():
    said = {"model": EVIL, "registered": EVIL, "files": {}}
    document = {"bundle": EVIL, "problems": [], "signed_by": EVIL, "trusted_key": EVIL}
    lines = list(model_view.verified({**document, "lineage": said}, Style()))
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    (_, line) = model_view.verified({**document, "problems": [EVIL]}, Style())
    assert line == f"  {harmless(EVIL)}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("digits", "digits"),
        ("ä „ñ“ 猫 🐈", "ä „ñ“ 猫 🐈"),
        ("a\tb\nc\r", "a\\tb\\nc\\r"),
        ("\x1b[31m\x9b\x7f", "\\x1b[31m\\x9b\\x7f"),
        ("\u202eabc\u2066\u200b", "\\u202eabc\\u2066\\u200b"),
        ("\ud800", "\\ud800"),
    ],
)
def test_text_is_harmless_and_readable(text, shown):
    assert harmless(text) == shown
