"""Temperature scaling: probabilities as sure as the answers are right.

One number that all logits are divided by before they become probabilities, chosen on images that
the network did not learn from. No answer changes by it: neither which logit is the largest, nor
which ones are positive.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

UNFITTED = 1.0  # leaves logits as they are
# How sure one may be is learned from mistakes. Drawn from networks with a known temperature, less
# than 6 could make held-out images less likely by 0.1 nats and more; 10 is that with a margin.
_FEWEST, _MISTAKES = 50, 10
_LOWEST, _HIGHEST = 0.05, 20.0
_DIGITS = 4
_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 40  # each leaves 0.618 of the interval: 3e-8 of ln(400)


def temperature(logits: np.ndarray, targets: np.ndarray, *, several: bool) -> float:
    """The temperature, 0.05..20, at which logits are likeliest to be answered by the truth.

    1 where it can not be told: of fewer than 50 images or 10 mistakes (were all answers right: the
    surer, the likelier, without end), or where none is likelier than 1.

    Args:
        logits: (N, classes).
        targets: Class indices (N), or 0 and 1 (N, classes).
        several: Whether an image may have several labels, each answered by itself.
    """
    import numpy as np

    logits = logits.astype(np.float64)
    mistakes = (~right(logits, targets, several=several)).sum()
    if len(logits) < _FEWEST or mistakes < _MISTAKES:
        return UNFITTED

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(logits / math.exp(logarithm), targets, several=several)

    best = _least(loss, math.log(_LOWEST), math.log(_HIGHEST))
    better = loss(best) < loss(math.log(UNFITTED))
    return round(math.exp(best), _DIGITS) if better else UNFITTED


def right(logits: np.ndarray, targets: np.ndarray, *, several: bool) -> np.ndarray:
    """Whether each image is answered right (N); of several labels all must be."""
    import numpy as np

    if several:
        return np.asarray(((logits >= 0) == (targets > 0)).all(axis=1))
    return np.asarray(logits.argmax(axis=1) == targets)


def negative_log_likelihood(logits: np.ndarray, targets: np.ndarray, *, several: bool) -> float:
    """Mean over images, and over classes where each is answered by itself; in nats."""
    import numpy as np

    if several:
        losses = np.logaddexp(0, np.where(targets > 0, -logits, logits))
        return float(losses.mean())
    shifted = logits - logits.max(axis=1, keepdims=True)
    true = np.take_along_axis(shifted, targets[:, None], axis=1)[:, 0]
    return float((np.log(np.exp(shifted).sum(axis=1)) - true).mean())


def _least(loss: Callable[[float], float], low: float, high: float) -> float:
    """Where a loss that falls and then rises is least: golden-section search.

    The loss is convex in 1 / T, so that in the logarithm of T it has one valley too.
    """
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2
