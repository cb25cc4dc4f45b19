"""One plain line an epoch, for a terminal, a log file and the engine's live view alike."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pytorch_lightning.callbacks import Callback

from mlops_spec import curves

if TYPE_CHECKING:
    import pytorch_lightning as pl

_MINUTE, _HOUR = 60, 3600


class Lines(Callback):
    """Prints an epoch's numbers, how fast it learned, and how long the others will take."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.images = 0
        self.learned = 0.0

    @property
    def images_per_second(self) -> float:
        """How fast this epoch learned; 0 if only its validation was left to do."""
        return self.images / (self.learned - self.began[-1]) if self.images else 0.0

    @property
    def seconds(self) -> float:
        """How long this epoch has been going on, validation included."""
        return time.monotonic() - self.began[-1]

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Training begins, perhaps in the middle of an epoch."""
        if trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start()

    def on_train_epoch_start(self, *_: Any) -> None:
        """An epoch begins."""
        self.began.append(time.monotonic())
        self.images = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, _module: pl.LightningModule, _out: Any, batch: Any, *_: Any
    ) -> None:
        """Counts images, those of other processes too."""
        self.images += len(batch[1]) * trainer.world_size
        self.learned = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Prints the line; validation is over by now."""
        if not trainer.is_global_zero:
            return
        shown, epoch, last = trainer.callback_metrics, trainer.current_epoch + 1, trainer.max_epochs
        assert last
        each = (time.monotonic() - self.began[0]) / len(self.began)
        print(  # noqa: T201 - a step's standard output is its interface
            f"epoch {epoch}/{last}"
            f"  val_accuracy {float(shown['val_accuracy']):.4f}"
            f"  val_loss {float(shown['val_loss']):.4f}"
            f"  train_loss {float(shown['train_loss']):.4f}"
            f"  {self.images_per_second:.0f} images/s"
            f"  {duration((last - epoch) * each)} left",
            flush=True,
        )


class History(Callback):
    """Keeps each epoch's numbers, in the checkpoints too, so that a restart forgets none."""

    def __init__(self) -> None:
        self.epochs: list[list[float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Adds a row, as `curves.COLUMNS` has them."""
        shown = (float(trainer.callback_metrics[name]) for name in curves.COLUMNS[1:4])
        learning = sum(w.numel() for w in module.parameters() if w.requires_grad)
        self.epochs.append([trainer.current_epoch + 1, *shown, learning])

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"history": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint kept."""
        self.epochs = state_dict["history"]


def duration(seconds: float) -> str:
    """A time to wait, in the unit that a person would say it in."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
