"""Prepared images as tensors: decoded and resized once, augmented anew each time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from mlops_spec import bundle
from trainers._torch.sampling import Shuffled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec.bundle import Preprocessing
    from mlops_spec.manifest import Dataset as Manifest
    from trainers._torch.sampling import Dealt
    from trainers._torch.vision import v2

_STATISTICS = 5000  # pictures that tell the colours of all: within 0.3 % of a deviation, or so
_CACHE_BYTES = 2**30  # decoded pictures of a split kept in memory, by all processes that load it


class Pictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """uint8 pictures (C, H, W) with their targets, decoded by the bundle's preprocessing.

    A target is a class index (), or a row (classes) of 0 and 1 where an image has several labels.
    """

    def __init__(
        self,
        dataset: Manifest,
        split: str,
        how: Preprocessing,
        augment: v2.Transform | None = None,
        devices: int = 1,
    ) -> None:
        self.dataset, self.rows = dataset, dataset.split(split)
        self.targets = torch.as_tensor(dataset.targets(self.rows))
        self.how, self.augment = how, augment
        self._cache: dict[int, torch.Tensor] = {}
        # Each device of this machine has a process with pictures of its own.
        self._room = _CACHE_BYTES // (how.input_size**2 * how.channels * devices)

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """One picture and its target.

        `(index, draw)` asks for it augmented by a draw of chance; `~index` for one that does not
        count, whose target is negative.
        """
        if isinstance(key, int):
            if key < 0:
                return self.raw(~key), torch.full_like(self.targets[~key], -1)
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


def channel_statistics(pictures: Pictures) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, of values in 0..1.

    Of all pictures or, where there are very many, of some thousand from all over them.
    """
    channels, count = pictures.how.channels, min(len(pictures), _STATISTICS)
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    for number in range(count):
        values = pictures.raw(number * len(pictures) // count).double().div(255)
        total += values.mean(dim=(1, 2))
        squares += values.square().mean(dim=(1, 2))
    mean, square = total / count, squares / count
    std = (square - mean.square()).clamp(min=1e-6).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())


def loader(
    pictures: Pictures, batch_size: int, workers: int, sampler: Shuffled | Dealt
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of pictures, augmented in random order or as they are."""
    return DataLoader(
        pictures,
        batch_size=batch_size,
        sampler=sampler,
        generator=torch.Generator(),  # or an iterator draws from the global one, like Dropout
        num_workers=workers,
        persistent_workers=workers > 0,
        # One image left over would make BatchNorm fail; the next epoch's shuffle serves it again.
        drop_last=isinstance(sampler, Shuffled)
        and len(sampler) > batch_size
        and len(sampler) % batch_size == 1,
    )
