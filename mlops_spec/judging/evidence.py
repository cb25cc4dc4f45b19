"""Whether one model is better than another, by the same test images.

Only images that exactly one of the two got right carry evidence. `gained` are those that the
challenger alone got right, `lost` those that the champion alone did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

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
    paired-sample design", 1998; and, where that is too sure, the exact binomial chance of a
    challenger that gains nothing and loses the margin.
    """
    if not margin:
        return at_least(pairs.gained, pairs.gained + pairs.lost)
    z = float(_score(pairs.gained, pairs.lost, pairs.images, margin))
    behind = pairs.lost - pairs.gained
    exact = float(_up_to(pairs.images, margin)[behind]) if behind >= 0 else 0.0
    return max(NormalDist().cdf(-z), exact)


def at_least(successes: int, trials: int) -> float:
    """The chance of so many heads or more from a fair coin, exactly; 1 for no trials."""
    term = math.comb(trials, successes)
    heads = term
    for k in range(successes, trials):
        term = term * (trials - k) // (k + 1)  # C(n, k+1) from C(n, k): linear, not cubic
        heads += term
    return heads / (1 << trials)


def _score(gained: Any, lost: Any, images: int, margin: float) -> np.ndarray:
    """How many standard deviations the difference is above -margin; for arrays of counts too."""
    import numpy as np

    gained, lost = np.asarray(gained) / images, np.asarray(lost) / images
    ahead = (gained - lost + margin) * math.sqrt(images)
    return np.asarray(ahead / _spread(gained, lost, margin))


def _spread(gained: Any, lost: Any, margin: float) -> np.ndarray:
    """Standard deviation of one image's difference if the true one were -margin, of rates."""
    import numpy as np

    if not margin:
        return np.asarray(np.sqrt(gained + lost))
    b = -gained - lost - (2 - gained + lost) * margin
    c = lost * margin * (1 + margin)
    # The rate of lost images, by maximum likelihood
    likely = (np.sqrt(np.maximum(b * b - 8 * c, 0)) - b) / 4
    return np.asarray(np.sqrt(2 * likely - margin * (1 + margin)))


def _up_to(trials: int, share: float) -> np.ndarray:
    """The chances of at most 0, 1, ..., `trials` successes."""
    import numpy as np

    return np.asarray(np.cumsum(_binomial(trials, share, _factorials(trials))))


def _factorials(most: int) -> np.ndarray:
    """Logarithms of the factorials of 0 to `most`."""
    import numpy as np

    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])


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
    gained, lost = pairs.gained / pairs.images, pairs.lost / pairs.images
    under = normal.inv_cdf(1 - alpha) * float(_spread(gained, lost, margin))
    over = normal.inv_cdf(power) * math.sqrt(max(gained + lost - pairs.difference**2, 0))
    images = max(1, math.ceil(((under + over) / ahead) ** 2))
    if images * (gained + lost + margin) > _NORMAL:
        return images
    # The least number near the guess with that power of the test itself; it is a saw, so upwards.
    images = images // 2 + 1 if margin else images
    while chance_of_promotion(images, pairs, alpha, margin) < power:
        images = math.ceil(images * 1.02) + 1
    return images


def chance_of_promotion(images: int, pairs: Pairs, alpha: float, margin: float = 0.0) -> float:
    """The power of the test with so many images on which models differ as these do."""
    gained, lost = pairs.gained / pairs.images, pairs.lost / pairs.images
    if margin:
        return _chance_within(images, (gained, lost), alpha, margin)
    return _chance_beyond(images, gained + lost, gained / (gained + lost), alpha)


def _chance_within(images: int, rates: tuple[float, float], alpha: float, margin: float) -> float:
    """The power with a margin: over all that is likely to be gained and lost."""
    import numpy as np

    logs = _factorials(images)
    gained, lost = np.ix_(*(_likely(images, rate) for rate in rates))
    rest = images - gained - lost
    shown = _score(gained, lost, images, margin) >= NormalDist().inv_cdf(1 - alpha)
    behind = lost - gained
    exact = np.where(behind >= 0, _up_to(images, margin)[np.maximum(behind, 0)], 0.0)
    ways = logs[images] - logs[gained] - logs[lost] - logs[np.maximum(rest, 0)]
    for count, rate in ((gained, rates[0]), (lost, rates[1]), (rest, 1 - sum(rates))):
        ways = ways + (count * math.log(rate) if rate > 0 else np.where(count, -np.inf, 0.0))
    return float(np.exp(ways)[shown & (exact <= alpha) & (rest >= 0)].sum())


def _likely(trials: int, rate: float) -> np.ndarray:
    """Counts that hold practically all of a binomial distribution."""
    import numpy as np

    spread = _SPREAD * math.sqrt(trials * rate * (1 - rate)) + 1
    first, last = math.floor(trials * rate - spread), math.ceil(trials * rate + spread)
    return np.arange(max(0, first), min(trials, last) + 1)


def _chance_beyond(images: int, rate: float, share: float, alpha: float) -> float:
    """The power of the exact test: `rate` of images differ, `share` of them are gained."""
    logs = _factorials(images)
    total = 0.0
    for trials in map(int, _likely(images, rate)):
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
