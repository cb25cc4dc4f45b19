"""Whether one model is better than another: exact tests, their level and their power."""

import functools
import math
from statistics import NormalDist

import numpy as np
import pytest

from mlops_spec.judging import evidence
from mlops_spec.judging.evidence import (
    Pairs,
    at_least,
    chance_of_promotion,
    images_needed,
    interval,
    p_value,
)

ALPHA, POWER = 0.05, 0.8


@pytest.fixture(scope="module")
def binomtest():
    """SciPy's; imported by the one process that asks."""
    from scipy import stats

    return stats.binomtest


@pytest.mark.parametrize("trials", [1, 2, 3, 10, 41])
def test_the_p_value_is_that_of_an_exact_binomial_test(trials, binomtest):
    for successes in range(trials + 1):
        expected = binomtest(successes, trials, 0.5, alternative="greater").pvalue
        assert at_least(successes, trials) == pytest.approx(expected, rel=1e-12)


@pytest.mark.timeout(20)  # as large test sets have them; a sum of fresh binomials takes minutes
@pytest.mark.parametrize(("successes", "trials"), [(1034, 2000), (1999, 2000), (12_600, 25_000)])
def test_the_p_value_is_exact_for_many_images_too(successes, trials, binomtest):
    expected = binomtest(successes, trials, 0.5, alternative="greater").pvalue
    assert at_least(successes, trials) == pytest.approx(expected, rel=1e-9)


def test_the_test_with_a_margin_is_that_of_its_paper():
    """Tango 1998, soft contact lenses: 44 eyes, 1 lost, none gained, margin 10 %."""
    z = evidence._score(0, 1, 44, 0.1)
    assert NormalDist().cdf(-z) == pytest.approx(0.0438, abs=1e-4)


@pytest.mark.parametrize(
    ("lost", "images", "margin"), [(1, 44, 0.1), (0, 133, 0.02), (3, 269, 0.02)]
)
def test_it_is_never_surer_than_exact_where_nothing_is_gained(lost, images, margin, binomtest):
    """Of a challenger that loses the margin and gains nothing, lost images are binomial."""
    exact = binomtest(lost, images, margin, alternative="less").pvalue
    assert p_value(Pairs(0, lost, images), margin) >= exact * (1 - 1e-12)


@pytest.mark.parametrize("alpha", [0.05, 0.1])
@pytest.mark.parametrize("gained", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05])
def test_the_test_with_a_margin_keeps_its_level(alpha, gained, margin):
    """Whatever the size of a test set that loses a model of that margin at least two images."""
    for images in range(math.ceil(2 / margin), 600, 7):
        pairs = Pairs(gained * images, (gained + margin) * images, images)
        assert chance_of_promotion(images, pairs, alpha, margin) <= 1.2 * alpha


@pytest.mark.parametrize("pairs", [Pairs(3, 2, 50), Pairs(30, 12, 400)])
def test_a_margin_of_nothing_is_close_to_none(pairs, binomtest):
    mid = p_value(pairs, 1e-9)
    n = pairs.gained + pairs.lost
    at, above = (
        binomtest(k, n, 0.5, alternative="greater").pvalue for k in (pairs.gained, pairs.gained + 1)
    )
    assert above < mid < at, "the exact test is discrete, and the other in between"


def test_the_interval_is_that_of_a_bootstrap():
    pairs = Pairs(30, 10, 200)
    chance = np.random.default_rng(5)
    differences = np.repeat([1, -1, 0], [30, 10, 160])
    means = chance.choice(differences, size=(4000, 200)).mean(axis=1)
    assert interval(pairs, 0.95) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.006)
    assert interval(Pairs(0, 0, 7), 0.95) == (0, 0)


@functools.cache
def says(pairs, margin):
    return p_value(pairs, margin) <= ALPHA


def promoted(rates, images, margin=0.0, rounds=20_000, seed=1):
    """How often challengers are promoted that gain and lose images at given rates."""
    chance = np.random.default_rng(seed)
    drawn = chance.multinomial(images, [*rates, 1 - sum(rates)], size=rounds)
    return np.mean([says(Pairs(int(g), int(lost), images), margin) for g, lost, _ in drawn])


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("images", [40, 300, 2000])
def test_an_equal_model_is_promoted_no_more_often_than_the_level(rate, images):
    assert promoted((rate, rate), images) <= ALPHA + 0.005  # three deviations of 20,000 rounds


@pytest.mark.parametrize(("rates", "margin"), [((0.05, 0.07), 0.02), ((0.01, 0.06), 0.05)])
@pytest.mark.parametrize("images", [200, 1500])
def test_a_model_that_is_worse_by_the_margin_is_promoted_no_more_often(rates, margin, images):
    assert promoted(rates, images, margin) <= ALPHA * 1.15  # the score test is not exact


@pytest.mark.parametrize("seen", [Pairs(8, 2, 100), Pairs(1, 0, 20), Pairs(70, 50, 600)])
def test_a_better_model_is_promoted_as_often_as_the_stated_power(seen):
    images = images_needed(seen, 0.0, ALPHA, POWER)
    rates = (seen.gained / seen.images, seen.lost / seen.images)
    share = promoted(rates, images)
    assert POWER - 0.01 <= share <= POWER + 0.04
    assert share == pytest.approx(chance_of_promotion(images, seen, ALPHA), abs=0.01)
    assert promoted(rates, images // 2) < POWER - 0.1, "no more images than it takes"


@pytest.mark.parametrize(
    ("seen", "margin"),
    [
        (Pairs(5, 5, 200), 0.03),
        (Pairs(2, 4, 400), 0.03),
        (Pairs(0, 1, 50), 0.05),
        (Pairs(1, 0, 50), 0.01),
    ],
)
def test_a_model_that_is_no_worse_is_promoted_as_often_too(seen, margin):
    images = images_needed(seen, margin, ALPHA, POWER)
    rates = (seen.gained / seen.images, seen.lost / seen.images)
    share = promoted(rates, images, margin)
    assert POWER - 0.01 <= share <= POWER + 0.05
    assert share == pytest.approx(chance_of_promotion(images, seen, ALPHA, margin), abs=0.01)


@pytest.mark.parametrize("margin", [0.0, 0.02])
@pytest.mark.parametrize(("alpha", "power"), [(0.01, 0.8), (0.2, 0.8), (0.05, 0.5), (0.05, 0.95)])
def test_level_and_power_are_those_that_are_asked_for(margin, alpha, power):
    seen = Pairs(20, 12, 500)
    images = images_needed(seen, margin, alpha, power)
    share = chance_of_promotion(images, seen, alpha, margin)
    assert power <= share <= power + 0.03


def test_no_number_of_images_shows_what_is_not_there():
    assert images_needed(Pairs(5, 5, 100), 0.0, ALPHA, POWER) is None
    assert images_needed(Pairs(1, 5, 100), 0.02, ALPHA, POWER) is None
    assert images_needed(Pairs(0, 0, 10), 0.05, ALPHA, POWER) > 10
