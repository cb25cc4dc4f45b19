import json

import numpy as np
import pytest

from mlops_spec import files
from mlops_spec.errors import MlopsError, StateError
from mlops_spec.gate import Judged, at_least, judge, read
from mlops_spec.spec import FloorGate, McnemarGate

ALPHA = 0.05
MCNEMAR = McnemarGate(kind="mcnemar", alpha=ALPHA, min_accuracy=0.5)
FLOOR = FloorGate(kind="floor", min_accuracy=0.5)


def judged(correct, test_digest="the test images"):
    answers = tuple(bool(c) for c in correct)
    return Judged(sum(answers) / len(answers), test_digest, answers)


@pytest.fixture(scope="module")
def binomtest():
    """SciPy's; imported by the one process that asks."""
    from scipy import stats

    return stats.binomtest


def pair(gained, lost, both=20):
    """Challenger and champion that disagree on so many images, and are both right on `both`."""
    challenger = [True] * gained + [False] * lost + [True] * both
    champion = [False] * gained + [True] * lost + [True] * both
    return judged(challenger), judged(champion)


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


def test_no_disagreement_is_no_evidence():
    assert at_least(0, 0) == 1.0
    verdict = judge(*pair(0, 0), MCNEMAR)
    assert (verdict.promote, verdict.p_value) == (False, 1.0)


@pytest.mark.parametrize(
    ("gained", "lost", "promote"),
    [(4, 0, False), (5, 0, True), (0, 5, False), (7, 1, True), (6, 1, False), (60, 40, True)],
)
def test_a_challenger_is_promoted_by_its_evidence(gained, lost, promote, binomtest):
    verdict = judge(*pair(gained, lost), MCNEMAR)
    expected = binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue
    assert verdict.p_value == pytest.approx(expected)
    assert verdict.promote is promote is bool(expected <= ALPHA)
    assert f"{gained} images gained, {lost} lost of {gained + lost + 20}" in verdict.reason


def test_a_p_value_equal_to_alpha_is_enough():
    rule = McnemarGate(kind="mcnemar", alpha=1 / 32, min_accuracy=0)
    assert judge(*pair(5, 0), rule).promote


def test_images_on_which_both_agree_do_not_count():
    assert (
        judge(*pair(7, 1, both=0), MCNEMAR).p_value == judge(*pair(7, 1, both=900), MCNEMAR).p_value
    )


def promotions(rates, images, rounds, seed):
    """Share of promotions when challenger and champion are right independently at given rates."""
    draws = np.random.default_rng(seed).random((rounds, 2, images)) < np.array(rates)[:, None]
    return np.mean([judge(judged(new), judged(old), MCNEMAR).promote for new, old in draws])


def test_an_equal_model_is_promoted_no_more_often_than_alpha():
    share = promotions((0.8, 0.8), images=300, rounds=2000, seed=1)
    assert 0.01 < share <= ALPHA


def test_a_worse_model_is_practically_never_promoted():
    assert promotions((0.75, 0.85), images=300, rounds=500, seed=2) == 0


def test_a_better_model_is_usually_promoted():
    assert promotions((0.9, 0.8), images=300, rounds=500, seed=3) > 0.9


@pytest.mark.parametrize("rule", [MCNEMAR, FLOOR], ids=["mcnemar", "floor"])
def test_a_first_model_needs_only_the_floor(rule):
    assert judge(judged([1, 0]), None, rule).promote
    refused = judge(judged([1, 0, 0]), None, rule)
    assert not refused.promote
    assert refused.reason == "accuracy 0.3333 is below min_accuracy 0.5"


@pytest.mark.parametrize("rule", [MCNEMAR, FLOOR], ids=["mcnemar", "floor"])
def test_below_the_floor_not_even_a_better_model_is_promoted(rule):
    assert not judge(judged([1] * 40 + [0] * 60), judged([0] * 100), rule).promote


def test_the_floor_gate_promotes_a_worse_model():
    challenger, champion = pair(0, 5)
    assert judge(challenger, champion, FLOOR).promote


def test_models_judged_on_different_images_are_not_compared():
    with pytest.raises(MlopsError, match="different test images"):
        judge(judged([1, 1]), judged([1, 1], "other test images"), MCNEMAR)


# What the evaluation step leaves


def evaluation(folder, metrics, predictions="path,sha256,label,prediction,probability\n"):
    files.write_json(folder / "metrics.json", metrics)
    files.write_text(folder / "predictions.csv", predictions)
    return folder


def test_the_answers_are_read_in_order(tmp_path):
    rows = 'a.png,1,ant,ant,0.9\nb.png,2,ant,bee,0.6\n"c,d.png",3,bee,bee,0.7\n'
    head = "path,sha256,label,prediction,probability\n"
    folder = evaluation(tmp_path, {"accuracy": 2 / 3, "test_digest": "t"}, head + rows)
    assert read(folder) == Judged(2 / 3, "t", (True, False, True))


@pytest.mark.parametrize(
    "metrics",
    [{}, {"accuracy": None}, {"accuracy": "0.9"}, {"accuracy": float("nan")}],
    ids=["missing", "null", "text", "nan"],
)
def test_a_gate_does_not_guess_a_missing_accuracy(tmp_path, metrics):
    with pytest.raises(MlopsError, match="has no accuracy"):
        read(evaluation(tmp_path, {**metrics, "test_digest": "t"}))


def test_damaged_metrics_are_named(tmp_path):
    evaluation(tmp_path, {"accuracy": 0.5, "test_digest": "t"})
    (tmp_path / "metrics.json").write_text(json.dumps({"accuracy": 0.5})[:-3], encoding="utf-8")
    with pytest.raises(StateError, match=r"metrics\.json is damaged"):
        read(tmp_path)
