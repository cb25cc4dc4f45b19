"""Signed lineages from the command line to a service: who signs, who asks, and what is refused."""

import base64
import json
import os
import subprocess
from pathlib import Path

import lineages
import pytest
from scoring import free_port, state_of, stop
from toyproject import KINDS, Project, copy

from mlops_spec import signing

pytestmark = pytest.mark.slow

SIGN = "lineage.sign_with=${secret:SIGNING_KEY}"
TRUST = f"lineage.trusted_key={lineages.public()}"


@pytest.fixture
def keyed(_finished: Project, tmp_path, monkeypatch) -> Project:
    """A project whose every step is done, and a key in the environment."""
    monkeypatch.setenv("SIGNING_KEY", lineages.secret())
    return Project(copy(_finished, tmp_path / "project").path, apart=True)


def bundle_of(project: Project) -> Path:
    (found,) = project.path.glob(".mlops/models/toy/*")
    return found


def test_signing_registers_again_and_trains_nothing(keyed: Project) -> None:
    assert not (bundle_of(keyed) / "lineage.sig.json").exists()
    assert keyed.ran(SIGN) == ["register", "deploy"]
    assert keyed.ran(SIGN) == []
    assert keyed.call("models", "verify", "toy/1", TRUST).returncode == 0
    assert len(list(keyed.path.glob(".mlops/models/toy/*"))) == 1


def test_nobody_signs_until_a_spec_asks_for_it(keyed: Project, monkeypatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, lineages.secret())
    assert "register" in keyed.ran("registered_model=other")
    (made,) = keyed.path.glob(".mlops/models/other/*")
    assert (made / "lineage.json").exists()
    assert not (made / "lineage.sig.json").exists()


def test_a_lineage_tells_the_code_that_was_recorded_with_the_training(keyed: Project) -> None:
    trained = json.loads(keyed.result_files()["train"].read_text())
    said = json.loads((bundle_of(keyed) / "lineage.json").read_text())
    assert said["code"]["modules"] == trained["code"]
    assert said["train"] == trained["key"]
    assert said["gate"]["verdict"] == "promote"
    assert said["parents"] == {"champion": None, "weights": None}


def test_a_second_model_names_the_champion_it_beat(keyed: Project) -> None:
    first = json.loads((bundle_of(keyed) / "lineage.json").read_text())
    words = ("training.rounds=4", "model.input_size=8", "evaluation=floor")
    words += ("evaluation.gate.floors.accuracy=0.1",)
    assert "register" in keyed.ran(*words)
    found = [json.loads(p.read_text()) for p in keyed.path.glob(".mlops/models/toy/*/lineage.json")]
    (second,) = [one for one in found if one["bundle"] != first["bundle"]]
    assert second["parents"]["champion"] == {"version": 1, "digest": first["bundle"]}


def secrets_of(key: str) -> list[bytes]:
    """All that would give a private key away, as text or as bytes."""
    raw = base64.b64decode(key) if len(key) < 50 else b""
    lines = [line for line in key.splitlines() if line and not line.startswith("-----")]
    return [line.rstrip("=").encode() for line in lines] + (
        [raw, raw.hex().encode()] if raw else []
    )


@pytest.mark.parametrize("form", ["base64", "PEM"])
def test_a_key_reaches_no_file_and_no_line(keyed: Project, tmp_path, monkeypatch, form) -> None:
    public = lineages.public()
    if form == "PEM":
        public = signing.make(tmp_path / "key.pem")
        monkeypatch.setenv("SIGNING_KEY", (tmp_path / "key.pem").read_text())
    hidden = secrets_of(os.environ["SIGNING_KEY"])
    assert hidden
    said = ""
    for words in (["plan", "-v"], ["plan", "--json"], ["run", "-v"], ["show"], ["run", "--json"]):
        answer = keyed.run(words[0], *KINDS, SIGN, *words[1:])
        assert answer.returncode == 0, answer.stderr
        said += answer.stdout + answer.stderr
    cloud = ["compute=azureml_cpu", "workspace=azure"]
    cloud += ["workspace.subscription_id=11111111-2222-3333-4444-555555555555"]
    answer = keyed.run("render", *KINDS, SIGN, *cloud)
    assert answer.returncode == 0, answer.stderr
    said += answer.stdout + answer.stderr
    verified = keyed.run("models", "verify", "toy/1", f"lineage.trusted_key={public}")
    assert verified.returncode == 0, verified.stdout
    for secret in hidden:
        assert secret.decode("latin-1") not in said
        for path in keyed.path.rglob("*"):
            assert not path.is_file() or secret not in path.read_bytes(), path


