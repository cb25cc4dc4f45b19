"""MLflow of the workspace: what a job tracks arrives, and MLflow's own client reads it."""

import importlib.util
import math
import subprocess
import sys
from pathlib import Path

import emulation
import pytest
import small_training

from mlops_spec import files, tracking

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of Azure's SDK, about itself
]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    with emulation.running(tmp_path_factory.mktemp("emulator") / "state") as found:
        yield found


@pytest.fixture(scope="module")
def ml(azure):
    assert azure.process.poll() is None
    return emulation.ready()


@pytest.fixture
def mlflow(ml, monkeypatch):
    """MLflow's client outside of a job: the workspace's own address, and a token of the login."""
    from azure.identity import DefaultAzureCredential

    uri = ml.workspaces.get(emulation.NAME).mlflow_tracking_uri
    assert uri.startswith("azureml://westeurope.api.azureml.ms/mlflow/v")
    token = DefaultAzureCredential().get_token("https://ml.azure.com/.default").token
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return tracking.client(uri)


LOGS = """
import math, mlflow, os
with mlflow.start_run() as run:
    assert run.info.run_id == os.environ["AZUREML_RUN_ID"]
    mlflow.log_param("lr", 0.1)
    mlflow.set_tag("kind", "try")
    for step, loss in enumerate([0.5, 0.25, math.nan, math.inf]):
        mlflow.log_metric("loss", loss, step=step)
    mlflow.log_metrics({"accuracy": 0.75}, step=9)
"""


def test_a_script_that_knows_only_mlflow_tracks_in_its_job_s_run(ml, mlflow, tmp_path):
    code = emulation.photos(tmp_path / "code", {"main.py": LOGS})
    name = emulation.completed(ml, f"{sys.executable} main.py", job={"code": str(code)})
    run = mlflow.get_run(name)
    assert run.data.params == {"lr": "0.1"}
    assert run.data.tags["kind"] == "try"
    assert (run.data.metrics["accuracy"], run.data.metrics["loss"]) == (0.75, math.inf)
    curve = mlflow.get_metric_history(name, "loss")
    assert [point.step for point in curve] == [0, 1, 2, 3]
    assert [point.value for point in curve[:2]] == [0.5, 0.25]
    assert math.isnan(curve[2].value)
    assert all(point.timestamp > 1e12 for point in curve)
    assert (run.info.status, run.info.run_name) == ("FINISHED", ml.jobs.get(name).display_name)
    experiment = mlflow.get_experiment(run.info.experiment_id)
    assert experiment.name == ml.jobs.get(name).experiment_name == "tries"
    assert run.info.artifact_uri.startswith("azureml://")
    assert name in {found.info.run_id for found in mlflow.search_runs([experiment.experiment_id])}


def test_the_run_history_shows_what_was_tracked(ml, mlflow):
    name = emulation.completed(ml, "true")
    mlflow.log_param(name, "lr", "0.5")
    mlflow.set_tag(name, "kind", "later")
    for step, loss in enumerate([0.5, math.nan]):
        mlflow.log_metric(name, "loss", loss, step=step, timestamp=1_700_000_000_000)
    found = ml.jobs._runs_operations.get_run(name)
    assert found.parameters == {"lr": "0.5"}
    assert found.tags["kind"] == "later"
    assert asked_for(ml, name, "list", {})["value"][0]["metricKey"] == {"name": "loss"}
    curve = asked_for(ml, name, "full", {"metricName": "loss"})
    assert [point["data"] for point in curve["value"]] == [{"loss": 0.5}, {"loss": "NaN"}]
    assert [point["step"] for point in curve["value"]] == [0, 1]
    assert curve["value"][0]["createdUtc"].startswith("2023-11-14T22:13:20")


def asked_for(ml, run, what, body):
    import requests
    from azure.identity import DefaultAzureCredential

    token = DefaultAzureCredential().get_token("https://ml.azure.com/.default").token
    workspace = ml.jobs.get(run).id.partition("/jobs/")[0]
    url = f"https://westeurope.api.azureml.ms/metric/v2.0{workspace}/runs/{run}/{what}"
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(url, json=body, headers=headers, timeout=60).json()


def test_a_job_s_run_ends_as_the_job_does(azure, ml, mlflow, tmp_path):
    script = "import mlflow; mlflow.start_run(); mlflow.log_metric('loss', 1); raise SystemExit(3)"
    code = emulation.photos(tmp_path / "code", {"main.py": script})
    name = emulation.submit(ml, f"{sys.executable} main.py", job={"code": str(code)})
    assert emulation.ended(ml, name).status == "Failed"
    assert changes_of_status(azure, name)  # by MLflow alone, which knows nothing of jobs
    mlflow.set_terminated(name, "FINISHED")
    assert mlflow.get_run(name).info.status == "FAILED"


def test_runs_without_a_job(mlflow):
    experiment = tracking.experiment(mlflow, "by hand")
    assert tracking.experiment(mlflow, "by hand") == experiment
    runs = [mlflow.create_run(experiment, run_name=name).info.run_id for name in ("a", "b")]
    for run_id, loss in zip(runs, (0.5, 0.25), strict=True):
        mlflow.log_metric(run_id, "loss", loss, step=1)
        mlflow.log_metric(run_id, "loss", 9, step=0)  # of an earlier step: not the last value
        mlflow.set_tag(run_id, "loss as text", str(loss))
    mlflow.set_terminated(runs[1])

    def found(words, **more):
        return [run.info.run_id for run in mlflow.search_runs([experiment], words, **more)]

    assert found("metrics.loss < 0.5") == found("tags.`loss as text` = '0.25'") == [runs[1]]
    assert found("attributes.status = 'RUNNING'") == [runs[0]]
    assert found("", order_by=["metrics.loss ASC"]) == runs[::-1]
    assert found("", order_by=["metrics.loss DESC"]) == runs
    mlflow.delete_tag(runs[0], "loss as text")
    assert "loss as text" not in mlflow.get_run(runs[0]).data.tags


