"""The same contract behind Azure ML's own inference server, started as Azure ML starts it."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import small_bundle
from scoring import SETTINGS, Client, free_port, ready, serving
from test_scoring import BLUE, GREEN, RED, encoded, form_of, labels
from written import records

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A bundle as Azure ML mounts it: below a folder of its version."""
    return small_bundle.make(tmp_path_factory.mktemp("models") / "colours" / "7" / "bundle")


@pytest.fixture(scope="module")
def azure(folder, tmp_path_factory):
    """The server, from a virtual environment of its own: its pins are not ours."""
    program = ROOT / ".venv-azureml" / "bin" / "azmlinfsrv"
    if not program.exists():
        pytest.skip(f"LOUD: {program} is absent: the scoring script met no server of Azure ML's")
    home, port = tmp_path_factory.mktemp("azure"), free_port()
    kept = {**SETTINGS["sampling"], "share": 1.0, "folder": str(home / "samples")}
    how = {**SETTINGS, "sampling": kept}
    for package in ("mlops_spec", "deployers"):
        shutil.copytree(ROOT / package, home / package)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
        "AZUREML_MODEL_DIR": str(folder.parents[2]),
        "AML_APP_ROOT": str(home),
        "SCORING_SETTINGS": json.dumps(how),
        "SCORING_MODEL": "colours:7",
    }
    words = ["--entry_script", "deployers/scoring/score.py", "--port", str(port)]
    log = home / "log.txt"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [program, *words], cwd=home, env=environment, stdout=output, stderr=output
        )
    client = Client(process, port, log)
    yield ready(client, 30.0, "/")
    process.terminate()
    process.wait(60)


def test_it_answers_what_our_own_service_answers(azure, folder, tmp_path):
    body, kind = form_of(RED, GREEN)
    asked = [
        (RED, "/score", {}),
        (RED, "/score?top=0", {"Content_Type": "image/png"}),
        (body, "/score", {"Content_Type": kind}),
        (json.dumps({"images": encoded(GREEN, RED)}), "/score", JSON),
        (json.dumps({"data": [[[0.5] * 8] * 8] * 3}), "/score", JSON),
        (b"", "/score", {}),
        (b"hello", "/score", {}),
        (json.dumps({"images": encoded(RED, b"x")}), "/score", JSON),
        (json.dumps({"images": encoded(RED) * 9}), "/score", JSON),
        (b"{", "/score", JSON),
        (bytes(2_000_001), "/score", {}),
        (RED, "/score?top=x", {}),
    ]
    with serving(folder, tmp_path / "service") as ours:
        for body, path, headers in asked:
            expected = ours.score(body, path, **headers)
            assert azure.score(body, path, **headers) == expected, (path, body[:40])
    assert labels(azure.score(RED)) == ["red"]
    assert "Traceback" not in azure.log.read_text("utf-8")


def test_it_keeps_samples_as_our_own_service_does(azure):
    samples = azure.log.parent / "samples"
    azure.ask("POST", "/score", BLUE, X_Request_Id="mine")
    deadline = time.monotonic() + 90
    while True:
        kept = records(*samples.glob("answers/*.jsonl"))
        mine = [line for line in kept if line["request"] == "mine"]
        if mine or time.monotonic() > deadline:
            break
    assert (samples / "images" / mine[0]["image"]).read_bytes() == BLUE
    assert {*mine[0]["probabilities"]} == {"blue", "green", "red"}
    assert (mine[0]["model"], mine[0]["version"]) == ("colours", "7")


JSON = {"Content_Type": "application/json"}
