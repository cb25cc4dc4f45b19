"""`models verify`, `models key` and the lineage in `models NAME/VERSION`, as people meet them."""

import json
import re
import shutil
import stat
from pathlib import Path

import lineages
import pytest
import registries
from registries import DATABASE, FIRST, SECOND

from mlops_spec import cli, lineage
from mlops_spec.registering import LocalRegistry

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

WHERE = f"workspace.database={DATABASE}"
TRUST = f"lineage.trusted_key={lineages.public()}"


@pytest.fixture(scope="module")
def prepared(_registered, tmp_path_factory):
    """Version 1 is not signed; version 2 is, and champion."""
    folder = tmp_path_factory.mktemp("verify") / "prepared"
    with registries.project(_registered, folder):
        signed = registries.origin(1, lineages.key())
        registries.register(registries.candidate(folder / "b", SECOND, 1, 2.0, known=signed))
    return folder


@pytest.fixture(autouse=True)
def _in_a_copy(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def say(capsys):
    def run(*words):
        code = cli.main(["models", *words, WHERE])
        out, err = capsys.readouterr()
        return int(code), out, err

    return run


def bundle_of(number):
    versions = LocalRegistry(DATABASE, Path(".mlops/models")).versions("digits")
    return Path(versions[number - 1].path)


def test_a_version_that_nobody_touched_is_verified(say):
    code, out, err = say("verify", "digits/2")
    assert (code, err) == (0, "")
    first, second, third = out.splitlines()
    assert first == f"{bundle_of(2)} is what was registered"
    assert second.startswith("  as digits, 20")
    assert f"signed by {lineages.public()}; whether that is to be trusted" in third
    assert "which is lineage.trusted_key" in say("verify", "digits/2", TRUST)[1]


def test_a_version_that_nobody_signed_is_said_to_be_so(say):
    code, out, _ = say("verify", "digits/1")
    assert code == 0
    assert "  not signed: accidents would be seen, forgery would not\n" in out
    code, out, _ = say("verify", "digits/1", TRUST)
    assert code == 5
    head, problem = out.splitlines()
    assert head == f"{bundle_of(1)} is not to be trusted:"
    assert problem == f"  it is not signed; lineage.trusted_key is {lineages.public()}"


def test_a_tampered_version_is_said_in_a_line_a_problem(say):
    with (bundle_of(2) / "model.onnx").open("ab") as file:
        file.write(b"x")
    (bundle_of(2) / "more").touch()
    code, out, err = say("verify", "digits/2")
    assert (code, err) == (5, "")
    assert out.splitlines()[1:] == ["  model.onnx was changed", "  more was added"]


def test_a_folder_is_verified_wherever_it_is_and_without_any_registry(say, tmp_path):
    shutil.copytree(bundle_of(2), tmp_path / "taken/along")
    shutil.rmtree(".mlops")
    shutil.rmtree("state")
    assert say("verify", "taken/along", TRUST)[0] == 0
    (tmp_path / "taken/along/report.html").unlink()
    assert "report.html is gone" in say("verify", "taken/along")[1]


def test_a_registered_version_comes_before_a_folder_of_the_same_name(say, tmp_path):
    (tmp_path / "digits/2").mkdir(parents=True)
    assert str(bundle_of(2)) in say("verify", "digits/2")[1]
    code, out, _ = say("verify", "./digits/2")
    assert (code, out.splitlines()[0]) == (5, "digits/2 is not to be trusted:")


def test_a_signed_bundle_in_the_place_of_another_version_is_seen(say):
    shutil.rmtree(bundle_of(1))
    shutil.copytree(bundle_of(2), bundle_of(1))
    code, out, _ = say("verify", "digits/1", TRUST)
    assert code == 5
    assert "it is another model than the version that was registered" in out


def test_a_version_of_other_origin_is_not_looked_for_in_the_working_folder(say, tmp_path):
    shutil.copytree(bundle_of(2), tmp_path, dirs_exist_ok=True)
    registries.mlflow_client().create_model_version("digits", "elsewhere")
    code, out, err = say("verify", "digits/3")
    assert (code, out) == (2, "")
    assert "it was not registered from here" in err
    assert "unknown  it was not registered from here" in say("digits/3")[1]


def test_a_verification_for_machines(say):
    code, out, _ = say("verify", "digits/2", TRUST, "--json")
    found = json.loads(out)
    assert (code, found.pop("lineage")["train"]) == (0, SECOND)
    assert found == {
        "bundle": str(bundle_of(2)),
        "intact": True,
        "signed_by": lineages.public(),
        "trusted_key": lineages.public(),
        "problems": [],
    }
    shutil.rmtree(bundle_of(2))
    code, out, _ = say("verify", "digits/2", "--json")
    found = json.loads(out)
    assert (code, found["intact"], found["problems"]) == (5, False, ["its folder is gone"])
    assert found["lineage"] is found["signed_by"] is found["trusted_key"] is None


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["verify"], "takes one bundle"),
        (["verify", "digits/1", "digits/2"], "takes one bundle"),
        (["verify", "digits"], "no such folder; a registered model is NAME/VERSION"),
        (["verify", "digits/3"], "no such version (known: digits/1, digits/2)"),
        (["verify", "digit/1"], "did you mean digits?"),
        (["key"], "takes the file for the private key"),
        (["key", "a", "b"], "takes the file for the private key"),
        (["verify", "digits/1", "lineage.trusted_key=abc"], "base64 of its 32 bytes"),
    ],
)
def test_what_can_not_be_meant_is_said(say, words, what):
    code, out, err = say(*words)
    assert (code, out) == (2, "")
    assert what in err


