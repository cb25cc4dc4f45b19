import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import small_bundle

from mlops_spec import bundle, files, registry
from mlops_spec.errors import MlopsError
from mlops_spec.registry import Candidate, Version

# MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

FIRST, SECOND = "1a" * 32, "2b" * 32
DATABASE, MODELS = Path("state/mlflow.db"), Path("state/models")


def candidate(folder, train, baseline, scale):
    made = small_bundle.make(folder / "bundle", scale=scale)
    files.write_text(folder / "report.html", f"<p>{train}</p>")
    return Candidate(
        model="digits",
        train=train,
        baseline=baseline,
        bundle=made,
        evaluation=folder,
        metrics={"accuracy": 0.75},
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A registry with one version; MLflow takes seconds to make the first database."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        registry.register(candidate(folder / "first", FIRST, 0, 1.0), DATABASE, MODELS)
    return folder


@pytest.fixture(autouse=True)
def _in_a_copy(template, tmp_path, monkeypatch):
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def first(tmp_path):
    return candidate(tmp_path / "first", FIRST, 0, 1.0)


@pytest.fixture
def second(tmp_path):
    return candidate(tmp_path / "second", SECOND, 1, 2.0)


def client():
    from mlflow import MlflowClient  # by the one process that asks: it takes seconds

    uri = f"sqlite:///{DATABASE.resolve()}"
    return MlflowClient(uri, uri)


def read(model="digits"):
    return registry.read(DATABASE, MODELS, model)


def by_mlflow():
    """The same versions as MLflow's own client tells them."""
    champion = client().get_model_version_by_alias("digits", "champion").version
    found = client().search_model_versions("name='digits'")
    return [
        Version(
            version=int(one.version),
            train=one.tags["mlops_spec.train"],
            baseline=int(one.tags["mlops_spec.baseline"]),
            path=str(MODELS / "digits" / one.tags["mlops_spec.digest"][:16]),
            champion=one.version == champion,
            digest=one.tags["mlops_spec.digest"],
            intact=(MODELS / "digits" / one.tags["mlops_spec.digest"][:16]).is_dir(),
        )
        for one in sorted(found, key=lambda one: int(one.version))
    ]


def test_without_a_database_nothing_is_registered_and_none_is_made():
    assert registry.read(Path("nowhere/mlflow.db"), MODELS, "digits") == []
    assert not Path("nowhere").exists()


def test_a_database_that_mlflow_only_began_holds_nothing():
    sqlite3.connect("begun.db").close()
    Path("begun.db").touch()
    assert registry.read(Path("begun.db"), MODELS, "digits") == []


def test_a_first_model_is_version_one_and_champion():
    (version,) = read()
    assert (version.version, version.train, version.baseline) == (1, FIRST, 0)
    assert version.champion
    assert version.intact
    assert bundle.digest(Path(version.path)) == version.digest
    assert [version] == by_mlflow()


def test_a_model_is_known_by_what_it_is_and_not_by_who_trained_it(tmp_path):
    """The same step may give other weights, with other libraries or another processor."""
    other = candidate(tmp_path / "other", FIRST, 0, 3.0)
    made = registry.register(other, DATABASE, MODELS)
    assert made.version == 2
    assert bundle.digest(Path(made.path)) == bundle.digest(other.bundle)
    assert [v.champion for v in read()] == [False, True]


def test_a_deleted_version_is_gone():
    client().delete_registered_model_alias("digits", "champion")
    client().delete_model_version("digits", "1")
    assert read() == []


def test_a_bundle_that_is_gone_is_seen_and_made_again(first):
    shutil.rmtree(read()[0].path)
    assert not read()[0].intact
    registry.register(first, DATABASE, MODELS)
    assert read()[0].intact


def test_a_model_promoted_again_remembers_whom_it_beat_this_time(first, second):
    registry.register(second, DATABASE, MODELS)
    registry.register(replace(first, baseline=2), DATABASE, MODELS)
    assert [(v.version, v.baseline, v.champion) for v in read()] == [(1, 2, True), (2, 1, False)]


def test_a_champion_that_others_made_is_not_overlooked():
    client().create_model_version("digits", "elsewhere")
    client().set_registered_model_alias("digits", "champion", "2")
    with pytest.raises(MlopsError, match="version 2, was not registered from here"):
        read()


def test_registering_the_same_model_again_changes_nothing(first):
    before, runs = by_mlflow(), search_runs()
    again = registry.register(first, DATABASE, MODELS)
    assert again == before[0]
    assert by_mlflow() == read() == before
    assert [run.info.run_id for run in search_runs()] == [run.info.run_id for run in runs]


def test_a_second_model_becomes_champion_and_remembers_whom_it_beat(second):
    made = registry.register(second, DATABASE, MODELS)
    assert (made.version, made.baseline, made.champion) == (2, 1, True)
    assert [(v.version, v.baseline, v.champion) for v in read()] == [(1, 0, False), (2, 1, True)]
    assert read() == by_mlflow()


def test_an_earlier_model_can_become_champion_again(first, second):
    registry.register(second, DATABASE, MODELS)
    assert registry.register(first, DATABASE, MODELS).version == 1
    assert [v.champion for v in read()] == [True, False]
    assert read() == by_mlflow()


def test_a_champion_that_someone_moved_with_mlflow_is_seen():
    mlflow = client()
    tags = {"mlops_spec.train": SECOND, "mlops_spec.baseline": "1", "mlops_spec.digest": SECOND}
    mlflow.create_model_version("digits", "file:///nowhere", tags=tags)
    mlflow.set_registered_model_alias("digits", "shadow", "2")  # another alias is no championship
    assert [v.champion for v in read()] == [True, False]
    mlflow.set_registered_model_alias("digits", "champion", "2")
    assert [v.champion for v in read()] == [False, True]
    mlflow.delete_registered_model_alias("digits", "champion")
    assert [v.champion for v in read()] == [False, False]


def test_versions_come_in_the_order_of_their_numbers():
    mlflow = client()
    for number in range(2, 12):
        name = f"{number:064}"
        tags = {
            "mlops_spec.train": name,
            "mlops_spec.digest": name,
            "mlops_spec.baseline": "1",
        }
        mlflow.create_model_version("digits", "file:///nowhere", tags=tags)
    assert [v.version for v in read()] == [*range(1, 12)]
    assert read() == by_mlflow()


def test_models_of_other_names_are_apart(second):
    registry.register(replace(second, model="letters", baseline=0), DATABASE, MODELS)
    assert [v.train for v in read("letters")] == [SECOND]
    assert [v.train for v in read("digits")] == [FIRST]
    assert read("numbers") == []


def test_versions_that_others_registered_by_hand_are_left_alone():
    client().create_model_version("digits", Path("elsewhere").resolve().as_uri())
    assert [v.train for v in read()] == [FIRST]


def test_the_registry_keeps_a_complete_bundle_of_its_own(first):
    shutil.rmtree(first.bundle)
    home = Path(read()[0].path)
    card = bundle.load(home).card
    assert card.metrics == {"accuracy": 0.75}
    assert (home / "report.html").read_text("utf-8") == f"<p>{FIRST}</p>"


def test_a_version_says_where_its_bundle_lies_and_which_model_it_is(first):
    version = client().get_model_version("digits", "1")
    assert version.tags["mlops_spec.digest"] == bundle.digest(first.bundle)
    assert version.source.startswith("file://")


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


def test_a_copy_that_was_interrupted_is_made_anew(second):
    partial = MODELS / "digits" / f".{bundle.digest(second.bundle)[:16]}.partial"
    files.write_text(partial / "model.onnx", "half of it")
    made = registry.register(second, DATABASE, MODELS)
    assert bundle.digest(Path(made.path)) == bundle.digest(second.bundle)
    assert not partial.exists()


def test_a_registration_that_was_interrupted_before_mlflow_is_completed(second):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registry.register(second, DATABASE, MODELS)
    assert [v.version for v in read()] == [1]
    registry.register(second, DATABASE, MODELS)
    assert read() == by_mlflow()
    assert [v.version for v in read()] == [1, 2]


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
    made = registry.register(second, DATABASE, MODELS)
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
    made = registry.register(second, DATABASE, MODELS)
    assert client().get_model_version("digits", str(made.version)).run_id != run_id
    assert client().get_run(run_id).to_dictionary() == before


def test_of_two_trainings_by_one_step_the_last_one_counts(second):
    trained(SECOND, "FINISHED")
    run_id = trained(SECOND, "FINISHED")
    made = registry.register(second, DATABASE, MODELS)
    assert client().get_model_version("digits", str(made.version)).run_id == run_id


def test_a_training_of_another_experiment_is_found(second):
    mlflow = client()
    tags = {"mlops_spec.train": SECOND}
    run = mlflow.create_run(mlflow.create_experiment("somebody's own"), tags=tags)
    made = registry.register(second, DATABASE, MODELS)
    assert mlflow.get_model_version("digits", str(made.version)).run_id == run.info.run_id


def test_a_registration_that_was_interrupted_makes_no_second_run(second, monkeypatch):
    from mlflow import MlflowClient

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            registry.register(second, DATABASE, MODELS)
    made = registry.register(second, DATABASE, MODELS)
    (run,) = [r for r in search_runs() if r.data.tags.get("mlops_spec.train") == SECOND]
    assert client().get_model_version("digits", str(made.version)).run_id == run.info.run_id
    assert len(client().get_metric_history(run.info.run_id, "accuracy")) == 1


@pytest.mark.parametrize("content", ["no database" * 100, None])
def test_a_database_that_can_not_be_written_is_said_at_once(content, second):
    place = Path("broken/mlflow.db")
    if content:
        files.write_text(place, content)
    else:
        place.mkdir(parents=True)
    with pytest.raises(MlopsError, match=r"broken/mlflow.db can not be") as caught:
        registry.register(second, place, MODELS)
    assert "restore it from a copy" in str(caught.value)
