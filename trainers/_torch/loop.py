"""The training loop, on Lightning: fit, keep the best epoch, export a bundle."""

from __future__ import annotations

import logging
import shutil
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from safetensors.torch import save_file
from torch import nn

from mlops_spec import bundle, manifest
from mlops_spec.bundle import Card, Preprocessing
from mlops_spec.errors import StepError
from trainers._torch import networks
from trainers._torch.data import Pictures, augmentation, channel_statistics, loader
from trainers._transfer_spec import Spec

if TYPE_CHECKING:
    from pathlib import Path

    from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig

    from mlops_spec.manifest import Dataset
    from mlops_spec.spec import ModelSpec, StepSpec

_GOLDEN_IMAGES = 3
_ACCELERATORS = {"cuda": "gpu"}  # Lightning's word for it


class Classifier(pl.LightningModule):
    """A network learning from uint8 pictures; normalisation is part of the batch preparation."""

    def __init__(self, network: networks.Network, spec: Spec, how: Preprocessing) -> None:
        super().__init__()
        self.network, self.spec = network, spec
        self.loss = nn.CrossEntropyLoss(label_smoothing=spec.label_smoothing)
        shape = (1, how.channels, 1, 1)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(how.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(how.std).view(shape), persistent=False)
        if spec.freeze == "backbone":
            network.backbone.requires_grad_(requires_grad=False)

    def on_train_epoch_start(self) -> None:
        """Keeps a frozen backbone's BatchNorm statistics frozen too: Lightning resets the mode."""
        if self.spec.freeze == "backbone":
            self.network.backbone.eval()

    def logits(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of uint8 pictures (N, C, H, W)."""
        answer: torch.Tensor = self.network((pictures.float() / 255.0 - self.mean) / self.std)
        return answer

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        """The loss of one batch."""
        loss: torch.Tensor = self.loss(self.logits(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[1]))
        return loss

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        """Loss and accuracy of one batch, averaged over the split by Lightning."""
        logits, size = self.logits(batch[0]), len(batch[1])
        right = (logits.argmax(dim=1) == batch[1]).float().mean()
        self.log("val_loss", nn.functional.cross_entropy(logits, batch[1]), batch_size=size)
        self.log("val_accuracy", right, batch_size=size)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer and the learning-rate schedule of the spec."""
        optimizer = _optimizer(self.spec, [p for p in self.parameters() if p.requires_grad])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = _schedule(self.spec, optimizer, steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _optimizer(spec: Spec, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    if spec.optimizer == "sgd":
        return torch.optim.SGD(weights, spec.lr, spec.momentum, weight_decay=spec.weight_decay)
    kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
    return kind(weights, spec.lr, weight_decay=spec.weight_decay)


def _schedule(
    spec: Spec, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    match spec.schedule:
        case "cosine":
            return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        case "one_cycle":
            # Lightning resets nothing here, so that a resumed run continues the same cycle.
            return torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.lr, total_steps=steps)
        case "constant":
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)


class _Lines(Callback):
    """One plain line an epoch, for a terminal, a log file and the engine's live view alike."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        """Prints the epoch's numbers."""
        if not trainer.sanity_checking and trainer.is_global_zero:
            shown = trainer.callback_metrics
            print(  # noqa: T201 - a step's standard output is its interface
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
                f"  val_accuracy {float(shown['val_accuracy']):.4f}"
                f"  val_loss {float(shown['val_loss']):.4f}",
                flush=True,
            )


def fit(spec: StepSpec, data_dir: Path, out_dir: Path) -> dict[str, float]:
    """Trains, keeps the best epoch on the validation split, and exports a bundle."""
    assert isinstance(spec.training, Spec)
    assert spec.model is not None
    _quiet()
    pl.seed_everything(spec.seed, workers=True, verbose=False)
    dataset = manifest.read(data_dir)
    how = preprocessing(spec.model, dataset)
    network = networks.build(spec.model, len(dataset.classes))
    module = Classifier(network, spec.training, how)
    checkpoints = out_dir / ".checkpoints"
    best = _run(module, spec, dataset, how, checkpoints)
    module.load_state_dict(torch.load(best, weights_only=True)["state_dict"])
    _export(module.network.cpu().eval(), spec, dataset, how, out_dir)
    metrics = _best_metrics(best)
    shutil.rmtree(checkpoints)
    return metrics


def preprocessing(model: ModelSpec, dataset: Dataset) -> Preprocessing:
    """Sizes from the spec; mean and deviation of the training images as the network sees them."""
    plain = Preprocessing(
        channels=model.channels,
        resize=model.resize,
        input_size=model.input_size,
        mean=(0.0,) * model.channels,
        std=(1.0,) * model.channels,
    )
    mean, std = channel_statistics(Pictures(dataset, "train", plain))
    return plain.model_copy(update={"mean": mean, "std": std})


def _run(
    module: Classifier, spec: StepSpec, dataset: Dataset, how: Preprocessing, checkpoints: Path
) -> Path:
    """Fits, from the last checkpoint if there is one; returns the best checkpoint."""
    training = module.spec
    augment = augmentation(training.augment, how.input_size)
    pictures = Pictures(dataset, "train", how, augment)
    judged = Pictures(dataset, "val", how)
    keeper = ModelCheckpoint(
        checkpoints,
        "best",
        monitor="val_loss",  # accuracy on a small split is too coarse to choose by
        save_last=True,
        save_top_k=1,
        enable_version_counter=False,
    )
    assert spec.compute is not None
    accelerator = spec.compute.accelerator
    trainer = pl.Trainer(
        accelerator=_ACCELERATORS.get(accelerator, accelerator),
        devices=spec.compute.devices,
        max_epochs=training.epochs,
        precision=training.precision,
        deterministic=training.deterministic,
        callbacks=[keeper, _Lines()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    last = _last_checkpoint(checkpoints)
    trainer.fit(
        module,
        loader(pictures, training.batch_size, training.workers, spec.seed),
        loader(judged, training.batch_size, training.workers, None),
        ckpt_path=str(last) if last else None,
        weights_only=True,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt
    if keeper.best_model_score is None or not torch.isfinite(keeper.best_model_score):
        raise StepError("training diverged: the validation loss is not finite", "lower training.lr")
    return checkpoints / "best.ckpt"


def _last_checkpoint(checkpoints: Path) -> Path | None:
    """The checkpoint to continue from, if an earlier attempt left one that can be read."""
    last = checkpoints / "last.ckpt"
    if not last.exists():
        return None
    try:
        torch.load(last, weights_only=True)
    except Exception as error:  # noqa: BLE001 - a file cut off anywhere fails in any way
        said = f"the last checkpoint is damaged ({type(error).__name__}): starting again"
        print(said, flush=True)  # noqa: T201 - see _Lines
        shutil.rmtree(checkpoints)
        return None
    print("continuing from the last checkpoint", flush=True)  # noqa: T201 - see _Lines
    return last


def _best_metrics(best: Path) -> dict[str, float]:
    state = torch.load(best, weights_only=True)
    keeper = next(v for k, v in state["callbacks"].items() if k.startswith("ModelCheckpoint"))
    return {"val_loss": float(keeper["best_model_score"]), "epoch": float(state["epoch"] + 1)}


def _export(
    network: networks.Network, spec: StepSpec, dataset: Dataset, how: Preprocessing, out_dir: Path
) -> None:
    """Writes the bundle; the golden answers on its card are the ONNX network's own."""
    save_file(network.state_dict(), out_dir / "model.safetensors")
    example = torch.zeros(2, how.channels, how.input_size, how.input_size)
    torch.onnx.export(
        network,
        (example,),
        out_dir / "model.onnx",
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    assert spec.training is not None
    card = Card(
        trainer=spec.training.kind,
        labels=dataset.classes,
        preprocessing=how,
        data_digest=dataset.digest,
        spec=spec.model_dump(mode="json", exclude_none=True),
        versions={name: version(name) for name in ("torch", "pytorch-lightning", "onnx")},
        golden=(),
    )
    bundle.write(out_dir, card)
    images = [dataset.content(row) for row in dataset.split("val")[:_GOLDEN_IMAGES]]
    golden = bundle.golden(bundle.load(out_dir), images)
    bundle.write(out_dir, card.model_copy(update={"golden": golden}))


def _quiet() -> None:
    """Leaves the log to what a person asked for; hints and deprecations are for developers."""
    for name in (
        "pytorch_lightning",
        "lightning.pytorch",
        "lightning_fabric",
        "torch.onnx",
        "onnxscript",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings(
        "ignore", module=r"pytorch_lightning|lightning_fabric|torch|onnxscript|onnx_ir"
    )
    warnings.filterwarnings("ignore", category=FutureWarning)
