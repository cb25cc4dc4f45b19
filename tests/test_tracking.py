"""Curves in MLflow: there while a training runs, whole after whatever happened to it."""

import os
import re
import shutil
import signal
import time
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from small_training import finish, pictures, settings, start, step
from toyproject import lines_until

from mlops_spec import files
from mlops_spec import tracking as shared
from mlops_spec.actions import Context, local
from mlops_spec.errors import StepError
from mlops_spec.steps import Step
from trainers._torch import loop, tracking

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

THREE = {"epochs": 3, "batch_size": 8, "lr": 0.01, "schedule": {"kind": "constant"}}
ENDLESS = {**THREE, "epochs": 100_000}
KEY = "1a" * 32


# What needs no training


def test_what_a_person_sets_wins_over_what_the_plan_proposes(tmp_path, monkeypatch):
    proposed = {"MLFLOW_TRACKING_URI": "plan", "MLFLOW_EXPERIMENT_NAME": "plan"}
    request = Step("train", "local.run", {}, variables=proposed)

    def seen(**chosen):
        context = Context(tmp_path, {}, print, KEY)
        made = local._environment(request, context, chosen)
        assert made["MLOPS_SPEC_STEP"] == KEY
        return made["MLFLOW_TRACKING_URI"], made["MLFLOW_EXPERIMENT_NAME"]

    for name in proposed:
        monkeypatch.delenv(name, raising=False)
    assert seen() == ("plan", "plan")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which turns tracking off
    assert seen() == ("", "plan")
    assert seen(MLFLOW_TRACKING_URI="spec") == ("spec", "plan")


def test_notes_survive_a_restart_and_keep_the_first_numbers_of_an_epoch(tmp_path):
    notes = tracking.Notes(tmp_path / "tracking.json")
    notes.add(1, {"val_loss": 0.5})
    again = tracking.Notes(tmp_path / "tracking.json")
    again.add(1, {"val_loss": 0.4})
    again.add(2, {"val_loss": 0.3})
    kept = tracking.Notes(tmp_path / "tracking.json")
    assert kept.attempt == notes.attempt
    assert {k: v for k, (_, v) in kept.epochs.items()} == {
        1: {"val_loss": 0.5},
        2: {"val_loss": 0.3},
    }


@pytest.mark.parametrize("content", ["", "{", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_damaged_notes_are_another_run_and_no_failure(tmp_path, content):
    files.write_text(tmp_path / "tracking.json", content)
    assert tracking.Notes(tmp_path / "tracking.json").epochs == {}


@pytest.mark.parametrize("first", [True, False])
def test_of_several_processes_one_tracks(tmp_path, first):
    begun = []
    writer = SimpleNamespace(start=lambda: begun.append(1), is_alive=lambda: True, end=begun.append)
    notes = tracking.Notes(tmp_path / "tracking.json")
    curves = tracking.Curves(notes, writer)
    curves.setup(SimpleNamespace(is_global_zero=first), None, stage="fit")
    if not first:
        curves.on_train_epoch_end(SimpleNamespace(), None)
    curves.end("FINISHED")
    assert begun == ([1, "FINISHED"] if first else [])
    assert notes.path.exists() == first


# Small trainings in this process, without a bundle


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A database; MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(template, tmp_path, monkeypatch):
    shutil.copy(template, tmp_path / "mlflow.db")
    return track_to(f"sqlite:///{tmp_path}/mlflow.db", monkeypatch)


def track_to(uri, monkeypatch):
    for name in tracking._SERVER:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "digits")
    monkeypatch.setenv("MLOPS_SPEC_STEP", KEY)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return uri


@pytest.fixture
def exported(monkeypatch):
    """Takes the place of `export`, which is what takes time."""
    monkeypatch.setattr(loop, "export", lambda *_: None)


def runs(uri):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits")
    return client.search_runs([experiment.experiment_id]) if experiment else []


def curve(uri, run, name="val_loss"):
    found = MlflowClient(uri).get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in found]


def epochs(uri, run):
    return [epoch for epoch, _ in curve(uri, run)]


def warnings(said):
    return [line for line in said.splitlines() if "warning" in line.lower()]


