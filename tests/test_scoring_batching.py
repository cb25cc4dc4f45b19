"""Requests that are answered together: what waits for what, and what is left out."""

import asyncio
import time

import numpy as np
import pytest

from deployers.scoring.batching import Batcher
from deployers.scoring.refusal import Refusal

SLOW = 0.05


class Recorder:
    """An engine whose logits are its pictures; it remembers what was given together."""

    def __init__(self, seconds=0.0):
        self.batches, self.seconds = [], seconds

    def __call__(self, batch):
        self.batches.append(len(batch))
        time.sleep(self.seconds)
        if (batch == 13).any():
            raise ValueError("thirteen")
        return batch.reshape(len(batch), -1).astype(np.float32)


def pictures(*values):
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


def run(recorder, scenario, *, batch=4, delay=0.0, waiting=100):
    """Performs a scenario, an async function of a batcher, beside its work."""

    async def main():
        batcher = Batcher(recorder, batch, delay, waiting)
        work = asyncio.create_task(batcher.work())
        try:
            return await scenario(batcher)
        finally:
            work.cancel()

    return asyncio.run(main())


async def ask(batcher, *values):
    with batcher.admitted(len(values)):
        return (await batcher.logits(pictures(*values))).ravel().tolist()


def test_what_comes_while_others_are_computed_is_computed_together():
    async def scenario(batcher):
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(SLOW / 2)
        rest = [asyncio.create_task(ask(batcher, n)) for n in range(2, 7)]
        return await asyncio.gather(first, *rest)

    recorder = Recorder(SLOW)
    assert run(recorder, scenario) == [[n] for n in range(1, 7)]
    assert recorder.batches == [1, 4, 1]


def test_the_first_of_many_does_not_wait_for_the_last():
    async def scenario(batcher):
        waiting = [asyncio.create_task(ask(batcher, n)) for n in range(9)]
        await waiting[0]
        computed = len(recorder.batches)
        await asyncio.gather(*waiting)
        return computed

    recorder = Recorder(SLOW)
    assert run(recorder, scenario) < 3  # the second batch may have begun
    assert recorder.batches == [4, 4, 1]


def test_a_large_request_is_computed_in_parts_and_answered_whole():
    recorder = Recorder()
    assert run(recorder, lambda b: ask(b, *range(1, 11))) == [*range(1, 11)]
    assert recorder.batches == [4, 4, 2]


def test_a_single_client_waits_for_nobody():
    async def scenario(batcher):
        begin = time.perf_counter()
        await ask(batcher, 1)
        return time.perf_counter() - begin

    assert run(Recorder(), scenario, delay=30.0) < 10


def test_those_on_their_way_are_waited_for_and_not_too_long():
    async def scenario(batcher):
        with batcher.admitted(1):  # one more is being decoded
            first = asyncio.create_task(ask(batcher, 1))
            await asyncio.sleep(SLOW)
            second = await ask(batcher, 2)
            assert await first == [1]
            assert second == [2]
        with batcher.admitted(1):  # and this one never comes
            return await asyncio.wait_for(ask(batcher, 3), 10)

    recorder = Recorder()
    assert run(recorder, scenario, delay=0.5) == [3]
    assert recorder.batches[0] == 2
    assert recorder.batches[-1] == 1


def test_more_than_may_wait_are_told_to_come_again():
    async def scenario(batcher):
        waiting = [asyncio.create_task(ask(batcher, n)) for n in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="5 images are waiting already") as refused:
            await ask(batcher, 6)
        assert (refused.value.status, refused.value.retry_after) == (429, 1)
        await asyncio.gather(*waiting)
        return await ask(batcher, 6), batcher.waiting

    assert run(Recorder(), scenario, waiting=5) == ([6], 0)


def test_an_engine_that_fails_fails_those_who_asked_and_goes_on():
    async def scenario(batcher):
        with pytest.raises(ValueError, match="thirteen"):
            await ask(batcher, 13)
        return await ask(batcher, 2), batcher.waiting

    assert run(Recorder(), scenario) == ([2], 0)


def test_what_nobody_waits_for_is_not_computed():
    async def scenario(batcher):
        busy = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(SLOW / 2)
        gone = [asyncio.create_task(ask(batcher, n)) for n in range(2, 5)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await busy
        await asyncio.sleep(SLOW)
        return await ask(batcher, 9), batcher.waiting

    recorder = Recorder(SLOW)
    assert run(recorder, scenario) == ([9], 0)
    assert recorder.batches == [1, 1]


def test_what_is_left_while_it_is_computed_harms_nobody():
    async def scenario(batcher):
        both = [asyncio.create_task(ask(batcher, n)) for n in (1, 2)]
        await asyncio.sleep(SLOW / 2)
        both[0].cancel()
        return await asyncio.wait_for(both[1], 5), await asyncio.wait_for(ask(batcher, 3), 5)

    assert run(Recorder(SLOW), scenario) == ([2], [3])


def test_what_is_left_while_its_engine_fails_harms_nobody():
    async def scenario(batcher):
        both = [asyncio.create_task(ask(batcher, n)) for n in (13, 2)]
        await asyncio.sleep(SLOW / 2)
        both[0].cancel()
        with pytest.raises(ValueError, match="thirteen"):
            await asyncio.wait_for(both[1], 5)
        return await asyncio.wait_for(ask(batcher, 3), 5)

    assert run(Recorder(SLOW), scenario) == [3]
