"""A workspace as a registry for the verbs, for a step's command line, and for many processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import emulation
import pytest
from registries import FIRST, SECOND, candidate, champion, process, promote_at_once

from mlops_spec import champions, cli, files, registry
from mlops_spec.azure.place import Place
from mlops_spec.azure.registry import AzuremlRegistry
from mlops_spec.compose import Composer
from mlops_spec.validate import parse

pytestmark = pytest.mark.slow
MODELS = Path(".mlops/models")
# Does something to the registry, and is killed at the write of a tag that is told by its number.
KILLED = """
import os, signal, sys
from pathlib import Path
from mlops_spec.azure import assets
from mlops_spec.azure.place import Place
from mlops_spec.azure.registry import AzuremlRegistry

uri, models, number, act = sys.argv[1:]
write, left = assets.write, [int(number)]

def stop(*words):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*words)

assets.write = stop
place = AzuremlRegistry(Place.parse(uri), Path(models))
place.promote("digits", 3, "better", 2) if act == "promote" else place.rollback("digits")
"""


@pytest.fixture
def words(shelf, tmp_path, monkeypatch):
    """A workspace of this test's own, as a command line names it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in json.loads(Path(shelf.state, "emulator.json").read_text("utf-8"))["environment"]:
        monkeypatch.delenv(name)  # whoever opens a workspace finds its emulator
    named = (f"name={shelf.place.name[4:]}", "registered_model=digits")
    return (*named, "workspace=emulator", f"workspace.state={shelf.state}")


@pytest.fixture
def place(words):
    """Three versions, of which the second is champion."""
    composed = Composer().compose(words)
    found = AzuremlRegistry(Place.of(parse(composed.values, composed.origins)), MODELS)
    for number, key in ((1, FIRST), (2, SECOND), (3, "3c" * 32)):
        made = found.register(model(number, key, min(number - 1, 2)))
        if number < 3:
            found.promote("digits", made.version, "better", number - 1)
    return found


def model(number, train, baseline=0):
    return candidate(Path(f"model{number}"), train, baseline, float(number))


def start(code, place, *words):
    return process(code, place.place.uri, MODELS, *words)


def holders(place):
    """The versions that have the tag, as the workspace's own tools see them."""
    from mlops_spec.azure import client

    with client.opened(place.place) as ml:
        found = ml.models.list(name="digits")
        return sorted(int(one.version) for one in found if "champion" in one.tags)


