"""Who takes which image: every one once, dealt out among processes, rare classes as often."""

import sys
from collections import Counter

import pytest
import torch

from trainers._torch import losses
from trainers._torch.sampling import Dealt, Part, Shuffled, derived


def parts(of, make):
    return [[*make(Part(rank, of))] for rank in range(of)]


@pytest.mark.parametrize("of", [1, 2, 3])
def test_processes_share_the_very_batches_of_one(of) -> None:
    """The first batch of six is the same six images, however many processes share it."""
    alone = [*Shuffled(20, seed=5)]
    shared = parts(of, lambda part: Shuffled(20, 5, 0, part))
    assert {len(one) for one in shared} == {20 // of}
    assert {pair for one in shared for pair in one[: 6 // of]} == {*alone[:6]}
    everything = [index for one in shared for index, _ in one]
    assert len(everything) == len({*everything}) == 20 // of * of


@pytest.mark.parametrize(("count", "of"), [(7, 1), (7, 2), (8, 3), (2, 3)])
def test_every_image_is_judged_once_and_no_process_waits(count, of) -> None:
    dealt = parts(of, lambda part: Dealt(count, part))
    assert {len(one) for one in dealt} == {-(-count // of)}
    assert len(Dealt(count, Part(0, of))) == len(dealt[0])
    assert sorted(i for one in dealt for i in one if i >= 0) == [*range(count)]
    assert all(0 <= ~i < count for one in dealt for i in one if i < 0)


@pytest.mark.parametrize("of", [1, 2])
def test_a_balanced_draw_has_each_class_as_often_in_every_process(of) -> None:
    targets = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    weights = losses.rarity(targets)
    for one in parts(of, lambda part: Shuffled(1000, 0, 0, part, weights)):
        counts = Counter(int(targets[index]) for index, _ in one)
        assert all(0.8 < counts[label] * 3 / len(one) < 1.2 for label in range(3))


def test_a_balanced_draw_is_another_one_each_epoch_and_the_same_again() -> None:
    weights = losses.rarity(torch.tensor([0, 0, 0, 1]))
    sampler = Shuffled(4, 0, 0, Part(), weights)
    first = [*sampler]
    sampler.set_epoch(1)
    assert [*sampler] != first
    sampler.set_epoch(0)
    assert [*sampler] == first


def test_of_several_labels_the_rarest_counts() -> None:
    """Class 0 is on four images, class 1 on one of them; the last image has no label."""
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    found = losses.rarity(targets)
    torch.testing.assert_close(found, torch.tensor([0.25, 0.25, 0.25, 1.0, 0.2]))


def test_an_epoch_s_order_is_not_a_million_objects() -> None:
    sampler = Shuffled(100_000, 0)
    before = sys.getallocatedblocks()
    drawn = iter(sampler)
    next(drawn)
    assert sys.getallocatedblocks() - before < 20_000
    assert len({index for index, _ in drawn}) == 99_999


def test_processes_draw_chance_of_their_own() -> None:
    assert len({derived(0, 0), *(derived(0, 0, rank, 0) for rank in range(3))}) == 4
    assert len({derived(0, 0, 0, batch) for batch in range(3)}) == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_an_interrupted_epoch_goes_on_where_it_was(rank) -> None:
    whole = Shuffled(11, 5, 2, Part(rank, 2))
    rest = Shuffled(11, 5, 2, Part(rank, 2))
    rest.skip(3)
    assert [*rest] == [*whole][3:]
    assert len(rest) == len(whole)
    rest.set_epoch(3)
    whole.set_epoch(3)
    assert [*rest] == [*whole]
