"""A peer of `train.py`: the loop that tutorials of transfer learning teach, in plain PyTorch.

A frozen backbone has no gradients but stays in training mode, as is usual there.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from _train_sides import Task, given, say
from torch import nn, optim
from torch.utils.data import DataLoader

from trainers._torch.vision import torchvision

transforms = torchvision.transforms


def loader(task: Task, split: str) -> DataLoader[Any]:
    """Batches of a split; the training split is shuffled and augmented."""
    size, augment = task.model["input_size"], task.training["augment"]
    train = split == "train"
    changes = [
        transforms.RandomAffine(augment["rotation"], (augment["translate"],) * 2),
        transforms.RandomResizedCrop(size, tuple(augment["scale"])),
        transforms.RandomHorizontalFlip(),
    ]
    transform = transforms.Compose(
        [
            *(transforms.Resize(task.model["resize"]), transforms.CenterCrop(size)),
            *(changes if train else []),
            *(transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)),
        ]
    )
    images = torchvision.datasets.ImageFolder(task.data / split, transform)
    return DataLoader(images, batch_size=task.training["batch_size"], shuffle=train)


def phase(
    network: nn.Module, batches: DataLoader[Any], optimizer: optim.Optimizer | None
) -> tuple[float, float]:
    """Loss and accuracy over a split, which is learned from where there is an optimizer."""
    network.train(mode=optimizer is not None)
    total, right, count = 0.0, 0, 0
    for images, labels in batches:
        with torch.set_grad_enabled(optimizer is not None):
            logits = network(images)
            loss = nn.functional.cross_entropy(logits, labels)
        if optimizer:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total += loss.item() * len(labels)
        right += int((logits.argmax(dim=1) == labels).sum())
        count += len(labels)
    return total / count, right / count


def main() -> None:
    """Trains."""
    task = given()
    torch.manual_seed(0)
    train, val = loader(task, "train"), loader(task, "val")
    network = task.network(len(train.dataset.classes))
    network.backbone.requires_grad_(requires_grad=not task.frozen)
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = optim.Adam(learned, lr=task.training["lr"])
    schedule = task.training["schedule"]
    steps = optim.lr_scheduler.StepLR(optimizer, schedule["step_epochs"], schedule["factor"])
    best, weights = 0.0, copy.deepcopy(network.state_dict())
    for epoch in range(task.training["epochs"]):
        phase(network, train, optimizer)
        steps.step()
        loss, accuracy = phase(network, val, None)
        if accuracy > best:
            best, weights = accuracy, copy.deepcopy(network.state_dict())
        say(epoch + 1, accuracy, loss)
    torch.save(weights, task.out / "best.pt")


if __name__ == "__main__":
    main()