def test_a_key_that_is_not_set_is_said_before_any_work(project: Project, monkeypatch) -> None:
    monkeypatch.delenv("SIGNING_KEY", raising=False)
    answer = project.run(*KINDS, SIGN)
    assert answer.returncode == 2
    assert "lineage.sign_with  the secret SIGNING_KEY is not set" in answer.stderr
    assert not list(project.path.glob(".mlops/steps/*"))
    assert project.run("plan", *KINDS, SIGN).returncode == 0  # which needs no key


def test_a_key_that_is_none_is_said_without_a_word_of_it(keyed: Project, monkeypatch) -> None:
    monkeypatch.setenv("SIGNING_KEY", "hunter2hunter2")
    answer = keyed.run(*KINDS, SIGN)
    assert answer.returncode == 5
    assert "is no Ed25519 private key" in answer.stderr
    assert "hunter2" not in answer.stderr + answer.stdout


def test_nothing_to_do_needs_no_key(keyed: Project, monkeypatch) -> None:
    keyed.ran(SIGN)
    monkeypatch.delenv("SIGNING_KEY")
    assert keyed.run(*KINDS, SIGN).returncode == 0


def test_a_target_that_checks_no_signature_is_not_trusted_with_a_key(keyed: Project) -> None:
    answer = keyed.run(*KINDS, TRUST)
    assert answer.returncode == 2
    assert "lineage.trusted_key  target.kind=toy checks no signature" in answer.stderr
    assert keyed.run("plan", *KINDS, "target=none", TRUST).returncode == 0


def asked(project: Project) -> int:
    """The process that serves."""
    return int(state_of(project.path)["deployments"]["blue"]["pid"])


@pytest.fixture
def serving(keyed: Project):
    """A signed model that is served because it is signed."""
    port = free_port()
    words = ["name=toy", "data=toy", "training=toy", "target=local", f"target.port={port}", SIGN]
    answer = keyed.run(*words, TRUST)
    assert answer.returncode == 0, answer.stderr
    yield keyed, port, words
    stop(keyed.path)


def test_a_service_does_not_have_the_key_that_signed_its_model(serving) -> None:
    project, _, _ = serving
    environment = Path(f"/proc/{asked(project)}/environ")
    if not environment.exists():
        pytest.skip("LOUD: no /proc here: nobody looked at the environment of a service")
    found = environment.read_bytes()
    assert b"PATH=" in found
    assert b"SIGNING_KEY" not in found
    assert lineages.secret().encode() not in found


def refused(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    answer = project.run(*words)
    assert answer.returncode == 5
    assert "is refused" in answer.stderr
    return answer


@pytest.mark.parametrize(
    "name", ["model.safetensors", "model.onnx", "model.json", "report.html", "lineage.json"]
)
def test_a_tampered_bundle_is_refused_and_the_service_goes_on(serving, name) -> None:
    project, _, words = serving
    before, path = asked(project), bundle_of(project) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    answer = refused(project, *words, TRUST, "target.host=localhost")  # asks for a new service
    assert name in answer.stderr
    assert asked(project) == before


def test_what_is_not_signed_by_the_trusted_key_is_refused(serving, monkeypatch) -> None:
    project, _, words = serving
    before = asked(project)
    answer = refused(project, *words, f"lineage.trusted_key={lineages.public(2)}")
    assert f"it is signed by {lineages.public()}" in answer.stderr
    (bundle_of(project) / "lineage.sig.json").unlink()
    answer = refused(project, *words, TRUST, "target.host=localhost")
    assert "it is not signed" in answer.stderr
    assert asked(project) == before
    # The cure that is told: out of the way, and registered again.
    bundle_of(project).rename(project.path / "aside")
    monkeypatch.setenv("SIGNING_KEY", lineages.secret(2))
    trust = f"lineage.trusted_key={lineages.public(2)}"
    answer = project.run(*words, trust)
    assert answer.returncode == 0, answer.stderr
    assert asked(project) != before


def test_another_model_with_a_sound_signature_does_not_take_its_place(serving) -> None:
    project, _, words = serving
    before, home = asked(project), bundle_of(project)
    lineages.registered(project.path / "other", lineages.key())
    home.rename(project.path / "aside")
    (project.path / "other").rename(home)
    answer = refused(project, *words, TRUST, "target.host=localhost")
    assert "it is another model than the version that was registered" in answer.stderr
    assert asked(project) == before
