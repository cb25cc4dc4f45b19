"""The gate: its verdicts, what it refuses to guess, and how often it is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mlops_spec.errors import MlopsError
from mlops_spec.judging.gate import judge
from mlops_spec.judging.judged import Judged
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


IMAGES = [str(number) for number in range(2000)]


def judged(correct, test_digest="the test images", labels="ab", **numbers):
    answers = [bool(c) for c in correct]
    numbers = {"accuracy": sum(answers) / len(answers), **numbers}
    return Judged(numbers, {}, frozenset(labels), test_digest, IMAGES[: len(answers)], answers)


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
    assert enough.reason.startswith("not worse than the champion by 0.03 or more: 2 images")
    assert judge(*pair(40, 2, 900), lenient).reason.startswith(
        "not worse than the champion by 0.03"
    )
    worse = judge(*pair(0, 40, 900), lenient)
    assert worse.verdict == "reject"
    assert worse.reason.startswith(
        "worse than the champion by 0.03 or more, as it stands: 0 images"
    )
    assert few.reason.startswith("not shown to be within 0.03 of the champion: 2 images gained")


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


# What is left out


def test_images_that_either_was_trained_on_decide_nothing():
    challenger, champion = pair(8, 0, both=20)
    knows = replace(champion, learned=frozenset(range(5)))
    verdict = judge(challenger, knows, MCNEMAR)
    assert (verdict.comparison.gained, verdict.comparison.images) == (3, 23)
    assert verdict.comparison.left_out == 5
    assert verdict.verdict == "insufficient"
    assert "; 5 test images are left out, one of the two was trained on them" in verdict.reason
    both = judge(replace(challenger, learned=frozenset({4, 9})), knows, MCNEMAR).comparison
    assert (both.gained, both.images, both.left_out) == (3, 22, 6)


def test_no_comparison_is_made_where_all_images_are_known():
    challenger, champion = pair(8, 0, both=2)
    with pytest.raises(MlopsError, match=r"every test image .*\n  keep data\.split_seed"):
        judge(challenger, replace(champion, learned=frozenset(range(10))), MCNEMAR)


def test_what_is_not_known_of_a_champion_is_said():
    challenger, champion = pair(8, 0)
    verdict = judge(challenger, replace(champion, learned=None), MCNEMAR)
    assert verdict.promote
    assert verdict.reason.endswith("trained on some of the test images is not known")


@pytest.mark.parametrize("gate", [MCNEMAR, FLOOR], ids=["mcnemar", "floor"])
def test_the_champion_trained_again_is_the_champion(gate):
    one = replace(judged([1, 1, 1, 0]), bundle="its digest")
    verdict = judge(one, one, gate)
    assert verdict.promote
    assert verdict.reason == "it is the champion, by network and weights; accuracy 0.7500"
    poor = replace(judged([1, 0, 0, 0]), bundle="its digest")
    assert judge(poor, poor, gate).verdict == "reject"


# What it does not guess


def test_models_that_were_asked_in_another_order_are_not_compared():
    challenger, champion = pair(2, 2)
    other = replace(champion, images=champion.images[::-1])
    with pytest.raises(MlopsError, match="the same images in the same order"):
        judge(challenger, other, MCNEMAR)


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
