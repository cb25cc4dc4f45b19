"""How far metrics would be from where they are if other images had been in the test set.

Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979; percentile intervals.
Two models are compared on the same samples, so that what both find hard cancels out.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from mlops_spec.judging.metrics import sampled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np

    from mlops_spec.judging.scores import Scores

SAMPLES, LEVEL = 1000, 0.95
_CELLS = 2**22  # of a table of counts; it is 32 MiB

Intervals = dict[str, tuple[float, float]]
NOTHING: Mapping[str, float] = MappingProxyType({})


def intervals(
    drawn: Mapping[str, np.ndarray], metrics: Mapping[str, float] = NOTHING, level: float = LEVEL
) -> Intervals:
    """Between which two values the middle `level` of all samples is.

    Args:
        drawn: The samples of each metric.
        metrics: What it is of the test set itself. A sample's calibration error has the noise of
            the test set and its own, and is larger for it; it is moved to where it belongs.
        level: The share of samples.
    """
    import numpy as np

    tails = [(1 - level) / 2, (1 + level) / 2]
    pairs = {name: np.quantile(values, tails) for name, values in drawn.items()}
    for name in pairs.keys() & metrics.keys() & {"calibration_error"}:
        moved = pairs[name] - drawn[name].mean() + metrics[name]
        pairs[name] = np.clip(moved, 0, 1)
    return {name: (float(low), float(high)) for name, (low, high) in pairs.items()}


def draw(scores: Scores, top: int = 0) -> dict[str, np.ndarray]:
    """Each metric of samples with replacement (samples), the same ones for equally many images."""
    import numpy as np

    parts = [sampled(scores, counts, top) for counts in samples(len(scores.rows))]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def samples(images: int) -> Iterator[np.ndarray]:
    """How often each sample holds each image, some samples at a time (some, images)."""
    import numpy as np

    chance = np.random.default_rng(images)
    some = max(1, min(SAMPLES, _CELLS // images))
    for begin in range(0, SAMPLES, some):
        count = min(some, SAMPLES - begin)
        drawn = chance.integers(images, size=(count, images))
        places = (drawn + images * np.arange(count)[:, None]).ravel()
        flat = np.bincount(places, minlength=count * images)
        yield flat.reshape(count, images).astype(np.float64)
