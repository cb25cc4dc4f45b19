"""The gate: its verdicts, what it refuses to guess, and how often it is wrong."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlops_spec import evidence, files
from mlops_spec.errors import MlopsError, StateError
from mlops_spec.evidence import Pairs, at_least, images_needed, interval, p_value
from mlops_spec.gate import Judged, judge, read
from mlops_spec.step_spec import StepEvaluation

ALPHA, POWER = 0.05, 0.8
CONF = Path(__file__).resolve().parents[1] / "conf" / "evaluation"


def rule(preset="mcnemar", **changes):
    """A preset's gate with some values changed; those of a section are a mapping."""
    gate = yaml.safe_load((CONF / f"{preset}.yaml").read_text("utf-8"))["gate"]
    for name, value in changes.items():
        gate[name] = {**gate[name], **value} if isinstance(value, dict) else value
    return StepEvaluation.model_validate({"gate": gate}).gate


MCNEMAR, FLOOR = rule(), rule("floor", floors={"accuracy": 0.5})


def judged(correct, test_digest="the test images", labels="ab", **numbers):
    answers = [bool(c) for c in correct]
    numbers = {"accuracy": sum(answers) / len(answers), **numbers}
    return Judged(numbers, {}, frozenset(labels), test_digest, answers)


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


# Evidence


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
    assert p_value(Pairs(0, 1, 44), 0.1) == pytest.approx(0.0438, abs=1e-4)


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
    assert share == pytest.approx(evidence.chance_of_promotion(images, seen, ALPHA), abs=0.01)
    assert promoted(rates, images // 2) < POWER - 0.1, "no more images than it takes"


@pytest.mark.parametrize("seen", [Pairs(5, 5, 200), Pairs(2, 4, 400)])
def test_a_model_that_is_no_worse_is_promoted_as_often_too(seen):
    images = images_needed(seen, 0.03, ALPHA, POWER)
    rates = (seen.gained / seen.images, seen.lost / seen.images)
    assert promoted(rates, images, 0.03) == pytest.approx(POWER, abs=0.05)


def test_no_number_of_images_shows_what_is_not_there():
    assert images_needed(Pairs(5, 5, 100), 0.0, ALPHA, POWER) is None
    assert images_needed(Pairs(1, 5, 100), 0.02, ALPHA, POWER) is None
    assert images_needed(Pairs(0, 0, 10), 0.05, ALPHA, POWER) > 10


# Verdicts


def test_no_disagreement_is_no_evidence():
    verdict = judge(*pair(0, 0), MCNEMAR)
    assert (verdict.verdict, verdict.comparison.p_value) == ("reject", 1.0)


@pytest.mark.parametrize(
    ("gained", "lost", "expected"),
    [
        (4, 0, "insufficient"),
        (5, 0, "promote"),
        (0, 5, "reject"),
        (3, 3, "reject"),
        (7, 1, "promote"),
        (6, 1, "insufficient"),
        (60, 40, "promote"),
    ],
)
def test_a_challenger_is_judged_by_its_evidence(gained, lost, expected, binomtest):
    verdict = judge(*pair(gained, lost), MCNEMAR)
    found = verdict.comparison
    p = binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue
    assert found.p_value == pytest.approx(p)
    assert verdict.verdict == expected
    assert verdict.promote is (expected == "promote") is bool(p <= ALPHA)
    assert f"{gained} images gained, {lost} lost of {gained + lost + 20}" in verdict.reason
    assert (found.images_needed is not None) is (expected == "insufficient")
    assert found.interval[0] <= found.difference <= found.interval[1]


def test_it_is_said_how_many_more_images_would_tell():
    verdict = judge(*pair(4, 1, both=35), MCNEMAR)
    more = verdict.comparison.images_needed - 40
    assert f"about {more} more test images would tell" in verdict.reason
    assert verdict.reason.startswith("not shown to be better than the champion: 4 images gained")


def test_a_margin_lets_an_equal_model_pass_where_there_is_enough_evidence():
    lenient = rule(margin=0.03)
    few, enough = (judge(*pair(2, 2, both), lenient) for both in (26, 900))
    assert few.verdict == "insufficient"
    assert enough.verdict == "promote"
    assert enough.reason.startswith("worse than the champion by less than 0.03: 2 images gained")
    assert judge(*pair(0, 40, 900), lenient).verdict == "reject"


def test_a_p_value_equal_to_alpha_is_enough():
    assert judge(*pair(5, 0), rule(alpha=1 / 32)).promote


def test_images_on_which_both_agree_do_not_count():
    few, many = (judge(*pair(7, 1, both), MCNEMAR).comparison.p_value for both in (0, 900))
    assert few == many


@pytest.mark.parametrize("gate", [MCNEMAR, FLOOR], ids=["mcnemar", "floor"])
def test_a_first_model_needs_only_the_floors(gate):
    assert judge(judged([1, 0]), None, gate).promote
    refused = judge(judged([1, 0, 0]), None, gate)
    assert refused.verdict == "reject"
    assert refused.reason == "accuracy 0.3333 is below its floor 0.5"


@pytest.mark.parametrize("gate", [MCNEMAR, FLOOR], ids=["mcnemar", "floor"])
def test_below_a_floor_not_even_a_better_model_is_promoted(gate):
    assert not judge(judged([1] * 40 + [0] * 60), judged([0] * 100), gate).promote


def test_the_floor_gate_promotes_a_worse_model():
    challenger, champion = pair(0, 5)
    verdict = judge(challenger, champion, FLOOR)
    assert verdict.promote
    assert verdict.comparison is None
    assert verdict.reason == "accuracy 0.8000; every floor and limit is kept"


@pytest.mark.parametrize(
    ("section", "name", "bound", "value", "fine"),
    [
        ("floors", "macro_f1", 0.7, 0.7, True),
        ("floors", "macro_f1", 0.7, 0.69, False),
        ("floors", "matthews", -0.5, -0.6, False),
        ("limits", "latency_ms", 20.0, 20.0, True),
        ("limits", "latency_ms", 20.0, 20.1, False),
        ("limits", "size_mb", 5.0, 6.0, False),
        ("limits", "calibration_error", 0.05, 0.1, False),
    ],
)
def test_floors_and_limits_are_kept_or_named(section, name, bound, value, fine):
    verdict = judge(judged([1, 1], **{name: value}), None, rule(**{section: {name: bound}}))
    assert verdict.promote is fine
    check = next(check for check in verdict.checks if check.about == name)
    assert (check.value, check.bound, check.passed) == (value, bound, fine)
    assert fine or verdict.reason.startswith(f"{name} {value:g} is ")


def test_every_class_has_the_floor_of_classes():
    model = judged([1, 1])
    model.classes.update({"ant": {"recall": 0.9}, "bee": {"recall": 0.2}, "wasp": {"recall": 0.1}})
    verdict = judge(model, None, rule(class_floors={"recall": 0.3}))
    assert verdict.reason == (
        "bee: recall 0.2 is below its floor 0.3; wasp: recall 0.1 is below its floor 0.3"
    )


def test_reasons_are_data_too():
    document = judge(*pair(6, 1), MCNEMAR).document()
    again = json.loads(json.dumps(document))
    assert again["verdict"] == "insufficient"
    assert again["checks"] == [
        {"about": "accuracy", "value": 26 / 27, "bound": 0.5, "kind": "floor", "passed": True}
    ]
    assert {"gained", "lost", "images", "p_value", "images_needed"} < {*again["comparison"]}


# What it does not guess


def test_models_judged_on_different_images_are_not_compared():
    with pytest.raises(MlopsError, match="different test images"):
        judge(judged([1, 1]), judged([1, 1], "other test images"), MCNEMAR)


@pytest.mark.parametrize("gate", [MCNEMAR, FLOOR], ids=["mcnemar", "floor"])
def test_models_of_other_classes_are_not_compared(gate):
    with pytest.raises(MlopsError, match=r"other classes: c, d\n.*another registered_model"):
        judge(judged([1, 1], labels="abc"), judged([1, 1], labels="abd"), gate)


def test_a_number_that_was_not_measured_is_not_guessed():
    with pytest.raises(MlopsError, match=r"has no micro_f1 \(it has: accuracy\)"):
        judge(judged([1, 1]), None, rule(floors={"micro_f1": 0.5}))


# What the evaluation step leaves

HEAD = "path,sha256,label,prediction,probability\n"


def evaluation(folder, metrics, predictions=HEAD, **more):
    document = {
        "metrics": metrics,
        "cost": {"size_mb": 1.5},
        "labels": ["ant", "bee"],
        "classes": [{"label": "ant", "images": 2, "recall": 0.5}, {"label": "bee", "images": 0}],
        "test_digest": "t",
        **more,
    }
    files.write_json(folder / "metrics.json", document)
    files.write_text(folder / "predictions.csv", predictions)
    return folder


def test_the_answers_are_read_in_order(tmp_path):
    rows = 'a.png,1,ant,ant,0.9\nb.png,2,ant,bee,0.6\n"c,d.png",3,bee,bee,0.7\n'
    folder = evaluation(tmp_path, {"accuracy": 2 / 3}, HEAD + rows)
    numbers = {"accuracy": 2 / 3, "size_mb": 1.5}
    classes = {"ant": {"images": 2, "recall": 0.5}}
    found = read(folder)
    assert found == Judged(numbers, classes, frozenset({"ant", "bee"}), "t", [True, False, True])


@pytest.mark.parametrize(
    "metrics",
    [{}, {"accuracy": None}, {"accuracy": "0.9"}, {"accuracy": float("nan")}, {"accuracy": True}],
    ids=["missing", "null", "text", "nan", "bool"],
)
def test_a_gate_does_not_guess_a_missing_accuracy(tmp_path, metrics):
    with pytest.raises(MlopsError, match="has no accuracy"):
        read(evaluation(tmp_path, metrics))


@pytest.mark.parametrize("lost", ["metrics", "cost", "labels", "classes", "test_digest"])
def test_an_evaluation_that_lacks_something_is_named(tmp_path, lost):
    evaluation(tmp_path, {"accuracy": 0.5})
    document = files.read_json(tmp_path / "metrics.json")
    del document[lost]
    (tmp_path / "metrics.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(MlopsError, match=f"lacks '{lost}'\n  evaluate the model again"):
        read(tmp_path)


def test_damaged_metrics_are_named(tmp_path):
    evaluation(tmp_path, {"accuracy": 0.5})
    text = (tmp_path / "metrics.json").read_text("utf-8")
    (tmp_path / "metrics.json").write_text(text[:-3], encoding="utf-8")
    with pytest.raises(StateError, match=r"metrics\.json is damaged"):
        read(tmp_path)
