"""The run of MLflow's that a registered model belongs to."""

import pytest
from registries import FIRST, SECOND, register
from registries import mlflow_client as client

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.usefixtures("registered"),
]


def search_runs():
    experiment = client().get_experiment_by_name("digits")
    return client().search_runs([experiment.experiment_id])


def test_parameters_metrics_and_report_are_tracked():
    (run,) = search_runs()
    assert run.data.params == {"model.backbone": "brightness", "seed": "0"}
    assert run.data.metrics == {"accuracy": 0.75}
    assert run.info.status == "FINISHED"
    assert client().get_model_version("digits", "1").run_id == run.info.run_id
    assert [one.path for one in client().list_artifacts(run.info.run_id)] == ["report.html"]


def trained(train, status, **tags):
    """A run as training leaves it."""
    mlflow = client()
    experiment = mlflow.get_experiment_by_name("digits").experiment_id
    run = mlflow.create_run(experiment, tags={"mlops_spec.train": train, **tags})
    mlflow.log_param(run.info.run_id, "seed", "0")
    mlflow.log_metric(run.info.run_id, "val_loss", 0.5, step=1)
    if status != "RUNNING":
        mlflow.set_terminated(run.info.run_id, status)
    return run.info.run_id


@pytest.mark.parametrize("status", ["FINISHED", "RUNNING"])
def test_registering_completes_the_run_that_trained_the_model(status, second):
    trained(FIRST, "FINISHED")
    run_id = trained(SECOND, status)
    made = register(second)
    assert client().get_model_version("digits", str(made.version)).run_id == run_id
    run = client().get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model.backbone": "brightness", "seed": "0"}
    assert run.data.metrics == {"accuracy": 0.75, "val_loss": 0.5}
    assert [one.path for one in client().list_artifacts(run_id)] == ["report.html"]
    assert len(search_runs()) == 3


@pytest.mark.parametrize(
    ("status", "tags"), [("FAILED", {}), ("FINISHED", {"mlops_spec.digest": "of other weights"})]
)
def test_a_run_that_did_not_make_this_model_is_left_alone(status, tags, second):
    run_id = trained(SECOND, status, **tags)
    before = client().get_run(run_id).to_dictionary()
    made = register(second)
    assert client().get_model_version("digits", str(made.version)).run_id != run_id
    assert client().get_run(run_id).to_dictionary() == before


def test_of_two_trainings_by_one_step_the_last_one_counts(second):
    trained(SECOND, "FINISHED")
    run_id = trained(SECOND, "FINISHED")
    made = register(second)
    assert client().get_model_version("digits", str(made.version)).run_id == run_id


def test_a_training_of_another_experiment_is_found(second):
    mlflow = client()
    tags = {"mlops_spec.train": SECOND}
    run = mlflow.create_run(mlflow.create_experiment("somebody's own"), tags=tags)
    made = register(second)
    assert mlflow.get_model_version("digits", str(made.version)).run_id == run.info.run_id


def test_a_registration_that_was_interrupted_makes_no_second_run(second, monkeypatch):
    from mlflow import MlflowClient

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            register(second)
    made = register(second)
    (run,) = [r for r in search_runs() if r.data.tags.get("mlops_spec.train") == SECOND]
    assert client().get_model_version("digits", str(made.version)).run_id == run.info.run_id
    assert len(client().get_metric_history(run.info.run_id, "accuracy")) == 1


def test_registering_the_same_model_again_makes_no_other_run(first):
    runs = [run.info.run_id for run in search_runs()]
    register(first)
    assert [run.info.run_id for run in search_runs()] == runs
