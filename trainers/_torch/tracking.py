"""Training curves in MLflow while a training runs.

MLflow takes seconds to import and to set up a new database, and a server can be slow or gone.
So a thread does all of it, and training hands over numbers and goes on. What was handed over is
kept beside the checkpoints: a training that is killed and continues adds to the same run what is
missing there, and nothing twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytorch_lightning.callbacks import Callback

from mlops_spec import files, redaction, tracking
from mlops_spec.errors import StateError
from mlops_spec.spec import leaves
from trainers._torch.progress import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytorch_lightning as pl
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from mlops_spec.step_spec import StepSpec

_ATTEMPT = "mlops_spec.attempt"  # tag: which training this is, however often it was interrupted
_SHOWN = ("train_loss", "val_loss", "val_accuracy")
# How long a training waits in the end for what is on its way, by how it ended; one that was
# interrupted is killed by the engine after 15 seconds.
_PATIENCE = {"FINISHED": 30.0, "FAILED": 30.0, "KILLED": 8.0}
# MLflow's own patience with a server that does not answer is minutes; there is a next epoch.
_SERVER = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_SETUP_SECONDS = 60.0  # for somebody else to set up the same database


@contextlib.contextmanager
def tracked(spec: StepSpec, folder: Path) -> Iterator[list[Callback]]:
    """What tracks a training, if `MLFLOW_TRACKING_URI` is set; its run ends as the block does.

    Args:
        spec: What the run's parameters are.
        folder: Where the training keeps its checkpoints.
    """
    uri = os.environ.get(tracking.URI, "")
    if not uri:
        yield []
        return
    values = dict(leaves(spec.model_dump(mode="json", exclude_none=True)))
    notes = Notes(folder / "tracking.json")
    curves = Curves(notes, Writer(uri, values, notes))
    status = "FAILED"
    try:
        yield [curves]
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        curves.end(status)


class Notes:
    """What a training that goes on must know of its run: which it is, and what it has to hold.

    Training alone writes them: the run is found by a tag, so that it is known before it is there.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.attempt = path, uuid.uuid4().hex
        # Of an epoch: when it was over, in milliseconds, and its metrics by name
        self.epochs: dict[int, tuple[int, dict[str, float]]] = {}
        with contextlib.suppress(FileNotFoundError, StateError, KeyError):  # another run
            known = files.read_json(path)
            self.attempt = known["attempt"]
            self.epochs = {epoch: (when, metrics) for epoch, when, metrics in known["epochs"]}

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """Adds an epoch; one that is learned again after an interruption is the same again."""
        self.epochs.setdefault(epoch, (round(time.time() * 1000), metrics))
        self.save()

    def save(self) -> None:
        """Writes them down."""
        epochs = [(epoch, *known) for epoch, known in self.epochs.items()]
        files.write_json(self.path, {"attempt": self.attempt, "epochs": epochs})


