"""Whether one model is better than another, by the same test images.

Only images that exactly one of the two got right carry evidence. `gained` are those that the
challenger alone got right, `lost` those that the champion alone did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.95  # of an interval
_SAMPLES = 10_000
_SPREAD = 6  # standard deviations that hold practically all of a distribution
_NORMAL = 5000  # images on which models disagree: the exact test is the normal one from here on


@dataclass(frozen=True)
class Pairs:
    """Two models' answers on the same images."""

    gained: int
    lost: int
    images: int

    @property
    def difference(self) -> float:
        """Accuracy of the challenger less that of the champion."""
        return (self.gained - self.lost) / self.images


def p_value(pairs: Pairs, margin: float) -> float:
    """How likely evidence like this is if the challenger's accuracy were lower by the margin.

    Without a margin the exact test of McNemar (1947), one-sided: if the models were equally good,
    each image on which they disagree would be a fair coin. With one, the score test of T. Tango,
    "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", 1998.
    """
    if not margin:
        return at_least(pairs.gained, pairs.gained + pairs.lost)
    spread = _spread(pairs, margin)
    z = (pairs.difference + margin) * math.sqrt(pairs.images) / spread
    return NormalDist().cdf(-z)


def at_least(successes: int, trials: int) -> float:
    """The chance of so many heads or more from a fair coin, exactly; 1 for no trials."""
    term = math.comb(trials, successes)
    heads = term
    for k in range(successes, trials):
        term = term * (trials - k) // (k + 1)  # C(n, k+1) from C(n, k): linear, not cubic
        heads += term
    return heads / (1 << trials)


def _spread(pairs: Pairs, margin: float) -> float:
    """Standard deviation of one image's difference if the true one were -margin."""
    gained, lost = (count / pairs.images for count in (pairs.gained, pairs.lost))
    b = -gained - lost - (2 - gained + lost) * margin
    c = lost * margin * (1 + margin)
    likely = (math.sqrt(b * b - 8 * c) - b) / 4  # rate of lost images, by maximum likelihood
    return math.sqrt(2 * likely - margin * (1 + margin)) if margin else math.sqrt(gained + lost)


def interval(pairs: Pairs, level: float) -> tuple[float, float]:
    """Between which two differences the middle `level` of bootstrap samples is."""
    import numpy as np

    n = pairs.images
    rates = np.array([pairs.gained, pairs.lost, n - pairs.gained - pairs.lost]) / n
    drawn = np.random.default_rng(n).multinomial(n, rates, size=_SAMPLES)
    tails = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, tails)
    return float(low), float(high)


def images_needed(pairs: Pairs, margin: float, alpha: float, power: float) -> int | None:
    """How many test images would show it, if the models went on to differ as they did.

    Args:
        pairs: What was seen.
        margin: What accuracy may be lost.
        alpha: The risk of promoting a model that is worse by the margin.
        power: The chance of promoting this one.

    Returns:
        The number; none where the challenger is no better than the margin asks for.
    """
    ahead = pairs.difference + margin
    if ahead <= 0:
        return None
    normal = NormalDist()
    under = normal.inv_cdf(1 - alpha) * _spread(pairs, margin)
    rate = (pairs.gained + pairs.lost) / pairs.images
    over = normal.inv_cdf(power) * math.sqrt(max(rate - pairs.difference**2, 0))
    guess = max(1, math.ceil(((under + over) / ahead) ** 2))
    if margin or guess * rate > _NORMAL:
        return guess
    return _exactly(guess, pairs, alpha, power)


def _exactly(guess: int, pairs: Pairs, alpha: float, power: float) -> int:
    """The least number near a guess with that power of the exact test; it is a saw, so upwards."""
    images = guess
    while chance_of_promotion(images, pairs, alpha) < power:
        images = math.ceil(images * 1.02) + 1
    return images


def chance_of_promotion(images: int, pairs: Pairs, alpha: float) -> float:
    """The power of the exact test with so many images on which models differ as these do."""
    import numpy as np

    rate = (pairs.gained + pairs.lost) / pairs.images
    share = pairs.gained / (pairs.gained + pairs.lost)
    spread = _SPREAD * math.sqrt(images * rate * (1 - rate)) + 1
    first = max(0, math.floor(images * rate - spread))
    last = min(images, math.ceil(images * rate + spread))
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, images + 1)))])
    total = 0.0
    for trials in range(first, last + 1):
        enough = _enough(trials, alpha, logs)
        promoted = _binomial(trials, share, logs)[enough:].sum()
        total += _binomial_at(trials, images, rate, logs) * promoted
    return float(total)


def _enough(trials: int, alpha: float, logs: np.ndarray) -> int:
    """The least number of gained images that promotes; one more than there are if none does."""
    import numpy as np

    tail = np.cumsum(_binomial(trials, 0.5, logs)[::-1])[::-1]
    return int(np.count_nonzero(tail > alpha))


def _binomial(trials: int, share: float, logs: np.ndarray) -> np.ndarray:
    """The chances of 0 to `trials` successes; `logs` are logarithms of factorials."""
    import numpy as np

    k = np.arange(trials + 1)
    ways = logs[trials] - logs[k] - logs[trials - k]
    with np.errstate(divide="ignore", invalid="ignore"):
        yes = np.where(k > 0, k * np.log(share), 0.0)
        no = np.where(k < trials, (trials - k) * np.log1p(-share), 0.0)
    return np.asarray(np.exp(ways + yes + no))


def _binomial_at(k: int, trials: int, share: float, logs: np.ndarray) -> float:
    """The chance of exactly k successes."""
    if share == 1:
        return float(k == trials)
    ways = float(logs[trials] - logs[k] - logs[trials - k])
    return math.exp(ways + k * math.log(share) + (trials - k) * math.log1p(-share))