def test_without_the_package_a_signed_version_is_shown_but_not_verified(say, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    code, _, err = say("verify", "digits/2")
    assert code == 1
    assert "pip install 'mlops_spec[signing]'" in err
    assert say("verify", "digits/1")[0] == 0
    assert "pip install" in say("digits/2")[1]


def test_a_version_is_shown_with_its_lineage(say):
    code, out, _ = say("digits/2")
    assert code == 0
    lines = out.split("\nlineage\n")[1].splitlines()
    assert lines[0] == f"  signed by     {lineages.public()}"
    assert lines[1] == "  gate          better"
    assert lines[2].endswith(", 1 modules")
    assert lines[3] == "  started from  chance"
    assert "signed by     nobody" in say("digits/1")[1]
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_wrong_with_a_lineage_is_shown_with_the_version(say):
    lineages.changed(bundle_of(2), train="ab" * 32)
    assert "its signature is not valid" in say("digits/2")[1]
    (bundle_of(2) / lineage.FILE).unlink()
    assert "unknown  it has no lineage.json" in say("digits/2")[1]
    found = json.loads(say("digits/2", "--json")[1])
    assert (found["lineage"], found["signed_by"]) == (None, None)
    assert found["lineage_problems"]


def test_registering_again_vouches_for_what_was_trained_and_not_for_what_lay_there(say, tmp_path):
    (bundle_of(1) / "more").touch()
    (bundle_of(1) / "report.html").write_text("<p>forged</p>")
    patch = pytest.MonkeyPatch()
    patch.setattr("registries.MODELS", Path(".mlops/models"))
    again = registries.origin(0, lineages.key())
    made = registries.candidate(tmp_path / "again", FIRST, 0, 1.0, known=again)
    registries.register(made)
    patch.undo()
    assert say("verify", "digits/1", TRUST)[0] == 0
    assert (bundle_of(1) / "report.html").read_text() == f"<p>{FIRST}</p>"
    assert [path.name for path in bundle_of(1).parent.iterdir() if path.name[0] == "."] == []


def test_a_signature_does_not_outlive_the_wish_for_one(say, tmp_path):
    patch = pytest.MonkeyPatch()
    patch.setattr("registries.MODELS", Path(".mlops/models"))
    registries.register(registries.candidate(tmp_path / "again", SECOND, 1, 2.0))
    patch.undo()
    assert "not signed" in say("verify", "digits/2")[1]


def test_a_pair_of_keys_is_made_and_the_private_one_not_shown(say, tmp_path):
    code, out, err = say("key", "signing.pem")
    assert (code, err) == (0, "")
    path = tmp_path / "signing.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = path.read_text()
    assert not any(line in out for line in secret.splitlines()[1:-1])
    public = out.splitlines()[1].removeprefix("public key: ")
    assert json.loads(say("key", "other.pem", "--json")[1])["private"] == "other.pem"
    assert re.fullmatch(r"[\w+/]{43}\n", say("key", "third.pem", "-q")[1])
    assert say("verify", "digits/1", f"lineage.trusted_key={public}")[0] == 5  # it is one
    code, _, err = say("key", "signing.pem")
    assert (code, path.read_text()) == (1, secret)
    assert "exists" in err