class Curves(Callback):
    """Hands over an epoch's numbers once it is validated."""

    def __init__(self, notes: Notes, writer: Writer) -> None:
        self.notes, self.writer = notes, writer
        self.lr = 0.0
        self.tracks = True

    def setup(self, trainer: pl.Trainer, *_: Any, **_more: Any) -> None:
        """Begins; of several processes that train one model only one tracks it."""
        self.tracks = trainer.is_global_zero
        if self.tracks:
            self.notes.save()
            self.writer.start()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Notes the head's learning rate; at the end of an epoch it may be that of the next."""
        self.lr = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Hands over; validation is over, and the checkpoint is written after this."""
        if not self.tracks:
            return
        others: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # undeclared there
        lines = next(one for one in others if isinstance(one, Lines))
        metrics = {name: float(trainer.callback_metrics[name]) for name in _SHOWN}
        speed = {"images_per_second": lines.images_per_second, "seconds": lines.seconds}
        self.notes.add(trainer.current_epoch + 1, {**metrics, "lr": self.lr, **speed})
        self.writer.orders.put("")

    def end(self, status: str) -> None:
        """Ends the run, also that of a training of which only the export was left to do."""
        if self.tracks and (self.writer.is_alive() or self.notes.epochs):
            self.writer.end(status)


class Writer(threading.Thread):
    """Writes what is noted into an MLflow run; when that fails, once more with the next epoch."""

    def __init__(self, uri: str, parameters: dict[str, Any], notes: Notes) -> None:
        super().__init__(name="tracking", daemon=True)  # a server can not keep the process alive
        self.uri, self.parameters, self.notes = uri, parameters, notes
        self.orders: queue.SimpleQueue[str] = queue.SimpleQueue()  # how it ended; empty: it goes on
        self.orders.put("")  # the run is there before the first epoch is over
        self.target: _Target | None = None
        self.warned = False

    def run(self) -> None:
        """Follows orders until the last one."""
        status = ""
        while not status:
            status = self.orders.get()
            try:
                self._write(status)
            except Exception as error:  # noqa: BLE001 - training never fails because this did
                self.target = None  # what arrived is looked up the next time
                self._warn(f"{type(error).__name__}: {error}")

    def end(self, status: str) -> None:
        """Gives the last order and waits for it, but not for ever."""
        if not self.is_alive():
            self.start()
        self.orders.put(status)
        self.join(_PATIENCE[status])
        if self.is_alive():
            self._warn(f"MLflow takes more than {_PATIENCE[status]:.0f} s")

    def _write(self, status: str) -> None:
        if self.target is None:
            self.target = _connect(self.uri, self.notes.attempt, self.parameters)
        self.target.add(self.notes.epochs.copy())
        if status and not tracking.is_of_azureml(self.target.run_id):
            self.target.mlflow.set_terminated(self.target.run_id, status)

    def _warn(self, why: str) -> None:
        """Says once that something is missing, without what may be secret about it."""
        if self.warned:
            return
        self.warned = True
        what = redaction.redact(why.partition("\n")[0])
        line = f"warning: not all of this training's curves are in MLflow: {what}"
        print(line, flush=True)  # noqa: T201 - a step's standard output is its interface


@dataclass(frozen=True)
class _Target:
    """An MLflow run and the epochs that it holds."""

    mlflow: MlflowClient
    run_id: str
    written: set[int] = field(default_factory=set)

    def add(self, epochs: dict[int, tuple[int, dict[str, float]]]) -> None:
        """Adds the epochs that are not there yet."""
        from mlflow.entities import Metric

        for epoch in [epoch for epoch in epochs if epoch not in self.written]:
            when, metrics = epochs[epoch]
            rows = [Metric(name, value, when, epoch) for name, value in metrics.items()]
            self.mlflow.log_batch(self.run_id, rows)
            self.written.add(epoch)


def _connect(uri: str, attempt: str, parameters: dict[str, Any]) -> _Target:
    """Finds out which run is to be written to and what it holds already."""
    for name, value in _SERVER.items():
        os.environ.setdefault(name, value)
    for name in ("urllib3", "alembic"):  # whatever goes wrong is one line of ours
        logging.getLogger(name).setLevel(logging.ERROR)
    with tracking.only_setup(uri, _SETUP_SECONDS):
        mlflow = tracking.client(uri, logging.CRITICAL)
        run = _run(mlflow, attempt, str(parameters.get("model.backbone", "training")))
    tracking.log_parameters(mlflow, run, parameters)
    history = mlflow.get_metric_history(run.info.run_id, _SHOWN[0])
    return _Target(mlflow, run.info.run_id, {metric.step for metric in history})


def _run(mlflow: MlflowClient, attempt: str, backbone: str) -> Run:
    """The run that was given, the one of this training before it was interrupted, or a new one.

    A new one is called by its backbone and when it began. MLflow would draw a name, and draw the
    same one in each training of a seed.
    """
    given, step = (os.environ.get(name, "") for name in (tracking.RUN, tracking.STEP))
    tags = {_ATTEMPT: attempt, **({tracking.TRAIN: step} if step else {})}
    known = mlflow.get_run(given) if given else _find(mlflow, attempt)
    if known is None:
        name = f"{backbone} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return mlflow.create_run(_experiment(mlflow), tags=tags, run_name=name)
    for name, value in tags.items():
        mlflow.set_tag(known.info.run_id, name, value)
    if not tracking.is_of_azureml(known.info.run_id):
        mlflow.update_run(known.info.run_id, "RUNNING")
    return known


def _find(mlflow: MlflowClient, attempt: str) -> Run | None:
    found = mlflow.search_runs([_experiment(mlflow)], f"tags.`{_ATTEMPT}` = '{attempt}'")
    return next(iter(found), None)


def _experiment(mlflow: MlflowClient) -> str:
    """The experiment that MLflow would write to, by its own variables; 0 is its default."""
    name = os.environ.get(tracking.EXPERIMENT, "")
    if name:
        return tracking.experiment(mlflow, name)
    return os.environ.get("MLFLOW_EXPERIMENT_ID", "0")
