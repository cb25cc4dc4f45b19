"""Checkpoints of a training: the best epoch, and the last one to continue from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.callbacks import ModelCheckpoint

if TYPE_CHECKING:
    from pathlib import Path

    from pytorch_lightning.callbacks import Callback


MONITORED = "val_loss"  # accuracy on a small split is too coarse to choose by


@dataclass(frozen=True)
class Start:
    """Where a training starts: from nothing, or from a checkpoint; `done` if nothing is left."""

    path: Path | None = None
    epoch: int = 0
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
    return [best, last]


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
    epoch = state["epoch"] + 1
    stopped = any(kept.get("stopped_epoch", 0) > 0 for kept in _callbacks(state))
    return Start(last, epoch, epoch >= epochs or stopped)


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
