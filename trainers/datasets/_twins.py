"""Images that belong together: the same picture, almost the same picture, one subject."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from trainers.datasets._looks import BITS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from trainers.datasets._looks import Look

_CLOSEST = 16  # of hashes with an equal part, how many neighbours are compared: bounds the work

Families = list[list[int]]


@dataclass(frozen=True)
class Twins:
    """Families of images that belong together, each as positions in one sequence of images."""

    same: Families
    near: Families
    subjects: Families


def find(looks: Sequence[Look], subjects: Sequence[str | None], distance: int) -> Twins:
    """The families among images: of equal files, of alike hashes, and of the same subject."""
    return Twins(
        _equal([look.sha256 for look in looks]),
        alike([look.hash for look in looks], distance),
        _equal(subjects),
    )


def united(count: int, twins: Twins) -> list[int]:
    """For each of so many images the first of all those that some chain of families ties to it."""
    above = list(range(count))

    def top(i: int) -> int:
        while above[i] != i:
            above[i] = above[above[i]]
            i = above[i]
        return i

    for first, *others in (*twins.same, *twins.near, *twins.subjects):
        for other in others:
            one, two = sorted((top(first), top(other)))
            above[two] = one
    return [top(i) for i in range(count)]


def _equal(values: Sequence[Hashable]) -> Families:
    homes: dict[Hashable, list[int]] = {}
    for i, value in enumerate(values):
        if value is not None:
            homes.setdefault(value, []).append(i)
    return [members for members in homes.values() if len(members) > 1]


def alike(hashes: Sequence[int | None], distance: int) -> Families:
    """Images whose hashes differ in at most `distance` bits, a family for each two such hashes.

    Cut into `distance + 1` parts, two such hashes agree in one part at least, so that only hashes
    that share a part are compared; of a long run of them each with its neighbours only. Images of
    the same hash, such as a burst, are compared as one.
    """
    homes: dict[int, list[int]] = {}
    for i, one in enumerate(hashes):
        if one is not None:
            homes.setdefault(one, []).append(i)
    width = -(-BITS // (distance + 1))
    pairs = {(one, one) for one, members in homes.items() if len(members) > 1}
    for shift in range(0, BITS, width):
        mask = ((1 << width) - 1) << shift
        parts = sorted((one & mask, one) for one in homes)
        for _, run in groupby(parts, lambda part: part[0]):
            pairs |= set(_near([one for _, one in run], distance))
    return sorted(sorted({*homes[one], *homes[other]}) for one, other in pairs)


def _near(hashes: Sequence[int], distance: int) -> Iterator[tuple[int, int]]:
    for position, one in enumerate(hashes):
        for other in hashes[position + 1 : position + 1 + _CLOSEST]:
            if (one ^ other).bit_count() <= distance:
                yield one, other


def reordered(families: Iterable[Sequence[int]], position: Sequence[int]) -> Families:
    """Families in another order of the images: what was at `i` is at `position[i]` there."""
    return sorted(sorted(position[i] for i in family) for family in families)
