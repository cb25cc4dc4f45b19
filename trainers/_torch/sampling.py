"""Which images a process takes in an epoch, and in which order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator


_CHUNK = 4096


@dataclass(frozen=True)
class Part:
    """The share of one of several processes that train together: `rank` from 0, `of` how many."""

    rank: int = 0
    of: int = 1


ALONE = Part()


class Shuffled(Sampler[tuple[int, int]]):
    """Indices in random order, each with a draw of chance for its augmentation.

    Both follow from seed and epoch alone: a training that is resumed, or loads its data in other
    processes, sees the same pictures in the same order. Several processes deal each batch of that
    order out among them; what does not go round is left to another epoch.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        epoch: int = 0,
        part: Part = ALONE,
        weights: torch.Tensor | None = None,
    ) -> None:
        self.count, self.seed, self.epoch, self.part = count, seed, epoch, part
        self.weights = weights  # of each image; given, they are drawn with replacement
        self.taken = 0

    def skip(self, taken: int) -> None:
        """Leaves out as many pictures of this epoch: what was taken before an interruption."""
        self.taken = taken

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch; loading processes of a resumed one have begun."""
        if epoch != self.epoch:
            self.epoch, self.taken = epoch, 0

    def __len__(self) -> int:
        """The number of pictures that this process takes in an epoch."""
        return self.count // self.part.of

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(index, draw) of each of its pictures."""
        generator = torch.Generator().manual_seed(derived(self.seed, self.epoch))
        order = self._order(generator)
        draws = torch.randint(2**32, (self.count,), generator=generator)
        begin = self.part.rank + self.taken * self.part.of
        mine = slice(begin, len(self) * self.part.of, self.part.of)
        return _pairs(order[mine], draws[mine])

    def _order(self, generator: torch.Generator) -> torch.Tensor:
        if self.weights is None:
            return torch.randperm(self.count, generator=generator)
        return torch.multinomial(self.weights, self.count, replacement=True, generator=generator)


def _pairs(order: torch.Tensor, draws: torch.Tensor) -> Iterator[tuple[int, int]]:
    """Two tensors as pairs of numbers, some of which are objects at a time."""
    for some, theirs in zip(order.split(_CHUNK), draws.split(_CHUNK), strict=True):
        yield from zip(some.tolist(), theirs.tolist(), strict=True)


class Dealt(Sampler[int]):
    """All indices in their order, dealt out among processes.

    Each takes equally many, so that none waits for another; what is made up for that is marked by a
    negative number, ~index, and counts nowhere.
    """

    def __init__(self, count: int, part: Part = ALONE) -> None:
        self.count, self.part = count, part

    def __len__(self) -> int:
        """The number of pictures that this process takes."""
        return (self.count + self.part.of - 1) // self.part.of

    def __iter__(self) -> Iterator[int]:
        """The indices of this process."""
        mine = range(self.part.rank, len(self) * self.part.of, self.part.of)
        return iter(i if i < self.count else ~(i % self.count) for i in mine)


def derived(seed: int, *numbers: int) -> int:
    """A seed of its own for each epoch, or for each process and batch of it too.

    32 bits: torch's generator drops the others.
    """
    words = "/".join(map(str, (seed, *numbers)))
    return random.Random(words).getrandbits(32)  # noqa: S311 - an order is no secret
