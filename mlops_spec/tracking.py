"""MLflow's runs: a model's parameters, its curves while it trains, and how it was judged, in one.

Where they go is what MLflow's own environment variables say, as in a job of Azure ML. The engine
sets them for training on this machine; the run is found again when the model is registered by a
tag, the key of the training step: the registry knows it anyway, it outlives the step's folder, and
the outputs of a step stay the same bytes whether somebody watched it or not.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_spec.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow import MlflowClient
    from mlflow.entities import Run

URI, EXPERIMENT, RUN = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"
STEP = "MLOPS_SPEC_STEP"  # tells a process which step it performs: its key
ORIGINS = "MLOPS_SPEC_ORIGINS"  # tells a report where its settings were written, as JSON
SECONDS = "MLOPS_SPEC_SECONDS"  # tells a process how long the steps before took, as JSON
TRAIN = "mlops_spec.train"  # tag: key of the step that trained the model
_SQLITE, _AZUREML = "sqlite:///", "azureml://"
_MOST_PARAMETERS = 100  # that MLflow takes at once


def uri_of(database: Path | str) -> str:
    """What MLflow calls a sqlite file."""
    return f"{_SQLITE}{database}"


def variables(database: str, experiment: str) -> dict[str, str]:
    """Environment variables that send what a process tracks to a sqlite file."""
    return {URI: uri_of(database), EXPERIMENT: experiment}


@contextlib.contextmanager
def only_setup(uri: str, seconds: float = -1) -> Iterator[None]:
    """Holds off others who set up the same sqlite file: MLflow does not.

    Raises:
        Timeout: Somebody else was at it all the `seconds`; below 0 there is no limit.
        StateError: The file can not be written.
    """
    from filelock import FileLock  # a plan, which waits for nobody, is without it

    if not uri.startswith(_SQLITE):
        yield
        return
    database = _file(uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=seconds):
        _check(database)
        if not database.exists() or not database.stat().st_size:
            _create(database)
        yield


def _create(database: Path) -> None:
    """Lets MLflow set up a new file beside the place and moves it there.

    A process that is killed in the middle leaves nothing that the next one stumbles over.
    """
    fresh = database.with_name(f".{database.name}.new")
    fresh.unlink(missing_ok=True)
    client(uri_of(fresh), logging.CRITICAL).search_experiments(max_results=1)
    fresh.replace(database)


def _check(database: Path) -> None:
    """Says at once that a file can not be written; MLflow tries for minutes. Makes an empty one."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        raise unusable(database, error, "written") from error


def is_locked(error: Exception) -> bool:
    """Whether a database can not be used because another process is at it."""
    return "database is locked" in str(error)


def unusable(database: Path, error: Exception, what: str) -> StateError:
    """Why a database can not be read or written, and what to do about it."""
    if is_locked(error):
        message = f"{database} can not be {what}: another program holds it locked"
        return StateError(message, "wait for it to end, or end it, then run the same command again")
    if any(words in str(error) for words in ("no such table", "no such column")):
        message = f"{database} is no registry of MLflow's, or one of another version: {error}"
        return StateError(message, _cure(database))
    message = f"{database} can not be {what}: {error}"
    return StateError(message, "restore it from a copy, or look what else uses it")


def _cure(database: Path) -> str:
    """What helps where a database and MLflow are of different versions."""
    import mlflow

    found = schema(database)
    if not found:
        return "choose another workspace.database"
    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(migrations.glob(f"{found}_*.py")):
        uri = uri_of(database)
        return f"an older MLflow made it: take a copy of it, then `mlflow db upgrade {uri}`"
    which = f"MLflow {mlflow.__version__} does not know its schema {found}"
    return f"{which}: upgrade mlflow-skinny, or choose another workspace.database"


def schema(database: Path) -> str:
    """The revision of MLflow's schema that a database has; empty when it has none."""
    uri = f"{database.resolve().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


@contextlib.contextmanager
def told(database: Path) -> Iterator[None]:
    """Says clearly what MLflow has against a database.

    Raises:
        StateError: It is of another version, locked, or damaged.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        if "out-of-date database schema" in str(error):
            message = f"{database} was made by another version of MLflow"
            raise StateError(message, _cure(database)) from error
        raise unusable(database, Exception(str(error).splitlines()[0]), "written") from error


def _file(uri: str) -> Path:
    return Path(uri.removeprefix(_SQLITE).partition("?")[0])


def address(uri: str) -> str:
    """Where MLflow's own client finds a tracking server: of azureml://, its API over https.

    That is what Azure ML's plugin does; without it a job needs none of the plugin's pins. The
    plugin asks for protocol 2.0, whatever the address says, and so does this.
    """
    if not uri.startswith(_AZUREML):
        return uri
    plain = uri.removeprefix(_AZUREML).partition("?")[0]
    return "https://" + plain.replace("/mlflow/v1.0/", "/mlflow/v2.0/", 1)


def is_of_azureml(run_id: str) -> bool:
    """Whether a run is that of the Azure ML job that this is: Azure ML itself says how it ends."""
    return os.environ.get("AZUREML_RUN_ID") == run_id


def client(uri: str, level: int = logging.WARNING) -> MlflowClient:
    """MLflow's client; what is below `level` it keeps to itself."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(level)
    return MlflowClient(address(uri), address(uri))


def experiment(mlflow: MlflowClient, name: str) -> str:
    """The id of an experiment, which is made when absent."""
    known = mlflow.get_experiment_by_name(name)
    if known:
        return str(known.experiment_id)
    uri = str(mlflow.tracking_uri)
    # Beside the sqlite file, not in the folder that somebody happens to be in
    place = (_file(uri).parent / "artifacts").resolve().as_uri() if _SQLITE in uri else None
    return str(mlflow.create_experiment(name, place))


def log_parameters(mlflow: MlflowClient, run: Run, parameters: Mapping[str, object]) -> None:
    """Adds the parameters that a run does not have yet."""
    from mlflow.entities import Param

    new = [Param(k, str(v)) for k, v in parameters.items() if k not in run.data.params]
    for first in range(0, len(new), _MOST_PARAMETERS):
        mlflow.log_batch(run.info.run_id, params=new[first : first + _MOST_PARAMETERS])