@pytest.mark.parametrize("act", ["promote", "rollback"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_move_that_was_killed_leaves_a_history_that_leads_to_the_champion(place, act, number):
    before = place.history("digits")
    with start(KILLED, place, number, act) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, said
    to = 3 if act == "promote" else 1
    after, moves = champion(place), place.history("digits")
    if number == 1:
        assert (after, holders(place), moves) == (2, [2], before)
    else:  # it is done but for the tag of the one before
        assert (after, holders(place), moves[:-1]) == (to, sorted([2, to]), before)
        assert (moves[-1].after, moves[-1].kind) == (to, act)
    again = place.promote("digits", to, "better", 2)
    assert (again is None) == (number == 2)
    assert (champion(place), holders(place)) == (to, [to])
    assert place.history("digits")[:-1] == before


def test_promotions_at_once_follow_each_other(place):
    promote_at_once(place.place.uri, 3)
    moves = place.history("digits")
    assert "outside" not in {move.kind for move in moves}
    assert {move.after for move in moves} == {1, 2, 3}
    assert moves == champions.followed(moves, champion(place))
    assert holders(place) == [moves[-1].after]


@pytest.fixture
def say(words, capfd):
    def run(*verb):
        code = cli.main([*verb, *words])
        out, err = capfd.readouterr()
        return int(code), out, err

    return run


def test_models_are_listed_looked_at_and_verified_wherever_they_are(say, place):
    homes = [Path(one.path) for one in place.versions("digits")]
    shutil.rmtree(MODELS)
    code, out, err = say("models", "--json")
    assert (code, err) == (0, "")
    (summary,) = map(json.loads, out.splitlines())
    assert (summary["model"], summary["versions"], summary["champion"]) == ("digits", 3, 2)
    assert summary["damage"] == ""
    code, out, err = say("models", "digits", "--json")
    document = json.loads(out)
    assert [one["intact"] for one in document["versions"]] == [True] * 3
    assert [move["after"] for move in document["history"]] == [1, 2]
    assert not any(home.exists() for home in homes)  # a look fetches nothing
    code, out, err = say("models", "digits/1", "--json")
    assert (code, err, json.loads(out)["lineage_problems"]) == (0, "", [])
    code, out, err = say("models", "verify", "digits/2")
    assert (code, err) == (0, "")
    assert f"{homes[1]} is what was registered" in out
    with (homes[1] / "model.onnx").open("ab") as file:
        file.write(b"x")
    assert say("models", "verify", "digits/2")[0] == 5
    code, out, err = say("models", "compare", "digits/1", "digits/3")
    assert (code, err) == (0, "")
    code, out, err = say("models", "letters")
    assert (code, "known: digits" in err) == (2, True)


def test_the_way_back_fetches_what_it_needs(say, place):
    shutil.rmtree(MODELS)
    code, out, err = say("rollback")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "digits: version 1 is champion again instead of version 2"
    first = place.versions("digits")[0]
    assert (first.champion, registry.damage(first)) == (True, "")
    code, _, err = say("rollback")
    assert (code, "no earlier champion to go back to" in err) == (1, True)


def step(made, folder):
    """What the step `register` reads, in one folder, and its words where that is `{all}`."""
    metrics = {"schema_version": 1, "metrics": {"accuracy": 0.9}}
    verdict = {"schema_version": 1, "verdict": "promote", "reason": "better by 3"}
    files.write_json(folder / "evaluation/metrics.json", metrics)
    files.write_json(folder / "gate/verdict.json", verdict)
    origin = made.known.origin.model_dump(mode="json")
    files.write_json(folder / "spec.json", {"schema_version": 1, "lineage": origin})
    shutil.copytree(made.bundle, folder / "bundle")
    shutil.copytree(made.report.parent, folder / "report")
    words = "--spec {all}/spec.json --bundle {all}/bundle --report {all}/report --gate {all}/gate"
    words += " --evaluation {all}/evaluation --models job/models --model digits --baseline 2"
    return f"-m trainers register {words} --train {made.train}"


def test_a_step_registers_in_a_workspace(place):
    made = model(4, "4d" * 32, 2)
    words = step(made, Path("all")).format(all="all").split()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def run(uri):
        command = [sys.executable, *words, "--out", "out", "--registry", uri]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    answer = run(place.place.uri)
    assert (answer.returncode, answer.stderr) == (0, "")
    fourth = place.versions("digits")[3]
    assert (fourth.train, fourth.champion, fourth.metrics) == (made.train, True, {"accuracy": 0.9})
    version = json.loads(Path("out/version.json").read_text("utf-8"))
    assert (version["version"], version["digest"]) == (4, fourth.digest)
    assert place.history("digits")[-1].why == "gate: better by 3"
    answer = run("mlw-other")
    assert answer.returncode == 1
    assert "mlw-other is no address of a workspace" in answer.stderr


@pytest.mark.filterwarnings("ignore")  # of Azure's SDK, about itself
def test_a_job_registers_in_its_own_workspace(place):
    from azure.ai.ml import Input, Output, command
    from azure.ai.ml.entities import AmlCompute, Environment

    from mlops_spec.azure import client

    words = step(model(4, "4d" * 32, 2), Path("all")).format(all="${{inputs.all}}")
    line = f"python {words} --out ${{{{outputs.out}}}} --registry '{place.place.uri}'"
    asked = command(
        command=line,
        inputs={"all": Input(type="uri_folder", path="all")},
        outputs={"out": Output(type="uri_folder")},
        environment="azureml:train:1",
        environment_variables={"PYTHONPATH": os.pathsep.join(sys.path)},
        compute="cpu",
        experiment_name="registering",
    )
    with client.opened(place.place) as ml:
        ml.environments.create_or_update(Environment(name="train", version="1", image="any:1"))
        ml.compute.begin_create_or_update(AmlCompute(name="cpu", size="Standard_DS3_v2")).result()
        job = client.uploaded(ml.jobs.create_or_update, asked)
        assert emulation.ended(ml, job.name).status == "Completed"
    fourth = place.versions("digits")[3]
    assert (fourth.champion, Path(fourth.path).exists()) == (True, False)
    place.fetch("digits", fourth)
    assert registry.damage(fourth) == ""
