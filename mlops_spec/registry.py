"""Registered models on this machine: MLflow's registry in one sqlite file.

A version is a finished bundle with the key of the training step that made it and the champion it
was measured against. Registering writes through MLflow. Reading what is registered happens before
every plan, where importing MLflow (1.2 s) would cost more than all the rest, so it is one SQL query
against MLflow's documented tables; a test holds the two views against each other.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import tracking
from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.entities import Run

CHAMPION = "champion"
_TRAIN, _BASELINE, _DIGEST = tracking.TRAIN, "mlops_spec.baseline", "mlops_spec.digest"


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    version: int
    train: str  # key of the step that trained it
    baseline: int  # the champion it was measured against; 0 for none
    path: str  # its bundle
    champion: bool
    digest: str = ""  # of its bundle: what it is, whoever trained it
    intact: bool = True  # its bundle is there


@dataclass(frozen=True)
class Candidate:
    """A judged model on its way into the registry."""

    model: str
    train: str
    baseline: int
    bundle: Path
    report: Path
    metrics: Mapping[str, float]


_QUERY = """
    SELECT v.version, train.value, baseline.value, digest.value, alias.version IS NOT NULL
    FROM model_versions v
    LEFT JOIN model_version_tags train
      ON train.name = v.name AND train.version = v.version AND train."key" = ?
    LEFT JOIN model_version_tags baseline
      ON baseline.name = v.name AND baseline.version = v.version AND baseline."key" = ?
    LEFT JOIN model_version_tags digest
      ON digest.name = v.name AND digest.version = v.version AND digest."key" = ?
    LEFT JOIN registered_model_aliases alias
      ON alias.name = v.name AND alias.version = v.version AND alias.alias = ?
    WHERE v.name = ? AND COALESCE(v.current_stage, '') <> 'Deleted_Internal'
    ORDER BY v.version
"""


def read(database: Path, models: Path, model: str) -> list[Version]:
    """The versions of a model; none while the database does not exist.

    Raises:
        StateError: The database can not be read, or somebody else made a version champion.
    """
    if not database.exists():
        return []
    versions = []
    for version, train, baseline, digest, champion in _rows(database, model):
        if digest:
            path = _home(models, model, digest)
            intact = (path / "model.json").exists()
            known = (train or "", int(baseline or 0), str(path), bool(champion), digest, intact)
            versions.append(Version(version, *known))
        elif champion:
            message = f"the champion of {model}, version {version}, was not registered from here"
            raise StateError(
                message, "choose another registered_model, or move the alias in MLflow"
            )
    return versions


_Row = tuple[int, str, str, str, int]  # version, train, baseline, digest, champion


def _rows(database: Path, model: str) -> list[_Row]:
    words = (_TRAIN, _BASELINE, _DIGEST, CHAMPION, model)
    try:
        return _query(database, "ro", words)
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):  # MLflow has begun to create the database
            return []
    try:
        # What a killed process left half-written, sqlite mends when it may write.
        return _query(database, "rw", words)
    except sqlite3.DatabaseError as error:
        message = f"{database} can not be read: {error}"
        raise StateError(message, "restore it from a copy, or look what else uses it") from error


def _query(database: Path, mode: str, words: tuple[str, ...]) -> list[_Row]:
    uri = f"{database.resolve().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        return connection.execute(_QUERY, words).fetchall()


def _home(models: Path, model: str, digest: str) -> Path:
    """Where the registry keeps a bundle: by what it is."""
    return models / model / digest[:16]


def register(candidate: Candidate, database: Path, models: Path) -> Version:
    """Makes a judged model a version and champion; doing it again changes nothing.

    Args:
        candidate: The model.
        database: MLflow's sqlite file, made when absent.
        models: Where the registry keeps its own copies of bundles.
    """
    from mlops_spec import bundle

    with tracking.only_setup(tracking.uri_of(database)):
        digest = bundle.digest(candidate.bundle)
        path = _store(candidate, _home(models, candidate.model, digest))
        known = {v.digest: v.version for v in read(database, models, candidate.model)}
        version = _record(candidate, database, path, known.get(digest))
    return Version(version, candidate.train, candidate.baseline, str(path), True, digest)


def _store(candidate: Candidate, path: Path) -> Path:
    """The registry's copy of a bundle, complete with metrics and report, in one move."""
    from mlops_spec import bundle

    if (path / "model.json").exists():
        return path
    shutil.rmtree(path, ignore_errors=True)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in bundle.FILES:
        shutil.copy2(candidate.bundle / name, partial)
    shutil.copy2(candidate.report, partial)
    card = bundle.read(candidate.bundle).model_copy(update={"metrics": dict(candidate.metrics)})
    bundle.write(partial, card)
    partial.replace(path)
    return path


def _record(candidate: Candidate, database: Path, path: Path, known: int | None) -> int:
    """Makes the version, unless it is `known`, and champion; returns its number."""
    client = tracking.client(tracking.uri_of(database.resolve()))
    version = known or _create(client, candidate, path)
    # A model that is known may have beaten another champion this time.
    tags = {_TRAIN: candidate.train, _BASELINE: str(candidate.baseline)}
    for key, value in tags.items() if known else ():
        client.set_model_version_tag(candidate.model, str(version), key, value)
    client.set_registered_model_alias(candidate.model, CHAMPION, str(version))
    return version


def _create(client: MlflowClient, candidate: Candidate, path: Path) -> int:
    from mlflow.exceptions import MlflowException

    from mlops_spec import bundle

    try:
        client.create_registered_model(candidate.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    digest = bundle.digest(path)
    tags = {_TRAIN: candidate.train, _BASELINE: str(candidate.baseline), _DIGEST: digest}
    run = _track(client, candidate, digest)
    source = path.resolve().as_uri()
    return int(client.create_model_version(candidate.model, source, run, tags=tags).version)


def _track(client: MlflowClient, candidate: Candidate, digest: str) -> str:
    """Completes the run that a model was trained in, or makes one; returns its id."""
    from mlflow.entities import Metric, RunTag

    from mlops_spec import bundle
    from mlops_spec.spec import leaves

    run = _trained_in(client, candidate, digest)
    if run is None:
        experiment = tracking.experiment(client, candidate.model)
        run = client.create_run(experiment, tags={_TRAIN: candidate.train})
    run_id = str(run.info.run_id)
    tracking.log_parameters(client, run, dict(leaves(bundle.read(candidate.bundle).spec)))
    client.log_batch(
        run_id,
        metrics=[Metric(k, v, run.info.start_time, 0) for k, v in candidate.metrics.items()],
        tags=[RunTag(_DIGEST, digest)],
    )
    client.log_artifact(run_id, str(candidate.report))
    if run.info.status != "FINISHED":
        client.set_terminated(run_id)
    return run_id


def _trained_in(client: MlflowClient, candidate: Candidate, digest: str) -> Run | None:
    """The last run of a training step that did not fail and did not bring forth another model.

    The same step may have been performed more than once, with other weights each time.
    """
    everywhere = [one.experiment_id for one in client.search_experiments()]
    wanted = f"tags.`{_TRAIN}` = '{candidate.train}' AND attributes.status != 'FAILED'"
    found = client.search_runs(everywhere, wanted)  # the last one first
    return next((run for run in found if run.data.tags.get(_DIGEST, digest) == digest), None)
