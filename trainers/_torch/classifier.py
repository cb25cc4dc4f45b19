"""A network that learns, as Lightning wants it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NoReturn

import pytorch_lightning as pl
import torch
from torch import nn

from mlops_spec.errors import StepError
from trainers._torch import freezing, losses, optimization
from trainers._torch.augment import Mixing
from trainers._torch.sampling import derived

if TYPE_CHECKING:
    from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig

    from mlops_spec.bundle import Preprocessing
    from trainers._torch.networks import Network
    from trainers._transfer_spec import Spec


class Classifier(pl.LightningModule):
    """A network learning from uint8 pictures; normalisation is part of the batch preparation."""

    def __init__(
        self, network: Network, spec: Spec, how: Preprocessing, loss: nn.Module, seed: int
    ) -> None:
        super().__init__()
        self.network, self.spec, self.loss, self.seed = network, spec, loss, seed
        # A function and no module: the weights stay where they are, under their own names.
        self.logits_of = torch.compile(network.forward) if spec.compile else network.forward
        self.searching = False  # for a learning rate: that the loss grows without end is no fault
        self.average = average_of(network) if spec.ema else None
        self.mixing = Mixing(spec.augment, network.classes)
        # Each process has sums of its own, and so they are no buffers, which DDP makes the same.
        self.learned = torch.zeros(2)  # over an epoch's training images so far: losses, images
        self.judgement = torch.zeros(3)  # over the validation split: losses, right answers, images
        shape = (1, how.channels, 1, 1)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(how.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(how.std).view(shape), persistent=False)

    @property
    def judged(self) -> Network:
        """The network that is validated and exported: the average of the weights, if there is."""
        return self.network if self.average is None else self.average

    def on_train_start(self) -> None:
        """Decides what learns in an epoch that was interrupted; Lightning begins it no second time.

        Lightning leaves the modes as they are, and building a network leaves it in evaluation mode.
        """
        freezing.freeze(self.network, self.spec.freeze, self.current_epoch)
        self.learned = self.learned.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Decides what learns in this epoch, and forgets the last one's sums."""
        freezing.freeze(self.network, self.spec.freeze, self.current_epoch)
        self.learned.zero_()

    def on_train_batch_start(self, _batch: Any, index: int) -> None:
        """Seeds what draws chance, such as Dropout; so an interruption leaves no trace in it."""
        torch.manual_seed(derived(self.seed, self.current_epoch, self.global_rank, index))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the sums of all processes."""
        sums = self.trainer.strategy.reduce(self.learned.clone(), reduce_op="sum")
        checkpoint["learned"] = sums

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on with the sums; one of several processes has them all."""
        self.learned = checkpoint["learned"] * (self.global_rank == 0)

    def normalised(self, pictures: torch.Tensor) -> torch.Tensor:
        """What the network takes, of uint8 pictures (N, C, H, W)."""
        return (pictures.float() / 255.0 - self.mean) / self.std

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """The loss of one batch."""
        images, targets = self.mixing(self.normalised(batch[0]), batch[1])
        loss: torch.Tensor = self.loss(self.logits_of(images), targets)
        if not (self.searching or torch.isfinite(loss)):
            self._diverged(f"the loss of batch {index + 1}", loss)
        count = loss.new_tensor(len(images))
        self.learned += torch.stack([loss.detach() * count, count])
        return loss

    def optimizer_step(self, *args: Any, **more: Any) -> None:
        """One update of the weights, and of their average."""
        super().optimizer_step(*args, **more)
        if self.average is not None:
            follow(self.average, self.network, self.spec.ema, self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Forgets the last epoch's sums."""
        self.judgement = torch.zeros(3, device=self.device)

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        """Adds up the losses and right answers of one batch."""
        counts = batch[1].reshape(len(batch[1]), -1)[:, 0] >= 0
        logits, targets = self.judged(self.normalised(batch[0]))[counts], batch[1][counts]
        loss, right = losses.judge(logits, targets)
        self.judgement += torch.stack([loss, right, loss.new_tensor(len(targets))])

    def on_validation_epoch_end(self) -> None:
        """Losses and accuracy, the same in all processes; stops what diverged."""
        loss, images = self.trainer.strategy.reduce(self.learned.clone(), reduce_op="sum")
        self.log("train_loss", loss / images)
        loss, right, images = self.trainer.strategy.reduce(self.judgement, reduce_op="sum")
        self.log("val_loss", loss / images)
        self.log("val_accuracy", right / images)
        if not torch.isfinite(loss):
            self._diverged("the validation loss", loss / images)

    def _diverged(self, what: str, loss: torch.Tensor) -> NoReturn:
        message = f"training diverged in epoch {self.current_epoch + 1}: {what} is {loss.item()}"
        raise StepError(
            message, "lower training.lr, or limit its steps: training.gradient_clip=1.0"
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer and the learning-rate schedule of the spec."""
        optimizer = optimization.optimizer(self.spec, self.network)
        updates, epochs = int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs
        assert epochs
        batches = int(self.trainer.num_training_batches)
        length = optimization.Length(epochs, batches, updates // epochs)
        schedule = optimization.schedule(self.spec.schedule, optimizer, length)
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def average_of(network: Network) -> Network:
    """A copy that does not learn by itself."""
    return copy.deepcopy(network).eval().requires_grad_(requires_grad=False)


@torch.no_grad()
def follow(average: Network, network: Network, decay: float, updates: int) -> None:
    """Moves an exponential moving average towards weights and BatchNorm statistics.

    The decay grows with the updates so far, (1 + n) / (10 + n) at most: the first weights are
    forgotten soon (as TensorFlow's ExponentialMovingAverage does it).
    """
    share = 1 - min(decay, (1 + updates) / (10 + updates))
    current = network.state_dict()
    for name, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(current[name], share)
        else:
            value.copy_(current[name])