@pytest.mark.usefixtures("exported")
def test_a_run_has_parameters_and_what_each_epoch_said(uri, data, tmp_path, capsys):
    training = settings(**THREE | {"schedule": {"kind": "step", "step_epochs": 1, "factor": 0.5}})
    metrics = loop.fit(step(training), data, tmp_path / "out")
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert re.fullmatch(r"small_cnn 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", run.info.run_name)
    assert run.data.tags["mlops_spec.train"] == KEY
    assert run.data.params["training.schedule.kind"] == "step"
    assert run.data.params["model.backbone"] == "small_cnn"
    assert min(value for _, value in curve(uri, run)) == metrics["val_loss"]
    assert curve(uri, run, "lr") == [(1, 0.01), (2, 0.005), (3, 0.0025)]
    said = capsys.readouterr().out
    assert warnings(said) == []
    lines = [line.split("  ") for line in said.splitlines() if line.startswith("epoch ")]
    for number, name in enumerate(("val_accuracy", "val_loss", "train_loss"), 1):
        shown = [f"{name} {value:.4f}" for _, value in curve(uri, run, name)]
        assert shown == [line[number] for line in lines]
    assert [epoch for epoch, value in curve(uri, run, "seconds") if value > 0] == [1, 2, 3]
    assert [epoch for epoch, v in curve(uri, run, "images_per_second") if v > 0] == [1, 2, 3]
    place = MlflowClient(uri).get_experiment_by_name("digits").artifact_location
    assert place == (tmp_path / "artifacts").as_uri()


@pytest.mark.usefixtures("exported")
def test_a_run_that_is_given_is_continued(uri, data, tmp_path, monkeypatch):
    client = MlflowClient(uri)
    given = client.create_run(client.create_experiment("azure"), run_name="mine")
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    loop.fit(step(settings(**THREE)), data, tmp_path / "out")
    assert runs(uri) == []
    assert epochs(uri, given) == [1, 2, 3]
    after = client.get_run(given.info.run_id).info
    assert (after.status, after.run_name) == ("FINISHED", "mine")


@pytest.mark.usefixtures("exported")
def test_a_training_that_diverges_is_a_failed_run(uri, data, tmp_path):
    training = settings(epochs=3, lr=1e30, optimizer="sgd", schedule={"kind": "constant"})
    with pytest.raises(StepError, match="diverged"):
        loop.fit(step(training), data, tmp_path / "out")
    (run,) = runs(uri)
    assert run.info.status == "FAILED"


def test_what_only_the_export_was_left_of_ends_the_same_run(uri, data, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(loop, "export", fails)
    with pytest.raises(OSError, match="disk full"):
        loop.fit(step(settings(**THREE)), data, tmp_path / "out")
    assert [run.info.status for run in runs(uri)] == ["FAILED"]
    monkeypatch.setattr(loop, "export", lambda *_: None)
    loop.fit(step(settings(**THREE)), data, tmp_path / "out")
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert epochs(uri, run) == [1, 2, 3]


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    "gone",
    [
        "http://somebody:geheim1234@127.0.0.1:9",
        "sqlite:////dev/null/mlflow.db",
        "sqlite:////dev",
        "nothing://at/all",
    ],
)
def test_tracking_that_fails_is_one_warning(gone, data, tmp_path, monkeypatch, capsys):
    track_to(gone, monkeypatch)
    began = time.monotonic()
    tracked = loop.fit(step(settings(**THREE)), data, tmp_path / "out")
    assert time.monotonic() - began < 20
    said = capsys.readouterr()
    (line,) = warnings(said.out + said.err)
    assert line.startswith("warning: not all of this training's curves are in MLflow: ")
    assert "geheim1234" not in said.out + said.err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert loop.fit(step(settings(**THREE)), data, tmp_path / "plain") == tracked


@pytest.mark.usefixtures("exported")
def test_an_answer_that_was_lost_costs_no_epoch_and_doubles_none(
    uri, data, tmp_path, monkeypatch, capsys
):
    log_batch, sent = MlflowClient.log_batch, []

    def loses_the_first_answer(self, run_id, metrics=(), **more):
        log_batch(self, run_id, metrics, **more)
        sent.extend(metric.step for metric in metrics if metric.key == "val_loss")
        if sent == [1]:
            raise OSError("connection lost")

    monkeypatch.setattr(MlflowClient, "log_batch", loses_the_first_answer)
    loop.fit(step(settings(**ENDLESS | {"epochs": 8})), data, tmp_path / "out")
    (run,) = runs(uri)
    assert sent == epochs(uri, run) == [*range(1, 9)]
    assert len(warnings(capsys.readouterr().out)) == 1


@pytest.mark.usefixtures("exported")
def test_what_takes_too_long_is_left_behind(uri, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "_connect", lambda *_: time.sleep(20))
    monkeypatch.setattr(tracking, "_PATIENCE", {"FINISHED": 0.2})
    began = time.monotonic()
    loop.fit(step(settings(**THREE)), data, tmp_path / "out")
    assert time.monotonic() - began < 15
    assert "MLflow takes more than 0 s" in capsys.readouterr().out
    assert runs(uri) == []


# Whole trainings in processes of their own


