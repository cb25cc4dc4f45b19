"""Drawing splits: each class in the same proportions, and what belongs together in one of them."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from itertools import chain, product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence


def stratified(
    labels: Sequence[str],
    fractions: dict[str, float],
    seed: int,
    keys: Sequence[str],
    groups: Sequence[Hashable] | None = None,
) -> list[str]:
    """Assigns images to splits, each class in the same proportions.

    The order in which images of a class are drawn depends on each image and the seed alone, so that
    a data set may grow and nearly every image stays where it was (ADR 17).

    Args:
        labels: The class of each image.
        fractions: Share of all images for each split but `train`, which takes the rest.
        seed: Another one is another draw.
        keys: What tells each image from others, such as the digest of its content.
        groups: What each image belongs to, such as its subject: a group is never divided and counts
            for the class of its first image. In drawn order each goes into the first split that
            has room for all of it, so that the proportions are as exact as its size allows.

    Returns:
        The split of each image.
    """
    units: dict[Hashable, list[int]] = {}
    for i in range(len(labels)):
        units.setdefault(groups[i] if groups else i, []).append(i)
    by_label: dict[str, list[list[int]]] = {}
    for unit in units.values():
        by_label.setdefault(labels[unit[0]], []).append(unit)
    assigned = [""] * len(labels)
    for _, members in sorted(by_label.items()):
        members.sort(key=lambda unit: _turn(min(keys[i] for i in unit), seed))
        for split, chosen in _filled(members, fractions).items():
            for i in chain.from_iterable(chosen):
                assigned[i] = split
    return assigned


def _turn(key: str, seed: int) -> bytes:
    """When something is drawn: evenly spread, and the same whatever else there is."""
    return hashlib.sha256(f"{seed}/{key}".encode()).digest()


def _filled(units: Sequence[list[int]], fractions: dict[str, float]) -> dict[str, list[list[int]]]:
    """The units of one class by split; what fits nowhere trains."""
    size = sum(map(len, units))
    room = {split: round(share * size) for split, share in fractions.items()}
    wanted = [split for split, images in room.items() if images]
    filled: dict[str, list[list[int]]] = {split: [] for split in (*fractions, "train")}
    for unit in units:
        split = next((split for split in wanted if len(unit) <= room[split]), "train")
        filled[split].append(unit)
        if split in room:
            room[split] -= len(unit)
    for split in wanted:
        if not filled[split]:
            _share(filled, split)
    return filled


def _share(filled: dict[str, list[list[int]]], empty: str) -> None:
    """Gives a split that every unit is too large for the smallest of one that has several."""
    spare = [(split, unit) for split, units in filled.items() if len(units) > 1 for unit in units]
    if spare:
        donor, unit = min(spare, key=lambda pair: len(pair[1]))
        filled[donor].remove(unit)
        filled[empty].append(unit)


def multi_stratified(
    labels: Sequence[Sequence[str]],
    fractions: dict[str, float],
    seed: int,
    groups: Sequence[Hashable],
) -> list[str]:
    """Assigns images with several labels, or none, to splits in the same proportions of each.

    Iterative stratification: the rarest label first, each of its images to the split that lacks
    most of it (Sechidis, Tsoumakas, Vlahavas 2011, "On the Stratification of Multi-Label Data").
    The arguments are those of `stratified`.
    """
    units: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        units.setdefault(group, []).append(i)
    members = list(units.values())
    random.Random(seed).shuffle(members)  # noqa: S311 - a split is no secret
    shares = {**fractions, "train": 1 - sum(fractions.values())}
    counts = [Counter(label for i in unit for label in labels[i]) for unit in members]
    chosen = _dealt(counts, [len(unit) for unit in members], shares)
    _completed(chosen, counts, [split for split, share in shares.items() if share])
    assigned = [""] * len(labels)
    for unit, split in zip(members, chosen, strict=True):
        for i in unit:
            assigned[i] = split
    return assigned


def _dealt(
    counts: Sequence[Counter[str]], sizes: Sequence[int], shares: dict[str, float]
) -> list[str]:
    """The split of each unit, by the labels that it has so many times."""
    totals: Counter[str] = Counter()
    for found in counts:
        totals.update(found)
    need = {
        split: {label: share * total for label, total in totals.items()} | {"": share * sum(sizes)}
        for split, share in shares.items()
    }
    chosen = [""] * len(counts)
    for unit in _rarest_first(counts):
        split = max(shares, key=lambda name: [need[name][key] for key in unit.keys])
        chosen[unit.position] = split
        for label, count in counts[unit.position].items():
            need[split][label] -= count
        need[split][""] -= sizes[unit.position]
    return chosen


def _completed(chosen: list[str], counts: Sequence[Counter[str]], splits: Sequence[str]) -> None:
    """Gives a split that lacks a label a unit of it, where that takes no label from another."""
    have = {split: Counter[str]() for split in splits}
    holders: dict[str, list[int]] = {}
    for position, found in enumerate(counts):
        have[chosen[position]].update(found)
        for label in found:
            holders.setdefault(label, []).append(position)
    for label, split in product(sorted(holders), splits):
        if have[split][label]:
            continue
        spare = (i for i in holders[label] if _can_go(counts[i], have[chosen[i]]))
        unit = min(spare, key=lambda i: len(counts[i]), default=None)
        if unit is not None:
            have[chosen[unit]] -= counts[unit]
            have[split] += counts[unit]
            chosen[unit] = split


def _can_go(found: Counter[str], have: Counter[str]) -> bool:
    """Whether a split keeps something of each label without a unit."""
    return all(have[label] > count for label, count in found.items())


class _Turn(NamedTuple):
    """A unit's turn, and by what the splits compete for it: its rarest label, then sheer number."""

    position: int
    keys: tuple[str, ...]


def _rarest_first(counts: Sequence[Counter[str]]) -> Iterator[_Turn]:
    """Units in order: those of the label that the fewest of what is left have, and so on."""
    holders: dict[str, dict[int, None]] = {}
    for position, found in enumerate(counts):
        for label in found:
            holders.setdefault(label, {})[position] = None
    while holders:
        label = min(holders, key=lambda name: (len(holders[name]), name))
        for position in [*holders[label]]:
            yield _Turn(position, (label, ""))
            for other in counts[position]:
                del holders[other][position]
        holders = {name: left for name, left in holders.items() if left}
    yield from (_Turn(position, ("",)) for position, found in enumerate(counts) if not found)