def test_pages_hand_out_each_run_once(mlflow):
    experiment = tracking.experiment(mlflow, "many")
    runs = {mlflow.create_run(experiment).info.run_id for _ in range(5)}
    first = mlflow.search_runs([experiment], max_results=3)
    second = mlflow.search_runs([experiment], max_results=3, page_token=first.token)
    assert [len(first), len(second), second.token] == [3, 2, None]
    assert {run.info.run_id for page in (first, second) for run in page} == runs


def test_what_is_wrong_is_said_in_mlflow_s_words(ml, mlflow, monkeypatch):
    from mlflow.exceptions import MlflowException

    name = emulation.completed(ml, "true")
    mlflow.log_param(name, "lr", "0.5")
    with pytest.raises(MlflowException, match="Changing param values is not allowed: 'lr'"):
        mlflow.log_param(name, "lr", "0.25")
    with pytest.raises(MlflowException, match="Run 'none' not found") as caught:
        mlflow.get_run("none")
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert mlflow.get_experiment_by_name("none") is None
    experiment = mlflow.get_run(name).info.experiment_id
    with pytest.raises(MlflowException, match="Not a filter of runs that is emulated"):
        mlflow.search_runs([experiment], "metrics.loss BETWEEN 1 AND 2")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "stolen")
    with pytest.raises(MlflowException, match="access token is missing"):
        tracking.client(ml.workspaces.get(emulation.NAME).mlflow_tracking_uri).get_run(name)


def test_a_training_that_is_a_job_has_its_curves_in_the_job_s_run(azure, ml, mlflow, tmp_path):
    from azure.ai.ml import Input

    pytest.importorskip("torch")
    data = small_training.pictures(tmp_path / "data")
    training = small_training.settings(epochs=3)
    spec = small_training.step(training).model_dump(exclude_none=True)
    files.write_json(tmp_path / "spec.json", spec)
    inputs = {
        "data": Input(type="uri_folder", path=str(data)),
        "spec": Input(type="uri_file", path=str(tmp_path / "spec.json")),
    }
    words = "train --spec ${{inputs.spec}} --data ${{inputs.data}} --out ${{outputs.out}}/bundle"
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    name = emulation.completed(
        ml,
        f"{sys.executable} -m trainers {words}",
        job={"inputs": inputs, "environment_variables": variables},
    )
    log = emulation.downloaded(ml, name, tmp_path / "log")["artifacts/user_logs/std_log.txt"]
    assert "warning" not in log
    run = mlflow.get_run(name)
    assert run.data.params["training.epochs"] == "3"
    assert run.data.params["model.backbone"] == "small_cnn"
    for metric in ("train_loss", "val_loss", "val_accuracy", "lr", "images_per_second"):
        curve = mlflow.get_metric_history(name, metric)
        assert [point.step for point in curve] == [1, 2, 3], metric
    said = [
        line.split("train_loss ")[1].split()[0] for line in log.splitlines() if "epoch " in line
    ]
    shown = [f"{point.value:.4f}" for point in mlflow.get_metric_history(name, "train_loss")]
    assert shown == said
    assert run.info.status == "FINISHED"
    assert not changes_of_status(azure, name)  # Azure ML's plugin does not send them either


def changes_of_status(azure, name):
    return [
        line
        for line in emulation.exchanges(azure.state)
        if line["url"].endswith("/runs/update") and line["request"]["body"]["run_id"] == name
    ]


def test_its_token_is_in_no_record(azure, ml, tmp_path):
    """Neither in the state folder nor in what is recorded."""
    name = emulation.completed(ml, "printf %s $MLFLOW_TRACKING_TOKEN > ${{outputs.out}}/token")
    found = emulation.downloaded(ml, name, tmp_path, output_name="out")
    token = found["named-outputs/out/token"]
    assert token.count(".") == 2
    said = subprocess.run(
        ["grep", "-rlF", token, *azure.state.glob("*.*"), azure.state / "jobs"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout == ""
    assert (azure.state / "traffic.jsonl").stat().st_size


def test_azure_ml_s_own_plugin_tracks_and_keeps_files(ml, monkeypatch, tmp_path):
    if importlib.util.find_spec("azureml") is None:
        pytest.skip("LOUD: azureml-mlflow is not installed: the plugin was not tried")
    from mlflow import MlflowClient

    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    uri = ml.workspaces.get(emulation.NAME).mlflow_tracking_uri
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    run = client.create_run(tracking.experiment(client, "by the plugin")).info
    client.log_metric(run.run_id, "loss", 0.5, step=3)
    assert client.get_metric_history(run.run_id, "loss")[0].step == 3
    for name, text in {"a.txt": "one", "deep/b.txt": "two"}.items():
        client.log_text(run.run_id, text, name)
    assert {found.path for found in client.list_artifacts(run.run_id)} == {"a.txt", "deep"}
    path = client.download_artifacts(run.run_id, "deep/b.txt", str(tmp_path))
    assert Path(path).read_text("utf-8") == "two"
