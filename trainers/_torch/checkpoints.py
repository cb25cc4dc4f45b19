"""Checkpoints of a training: the best epoch, and the last one to continue from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from trainers import _leaving

if TYPE_CHECKING:
    from pathlib import Path

    import pytorch_lightning as pl


MONITORED = "val_loss"  # accuracy on a small split is too coarse to choose by


@dataclass(frozen=True)
class Start:
    """Where a training starts: from nothing, or from a checkpoint; `done` if nothing is left.

    `batches` of its first epoch were learned before it was interrupted.
    """

    path: Path | None = None
    epoch: int = 0
    batches: int = 0
    done: bool = False


def keepers(folder: Path) -> list[Callback]:
    """What writes `best.ckpt` and then `last.ckpt` once an epoch is over and nothing is half done.

    They are two, since Lightning's `save_last` saves nothing in an epoch that is not the best.
    """
    best = ModelCheckpoint(
        folder,
        "best",
        monitor=MONITORED,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    last = ModelCheckpoint(
        folder, "last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    return [best, last, Interruption(folder / "last.ckpt")]


class Interruption(Callback):
    """Leaves when a signal says so, and keeps what was learned of the epoch by then.

    Several processes leave together, whichever of them was told.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, *_: Any) -> None:
        """Training begins; Lightning has set its handlers of signals by now."""
        _leaving.listen_again()
        _leaving.be_patient(patient=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, _module: pl.LightningModule, _out: Any, _batch: Any, index: int
    ) -> None:
        """Leaves if told to, unless gradients are half added up or validation is next."""
        done = index + 1
        if done % trainer.accumulate_grad_batches == 0 and done < trainer.num_training_batches:
            self._leave_if_told(trainer, f"batch {done} of {trainer.num_training_batches}")

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **_more: Any) -> None:
        """Leaves if told to; the validation of this epoch begins again then."""
        self._leave_if_told(trainer, "its last batch")

    def _leave_if_told(self, trainer: pl.Trainer, where: str) -> None:
        if trainer.world_size == 1:
            told = _leaving.told()
        else:
            device = trainer.strategy.root_device
            mine = torch.tensor(float(_leaving.told()), device=device)
            told = bool(trainer.strategy.reduce(mine, reduce_op="sum"))
        if not told:
            return
        trainer.save_checkpoint(self.path)
        if trainer.is_global_zero:
            said = f"interrupted in epoch {trainer.current_epoch + 1} after {where}, which is kept"
            print(said, flush=True)  # noqa: T201 - a step's standard output is its interface
        raise KeyboardInterrupt

    def on_save_checkpoint(
        self, trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Lets a validation that was interrupted seem to be in its first batch.

        Lightning goes on with a validation where it was, but keeps no sums of what was before.
        """
        if trainer.validating:
            first = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
            progress = {"total": first, "current": {**first}, "is_last_batch": False}
            checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"] = progress

    def on_train_end(self, *_: Any) -> None:
        """Training is over; what is left to do is done again where it is interrupted."""
        _leaving.be_patient(patient=False)
        if _leaving.told():
            raise KeyboardInterrupt

    def on_exception(self, *_: Any) -> None:
        """Training failed, or this left."""
        _leaving.be_patient(patient=False)


def start(folder: Path, epochs: int, *, leader: bool = True) -> Start:
    """Where to start, given what an earlier attempt may have left.

    Of several processes that train together only the `leader` says so and takes damage away.
    """
    last = folder / "last.ckpt"
    if not last.exists():
        return Start()
    try:
        state = torch.load(last, weights_only=True)
    except Exception as error:  # noqa: BLE001 - a file cut off anywhere fails in any way
        if leader:
            said = f"the last checkpoint is damaged ({type(error).__name__}): starting again"
            print(said, flush=True)  # noqa: T201 - a step's standard output is its interface
            shutil.rmtree(folder)
        return Start()
    if leader:
        print("continuing from the last checkpoint", flush=True)  # noqa: T201 - as above
    progress = state["loops"]["fit_loop"]
    epoch = progress["epoch_progress"]["current"]["processed"]
    batches = progress["epoch_loop.batch_progress"]["current"]["processed"]
    if epoch > state["epoch"]:  # the checkpoint of a whole epoch
        batches = 0
    stopped = any(kept.get("stopped_epoch", 0) > 0 for kept in _callbacks(state))
    return Start(last, epoch, batches, done=epoch >= epochs or stopped)


def best(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """State and metrics of the best epoch."""
    state = torch.load(folder / "best.ckpt", weights_only=True)
    keeper = next(kept for kept in _callbacks(state) if kept.get("monitor") == MONITORED)
    metrics = {"val_loss": float(keeper["best_model_score"]), "epoch": float(state["epoch"] + 1)}
    return state["state_dict"], metrics


def history(folder: Path) -> list[list[float]]:
    """Each epoch's numbers, as `progress.History` kept them."""
    state = torch.load(folder / "last.ckpt", weights_only=True)
    return next(kept["history"] for kept in _callbacks(state) if "history" in kept)


def _callbacks(state: dict[str, Any]) -> list[dict[str, Any]]:
    """What Lightning's callbacks keep in a checkpoint."""
    return [*state["callbacks"].values()]
