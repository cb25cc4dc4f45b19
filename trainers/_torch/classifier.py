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
from trainers._torch.sampling import epoch_seed

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
        # Sums over the validation split: losses, right answers, images
        self.judgement: torch.Tensor
        self.register_buffer("judgement", torch.zeros(3), persistent=False)
        shape = (1, how.channels, 1, 1)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(how.mean).view(shape), persistent=False)
        self.register_buffer("std", torch.tensor(how.std).view(shape), persistent=False)

    @property
    def judged(self) -> Network:
        """The network that is validated and exported: the average of the weights, if there is."""
        return self.network if self.average is None else self.average

    def on_train_epoch_start(self) -> None:
        """Decides what learns in this epoch, and seeds what draws chance in it, such as Dropout.

        Lightning leaves the modes as they are, and building a network leaves it in evaluation mode.
        """
        freezing.freeze(self.network, self.spec.freeze, self.current_epoch)
        torch.manual_seed(epoch_seed(self.seed, self.current_epoch, self.global_rank))

    def normalised(self, pictures: torch.Tensor) -> torch.Tensor:
        """What the network takes, of uint8 pictures (N, C, H, W)."""
        return (pictures.float() / 255.0 - self.mean) / self.std

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        """The loss of one batch."""
        images, targets = self.mixing(self.normalised(batch[0]), batch[1])
        loss: torch.Tensor = self.loss(self.logits_of(images), targets)
        if not (self.searching or torch.isfinite(loss)):
            self._diverged(f"the loss of batch {index + 1}", loss)
        self.log(
            "train_loss",
            loss,
            on_step=False,
            on_epoch=True,
            sync_dist=self.trainer.world_size > 1,
            batch_size=len(batch[1]),
        )
        return loss

    def optimizer_step(self, *args: Any, **more: Any) -> None:
        """One update of the weights, and of their average."""
        super().optimizer_step(*args, **more)
        if self.average is not None:
            follow(self.average, self.network, self.spec.ema, self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Forgets the last epoch's sums."""
        self.judgement.zero_()

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        """Adds up the losses and right answers of one batch."""
        counts = batch[1].reshape(len(batch[1]), -1)[:, 0] >= 0
        logits, targets = self.judged(self.normalised(batch[0]))[counts], batch[1][counts]
        loss, right = losses.judge(logits, targets)
        self.judgement += torch.stack([loss, right, loss.new_tensor(len(targets))])

    def on_validation_epoch_end(self) -> None:
        """Loss and accuracy of the split, the same in all processes; stops what diverged."""
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
