"""The quickstart in Azure ML, through Azure's own SDK: trained, judged, registered, both ways."""

import json
import re
from dataclasses import replace

import emulation
import pytest
from toyproject import Project

from mlops_spec import tracking
from mlops_spec.azure import client
from mlops_spec.azure.history import History
from mlops_spec.azure.place import Place
from mlops_spec.compose import Composer
from mlops_spec.validate import parse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WORDS = (
    *("+experiment=quickstart", "workspace=emulator", "compute=azureml_cpu"),
    *("training.epochs=6", "evaluation.gate.floors.accuracy=0.9"),
)
PAGES = {"data.html", "facts.json", "metrics.json", "model.json", "plan.json", "report.html"}
STEPS = ["data", "environment", "compute", "data_asset", "train", "evaluate", "gate", "report"]
LAST = ["publish", "register"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder whose emulator writes every exchange down, to be compared with the descriptions."""
    found = Project(tmp_path_factory.mktemp("project"), apart=True)
    state = found.path / ".mlops" / "azure"
    state.parent.mkdir()
    with emulation.running(state):
        yield found


def events(project, *words, code=0):
    answer = project.run("--json", *WORDS, *words)
    assert answer.returncode == code, answer.stdout + answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def started(said):
    return [event["id"] for event in said if event["event"] == "started"]


def last_record(project):
    return max((project.path / "runs").iterdir())


def place():
    """The workspace of the spec; this process is sent to the emulator already."""
    composition = Composer().compose(WORDS)
    spec = parse(composition.values, composition.origins, composition.problems)
    return replace(Place.of(spec), emulator="")


def kept(job):
    """The files that the workspace's pages show with a job."""
    with client.opened(place()) as ml:
        found = History.of(ml, place(), job).ask(f"experiments/quickstart/runs/{job}/artifacts")
    return {one["path"] for one in found["value"]}


def asked(project):
    return len(emulation.exchanges(project.path / ".mlops" / "azure"))


@pytest.fixture(scope="module")
def first(project):
    return events(project)


def test_a_first_run_trains_judges_and_registers_in_the_workspace(project, first):
    assert started(first) == [*STEPS, *LAST]
    lines = [
        event["text"] for event in first if event["event"] == "line" and event["id"] == "train"
    ]
    epochs = [line for line in lines if re.match(r"epoch \d+/6 ", line)]
    assert len(epochs) == 6, "what the job says is heard here, each line once"
    assert {path.name for path in last_record(project).iterdir()} >= PAGES
    model = json.loads(project.run("models", "--json", *WORDS).stdout)
    assert (model["model"], model["champion"]) == ("digits", 1)


@pytest.mark.usefixtures("first")
def test_the_same_command_again_asks_for_nothing_and_asks_little(project):
    before = asked(project)
    assert started(events(project)) == []
    assert asked(project) - before < 15


@pytest.mark.usefixtures("first")
def test_curves_and_metrics_are_in_the_workspace(monkeypatch):
    with client.opened(place()) as ml:
        names = {job.display_name: job.name for job in ml.jobs.list()}
        uri = ml.workspaces.get(place().name).mlflow_tracking_uri
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", client.token())
    mlflow = tracking.client(uri)
    curve = mlflow.get_metric_history(names["quickstart-train"], "val_loss")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5, 6]
    assert mlflow.get_run(names["quickstart-evaluate"]).data.metrics["accuracy"] > 0.9
    assert {"report.html", "model_card.md"} <= kept(names["quickstart-train"])


@pytest.mark.usefixtures("first")
def test_what_is_gone_of_the_workspace_is_made_again_and_nothing_else(project):
    with client.opened(place()) as ml:
        ml.compute.begin_delete("cpu").result()
    assert started(events(project)) == ["compute"]
    assert started(events(project, "compute.max_nodes=3")) == ["compute"]
    assert started(events(project)) == ["compute"], "and back"


@pytest.mark.usefixtures("first")
def test_another_learning_rate_runs_what_follows_from_it(project):
    said = events(project, "training.lr=0.011", code=3)
    judging = ["evaluate", "evaluate_champion", "gate", "report", "publish"]
    assert started(said) == ["train", *judging]
    assert started(events(project, "training.lr=0.011", code=3)) == []


@pytest.mark.usefixtures("first")
def test_one_pipeline_does_the_same_and_its_verdict_is_an_output(project):
    shape = ("compute.shape=pipeline", "seed=7")
    said = events(project, *shape, code=3)
    assert started(said) == ["environment_register", "pipeline"]
    record = last_record(project)
    promotion = json.loads((record / "promotion.json").read_text("utf-8"))
    assert promotion["verdict"] in ("reject", "insufficient")
    assert promotion["build"] == "none"
    assert {path.name for path in record.iterdir()} >= PAGES
    assert started(events(project, *shape, code=3)) == []
    with client.opened(place()) as ml:
        assert {job.status for job in ml.jobs.list()} == {"Completed"}, "a no is no failure"
        (whole,) = (job.name for job in ml.jobs.list() if job.type == "pipeline")
        (promote,) = (
            job.name for job in ml.jobs.list(parent_job_name=whole) if job.display_name == "promote"
        )
    assert {"outputs/report.html", "outputs/model_card.md"} <= kept(promote)


@pytest.mark.usefixtures("first")
def test_a_pipeline_registers_a_first_model_and_a_clock_starts_it_again(project):
    shape = ("compute.shape=pipeline", "registered_model=others", "compute.schedule='0 6 * * 1'")
    found = started(events(project, *shape))
    # which another pipeline of this project may have made
    assert [step for step in found if step != "environment_register"] == ["pipeline", "schedule"]
    promotion = json.loads((last_record(project) / "promotion.json").read_text("utf-8"))
    assert (promotion["verdict"], promotion["model"], promotion["version"]) == (
        "promote",
        "others",
        1,
    )
    assert started(events(project, *shape)) == []
