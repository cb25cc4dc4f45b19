"""Prepared images as tensors: decoded and resized once, augmented anew each time."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from mlops_spec import bundle
from trainers._torch.vision import v2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.bundle import Preprocessing
    from mlops_spec.manifest import Dataset as Manifest
    from trainers._transfer_spec import Augment

_CACHE_BYTES = 2**30  # decoded pictures of a split kept in memory, by all processes that load it


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """uint8 pictures (C, H, W) with their class indices, decoded by the bundle's preprocessing."""

    def __init__(
        self, dataset: Manifest, split: str, how: Preprocessing, augment: v2.Transform | None = None
    ) -> None:
        self.dataset, self.rows = dataset, dataset.split(split)
        self.targets, self.how, self.augment = dataset.targets(self.rows), how, augment
        self._cache: dict[int, torch.Tensor] = {}
        self._room = _CACHE_BYTES // (how.input_size**2 * how.channels)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, int]:
        """One picture and its class; `(index, draw)` asks for it augmented by a draw of chance."""
        if isinstance(key, int):
            return self.raw(key), self.targets[key]
        index, draw = key
        if self.augment is None:
            return self.raw(index), self.targets[index]
        with _drawn(draw):
            return self.augment(self.raw(index)), self.targets[index]

    def raw(self, index: int) -> torch.Tensor:
        """One picture as it is stored, decoded at most once while there is room to keep it."""
        if index in self._cache:
            return self._cache[index]
        array = bundle.pixels(self.dataset.content(self.rows[index]), self.how)
        picture = torch.from_numpy(array.copy()).permute(2, 0, 1)
        if len(self._cache) < self._room // _processes():
            self._cache[index] = picture
        return picture


def _processes() -> int:
    """How many processes load data side by side; each of them meets all pictures in time."""
    worker = get_worker_info()
    return worker.num_workers if worker else 1


@contextmanager
def _drawn(seed: int) -> Iterator[None]:
    """Seeds the global generator, which transforms draw from; afterwards it is as it was."""
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


class Shuffled(Sampler[tuple[int, int]]):
    """Indices in random order, each with a draw of chance for its augmentation.

    Both follow from seed and epoch alone: a training that is resumed, or loads its data in other
    processes, sees the same pictures in the same order.
    """

    def __init__(self, count: int, seed: int, epoch: int) -> None:
        self.count, self.seed, self.epoch = count, seed, epoch

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch; loading processes of a resumed one have begun."""
        self.epoch = epoch

    def __len__(self) -> int:
        """The number of pictures in an epoch."""
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(index, draw) of each picture of the epoch."""
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        order = torch.randperm(self.count, generator=generator)
        draws = torch.randint(2**32, (self.count,), generator=generator)
        return iter(zip(order.tolist(), draws.tolist(), strict=True))


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed of its own for each epoch; 32 bits, torch's CPU generator drops the others."""
    return random.Random(f"{seed}/{epoch}").getrandbits(32)  # noqa: S311 - an order is no secret


def augmentation(spec: Augment, size: int) -> v2.Transform:
    """The random changes of training images."""
    steps: list[v2.Transform] = []
    if spec.rotation or spec.translate:
        steps.append(v2.RandomAffine(spec.rotation, (spec.translate, spec.translate)))
    if spec.scale != (1.0, 1.0):
        steps.append(v2.RandomResizedCrop(size, scale=spec.scale, antialias=True))
    if spec.horizontal_flip:
        steps.append(v2.RandomHorizontalFlip())
    if spec.color_jitter:
        steps.append(v2.ColorJitter(spec.color_jitter, spec.color_jitter, spec.color_jitter))
    return v2.Compose(steps or [v2.Identity()])


def channel_statistics(pictures: Pictures) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of values in 0..1, over the given pictures."""
    channels = pictures.how.channels
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    for index in range(len(pictures)):
        values = pictures.raw(index).double().div(255)
        total += values.mean(dim=(1, 2))
        squares += values.square().mean(dim=(1, 2))
    mean, square = total / len(pictures), squares / len(pictures)
    std = (square - mean.square()).clamp(min=1e-6).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())


def loader(
    pictures: Pictures, batch_size: int, workers: int, shuffled: Shuffled | None = None
) -> DataLoader[tuple[torch.Tensor, int]]:
    """Batches of pictures, augmented and in the order of `shuffled`, or as they are."""
    return DataLoader(
        pictures,
        batch_size=batch_size,
        sampler=shuffled,
        generator=torch.Generator(),  # or an iterator draws from the global one, like Dropout
        num_workers=workers,
        persistent_workers=workers > 0,
        # One image left over would make BatchNorm fail; the next epoch's shuffle serves it again.
        drop_last=shuffled is not None
        and len(pictures) > batch_size
        and len(pictures) % batch_size == 1,
    )