def wait_for(uri, count, process):
    """The run of a training at work, once it has so many epochs."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read()
        found = runs(uri)
        if found and len(epochs(uri, found[0])) >= count:
            return found[0]
        time.sleep(0.1)
    raise AssertionError("no curve in 90 s")


@pytest.mark.slow
def test_curves_are_read_while_the_training_runs(uri, data, tmp_path):
    process = start(settings(**ENDLESS), data, tmp_path / "out")
    run = wait_for(uri, 2, process)
    assert run.info.status == "RUNNING"
    assert run.data.params["training.batch_size"] == "8"
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert warnings(said) == []
    (run,) = runs(uri)
    assert run.info.status == "KILLED"
    assert epochs(uri, run) == [*range(1, len(epochs(uri, run)) + 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "damaged"),
    [(0, False), (2, False), (2, True)],
    ids=["before MLflow knew it", "after", "with a damaged checkpoint"],
)
def test_killed_and_continued_is_one_run_with_each_epoch_once(known, damaged, uri, data, tmp_path):
    process = start(settings(**ENDLESS), data, tmp_path / "out")
    if known:
        wait_for(uri, known, process)
    else:
        list(lines_until(process, "epoch 2/"))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    folder = tmp_path / "out" / ".checkpoints"
    if damaged:  # training starts again from nothing
        files.write_text(folder / "last.ckpt", "half of it")
    notes = files.read_json(folder / "tracking.json")
    last = notes["epochs"][-1][0] + 3
    finish(settings(**ENDLESS | {"epochs": last}), data, tmp_path / "out")
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert epochs(uri, run) == [*range(1, last + 1)]
    assert not folder.exists()


@pytest.mark.slow
def test_two_trainings_set_up_one_new_database(data, tmp_path, monkeypatch):
    uri = track_to(f"sqlite:///{tmp_path}/new/mlflow.db", monkeypatch)
    both = [start(settings(**THREE), data, tmp_path / name) for name in ("one", "two")]
    said = [process.communicate(timeout=200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [*map(warnings, said)] == [[], []]
    assert [(run.info.status, epochs(uri, run)) for run in runs(uri)] == [
        ("FINISHED", [1, 2, 3]),
        ("FINISHED", [1, 2, 3]),
    ]


@pytest.mark.slow
def test_mlflow_is_not_imported_when_nobody_asked_for_it(data, tmp_path, monkeypatch):
    hook = "import sys\nclass No:\n    def find_spec(self, name, *_):\n"
    hook += "        if name == 'mlflow': raise ImportError('refused')\n"
    files.write_text(tmp_path / "sitecustomize.py", hook + "sys.meta_path.insert(0, No())\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said = {}
    for uri in ("", f"sqlite:///{tmp_path}/mlflow.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        process = start(settings(**THREE), data, tmp_path / f"out{len(said)}")
        said[uri], _ = process.communicate(timeout=200)
        assert process.returncode == 0
    assert [len(warnings(text)) for text in said.values()] == [0, 1]
    assert "ImportError: refused" in said[uri]


def test_a_set_up_that_was_killed_in_the_middle_is_made_anew(tmp_path, monkeypatch) -> None:
    """Half a database is never at the place where the next process looks."""
    database = tmp_path / "mlflow.db"
    (tmp_path / ".mlflow.db.new").write_bytes(b"half of one")
    made = shared.client

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shared, "client", killed)
    with pytest.raises(KeyboardInterrupt), shared.only_setup(shared.uri_of(database)):
        pass
    assert not database.exists() or not database.stat().st_size
    monkeypatch.setattr(shared, "client", made)
    with shared.only_setup(shared.uri_of(database)):
        assert shared.client(shared.uri_of(database)).search_experiments()
    assert not (tmp_path / ".mlflow.db.new").exists()


def test_a_job_keeps_pages_with_its_run_and_what_is_no_job_does_not(tmp_path, monkeypatch):
    page = tmp_path / "step" / "report.html"
    page.parent.mkdir()
    page.write_text("<p>", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AZUREML_RUN_ID", raising=False)
    monkeypatch.delenv(shared.URI, raising=False)
    assert shared.tell_job({"accuracy": 1.0}, [page]) == ""
    assert not (tmp_path / "outputs").exists()
    monkeypatch.setenv("AZUREML_RUN_ID", "a-run")
    assert shared.tell_job({"accuracy": 1.0}, [page]) == ""
    assert (tmp_path / "outputs" / "report.html").read_text("utf-8") == "<p>"


def test_a_server_that_does_not_answer_fails_no_step_that_is_done(monkeypatch):
    monkeypatch.setenv("AZUREML_RUN_ID", "a-run")
    monkeypatch.setenv(shared.URI, "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert "MlflowException" in shared.tell_job({"accuracy": 1.0}, [])
