"""A peer of `train.py`: plain Lightning, as its documentation teaches it."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from _train_sides import Task, given, say  # before Lightning: torchmetrics imports torchvision
from pytorch_lightning import LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch.nn import functional
from torch.utils.data import DataLoader

from trainers._torch.vision import torchvision, v2


class Module(LightningModule):
    """The network; a frozen backbone is in evaluation mode and outside the graph."""

    def __init__(self, task: Task, classes: int) -> None:
        super().__init__()
        self.task, self.network = task, task.network(classes).train()
        if task.frozen:
            self.network.backbone.eval().requires_grad_(requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits."""
        if not self.task.frozen:
            return self.network(images)
        with torch.no_grad():
            features = self.network.backbone(images)
        logits: torch.Tensor = self.network.head(features)
        return logits

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        """The loss of one batch."""
        loss = functional.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        """Loss and accuracy of one batch."""
        logits = self(batch[0])
        self.log("val_loss", functional.cross_entropy(logits, batch[1]))
        self.log("val_accuracy", (logits.argmax(dim=1) == batch[1]).float().mean())

    def configure_optimizers(self) -> Any:
        """Adam over what learns, with a learning rate in steps."""
        training = self.task.training
        learned = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(learned, lr=training["lr"])
        schedule = training["schedule"]
        steps = torch.optim.lr_scheduler.StepLR(
            optimizer, schedule["step_epochs"], schedule["factor"]
        )
        return [optimizer], [steps]


class Lines(Callback):
    """Says when an epoch is over."""

    def on_train_epoch_end(self, trainer: Trainer, _module: LightningModule) -> None:
        """Validation is over by now."""
        shown = trainer.callback_metrics
        say(trainer.current_epoch + 1, float(shown["val_accuracy"]), float(shown["val_loss"]))


def loader(task: Task, split: str) -> DataLoader[Any]:
    """Batches of a split; the training split is shuffled and augmented."""
    size, augment = task.model["input_size"], task.training["augment"]
    shift, train = (augment["translate"],) * 2, split == "train"
    changes = [
        v2.RandomAffine(augment["rotation"], shift),
        v2.RandomResizedCrop(size, tuple(augment["scale"])),
        v2.RandomHorizontalFlip(),
    ]
    transform = v2.Compose(
        [
            *(v2.ToImage(), v2.Resize(task.model["resize"]), v2.CenterCrop(size)),
            *(changes if train else []),
            *(v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)),
        ]
    )
    images = torchvision.datasets.ImageFolder(task.data / split, transform)
    return DataLoader(images, batch_size=task.training["batch_size"], shuffle=train)


def main() -> None:
    """Trains."""
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    task = given()
    seed_everything(0)
    train, val = loader(task, "train"), loader(task, "val")
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=task.training["epochs"],
        callbacks=[Lines(), ModelCheckpoint(task.out, monitor="val_loss")],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(task, len(train.dataset.classes)), train, val)


if __name__ == "__main__":
    main()
