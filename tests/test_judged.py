"""What an evaluation leaves, as the gate reads it."""

import json

import pytest

from mlops_spec import files
from mlops_spec.errors import MlopsError, StateError
from mlops_spec.judging.judged import Judged, number, read

HEAD = "path,sha256,label,prediction,probability\n"


def evaluation(folder, metrics, predictions=HEAD, **more):
    document = {
        "metrics": metrics,
        "cost": {"size_mb": 1.5},
        "labels": ["ant", "bee"],
        "classes": [{"label": "ant", "images": 2, "recall": 0.5}, {"label": "bee", "images": 0}],
        "test_digest": "t",
        "learned": [],
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
    labels = frozenset({"ant", "bee"})
    assert found == Judged(numbers, classes, labels, "t", ["1", "2", "3"], [True, False, True])


ONE = HEAD + "a.png,1,ant,ant,0.9\n"


def test_what_it_was_trained_on_is_read_or_unknown(tmp_path):
    known = read(evaluation(tmp_path, {"accuracy": 1.0}, ONE, learned=[0], bundle_digest="b"))
    assert (known.learned, known.bundle) == (frozenset({0}), "b")
    assert read(evaluation(tmp_path, {"accuracy": 1.0}, ONE, learned=None)).learned is None


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        (None, "predictions.csv is not understood"),
        ("path,sha256\na.png,1\n", "predictions.csv is not understood: 'label'"),
        (HEAD, "predictions.csv has no answer"),
        (ONE + "b.png,2,ant,bee,0.6\n", "tell of other answers"),
        (b"\xff\xfe", "predictions.csv is not understood"),
    ],
    ids=["gone", "other columns", "empty", "cut", "no text"],
)
def test_answers_that_are_not_those_of_the_metrics_are_refused(tmp_path, predictions, said):
    evaluation(tmp_path, {"accuracy": 1.0}, ONE)
    path = tmp_path / "predictions.csv"
    path.unlink()
    if predictions is not None:
        path.write_bytes(predictions if isinstance(predictions, bytes) else predictions.encode())
    with pytest.raises(MlopsError, match=f"{said}.*\n  evaluate the model again"):
        read(tmp_path)


def test_a_number_that_can_never_be_measured_is_said_to_be_so(tmp_path):
    found = read(evaluation(tmp_path, {"accuracy": 1.0}, ONE))
    with pytest.raises(
        MlopsError, match=r"it is measured where .* evaluation\.top_k\n  ask for an"
    ):
        number(found.numbers, "top_k_accuracy", "this evaluation")


def test_metrics_that_are_no_table_are_refused(tmp_path):
    with pytest.raises(MlopsError, match=r"metrics\.json is not understood"):
        read(evaluation(tmp_path, None, ONE))


@pytest.mark.parametrize(
    "metrics",
    [{}, {"accuracy": None}, {"accuracy": "0.9"}, {"accuracy": float("nan")}, {"accuracy": True}],
    ids=["missing", "null", "text", "nan", "bool"],
)
def test_a_gate_does_not_guess_a_missing_accuracy(tmp_path, metrics):
    folder = evaluation(tmp_path, {}, ONE)
    document = files.read_json(folder / "metrics.json")
    text = json.dumps({**document, "metrics": metrics})
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    with pytest.raises(MlopsError, match="has no accuracy"):
        read(folder)


@pytest.mark.parametrize("lost", ["metrics", "cost", "labels", "classes", "test_digest", "learned"])
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
