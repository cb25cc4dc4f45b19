import csv
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import small_bundle

from mlops_spec import bundle, files, learned, manifest
from mlops_spec.errors import MlopsError, StateError
from mlops_spec.judging import bootstrap, cost, evaluation
from mlops_spec.judging.judged import read
from mlops_spec.judging.metrics import confusion, measure, sampled
from mlops_spec.judging.scores import Scores, doubtful, mistakes
from mlops_spec.judging.slices import wilson
from mlops_spec.rows import Row

HOW = evaluation.How(batch_size=4, top_k=5, robustness=0)


def scores(targets, probabilities, labels=None):
    targets = np.asarray(targets)
    labels = labels or tuple("abcdefgh"[: np.shape(probabilities)[1]])
    rows = tuple(Row(f"{i}.png", labels[t], "test", str(i)) for i, t in enumerate(targets))
    return Scores(rows, labels, targets, np.asarray(probabilities))


@pytest.fixture(scope="module")
def truth():
    """What scikit-learn says; imported by the one process that asks."""
    from sklearn import metrics

    return metrics


@pytest.fixture(params=range(8))
def drawn(request):
    """Random answers, better than chance, over an uneven set of classes that are all present."""
    rng = np.random.default_rng(request.param)
    classes, images = int(rng.integers(2, 8)), int(rng.integers(20, 300))
    targets = np.concatenate([np.arange(classes), (classes * rng.random(images) ** 2).astype(int)])
    weights = rng.gamma(1.0, size=(len(targets), classes))
    weights[np.arange(len(targets)), targets] *= rng.uniform(1, 4)
    return scores(targets, weights / weights.sum(axis=1, keepdims=True))


def gap_over_bins(sure, right):
    """Expected calibration error by its definition: 15 bins [i/15, (i+1)/15), the last closed."""
    edges = np.arange(16) / 15
    total = 0.0
    for low, high in pairwise(edges):
        inside = (sure >= low) & ((sure < high) | ((high == 1) & (sure == 1)))
        total += abs((sure[inside] - right[inside]).sum())
    return total / len(sure)


def test_metrics_are_those_of_scikit_learn(drawn, truth):
    true, said, p = drawn.targets, drawn.predictions, drawn.probabilities
    found = measure(drawn, 2)
    expected = {
        "accuracy": truth.accuracy_score(true, said),
        "balanced_accuracy": truth.balanced_accuracy_score(true, said),
        "macro_f1": truth.f1_score(true, said, average="macro"),
        "matthews": truth.matthews_corrcoef(true, said),
        "log_loss": truth.log_loss(true, p),
        "brier": ((p - np.eye(p.shape[1])[true]) ** 2).sum(axis=1).mean(),
        "calibration_error": gap_over_bins(p.max(axis=1), true == said),
    }
    if p.shape[1] == 2:
        expected["roc_auc"] = truth.roc_auc_score(true, p[:, 1])
        expected["mean_average_precision"] = truth.average_precision_score(true, p[:, 1])
    else:
        labels = range(p.shape[1])
        expected["top_k_accuracy"] = truth.top_k_accuracy_score(true, p, k=2, labels=labels)
    assert found == pytest.approx(expected, rel=1e-9)


def test_metrics_of_a_sample_are_those_of_its_images(drawn):
    """A sample given by counts has the numbers of a test set in which images are repeated."""
    counts = np.random.default_rng(1).integers(0, 3, size=(4, len(drawn.targets)))
    found = sampled(drawn, counts.astype(float), 2)
    for number, row in enumerate(counts):
        repeated = np.repeat(np.arange(len(row)), row)
        whole = scores(drawn.targets[repeated], drawn.probabilities[repeated], drawn.labels)
        expected = {k: v for k, v in measure(whole, 2).items() if k in found}
        assert {k: v[number] for k, v in found.items()} == pytest.approx(expected, rel=1e-9)


def test_calibration_error_is_the_mean_gap_over_bins():
    sure, right = [0.99, 0.97, 0.62, 0.61], [0, 1, 1, 0]
    p = np.array([[c, 1 - c] for c in sure])
    targets = [0 if hit else 1 for hit in right]
    expected = (abs(0.99 + 0.97 - 1) + abs(0.62 + 0.61 - 1)) / 4
    assert measure(scores(targets, p))["calibration_error"] == pytest.approx(expected)


@pytest.mark.parametrize("sure", [0.0, 0.5, 1.0])
def test_numbers_of_a_test_set_of_one_class_are_numbers(sure):
    found = measure(scores([1, 1, 1], [[1 - sure, sure]] * 3), 5)
    assert np.isfinite([*found.values()]).all()
    assert found["accuracy"] == (sure > 0.5)
    assert "roc_auc" not in found, "nothing to tell apart"
    assert found["matthews"] == 0


def test_the_bootstrap_is_the_spread_of_a_mean():
    right = np.random.default_rng(0).random(400) < 0.8
    p = np.where(right[:, None], [[0.9, 0.1]], [[0.2, 0.8]])
    drawn = scores(np.zeros(400, int), p)
    low, high = bootstrap.intervals(bootstrap.draw(drawn))["accuracy"]
    share = right.mean()
    spread = 1.96 * np.sqrt(share * (1 - share) / 400)
    assert (low, high) == pytest.approx((share - spread, share + spread), abs=0.007)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("images", "classes"), [(60, 2), (300, 5), (400, 60)])
def test_a_metric_lies_inside_its_interval(seed, images, classes):
    """Of calibrated models too, whose samples all have larger calibration errors."""
    chance = np.random.default_rng((seed, classes))
    p = chance.dirichlet(np.full(classes, 0.3), size=images)
    targets = np.array([chance.choice(classes, p=each) for each in p])
    drawn = scores(targets, p, tuple(f"c{i}" for i in range(classes)))
    metrics = measure(drawn, 1)
    found = bootstrap.intervals(bootstrap.draw(drawn, 1), metrics)
    low, high = found["calibration_error"]
    assert 0 <= low < metrics["calibration_error"] < high
    assert found["accuracy"][0] <= metrics["accuracy"] <= found["accuracy"][1]


def test_two_models_are_drawn_the_same_samples(drawn):
    again = bootstrap.draw(drawn)
    assert all(np.array_equal(again[k], v) for k, v in bootstrap.draw(drawn).items())
    assert len(again["accuracy"]) == bootstrap.SAMPLES
    assert len({*again["accuracy"]}) > 5
    counts = np.concatenate([*bootstrap.samples(7)])
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean() == 1


def test_the_confusion_matrix_is_that_of_scikit_learn(drawn, truth):
    expected = truth.confusion_matrix(drawn.targets, drawn.predictions)
    assert np.array_equal(confusion(drawn), expected)


def test_recall_and_precision_of_the_report_are_those_of_scikit_learn(drawn, truth):
    precision, recall, _, support = truth.precision_recall_fscore_support(
        drawn.targets, drawn.predictions, zero_division=0
    )
    found = list(evaluation._classes(drawn))
    assert [c["precision"] for c in found] == pytest.approx(list(precision))
    assert [c["recall"] for c in found] == pytest.approx(list(recall))
    assert [c["images"] for c in found] == list(support)


def test_a_class_that_is_never_answered_counts_as_zero(truth):
    drawn = scores([0, 1, 2], np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.6, 0.4, 0]]))
    assert measure(drawn)["macro_f1"] == pytest.approx(
        truth.f1_score(drawn.targets, drawn.predictions, average="macro", zero_division=0)
    )


def test_certainty_that_is_wrong_costs_much_but_not_infinitely():
    assert measure(scores([1], [[1.0, 0.0]]))["log_loss"] == pytest.approx(-np.log(1e-15))
    assert measure(scores([0], [[1.0, 0.0]]))["log_loss"] == 0


def test_a_class_that_the_model_never_met_is_a_mistake():
    unknown = Scores(
        (Row("a.png", "a", "test", "1"), Row("z.png", "z", "test", "2")),
        ("a", "b"),
        np.array([0, -1]),
        np.array([[0.9, 0.1], [0.1, 0.9]]),
    )
    assert measure(unknown)["accuracy"] == 0.5
    assert measure(unknown)["log_loss"] > 10
    assert mistakes(unknown, 5) == [1]
    assert confusion(unknown).sum() == 1


def test_mistakes_come_most_confident_first():
    drawn = scores([0, 0, 1, 1, 0], [[0.4, 0.6], [0.1, 0.9], [0.7, 0.3], [0.2, 0.8], [0.9, 0.1]])
    assert mistakes(drawn, 5) == [1, 2, 0]
    assert mistakes(drawn, 2) == [1, 2]
    assert doubtful(drawn, 5) == [3, 4]


# A whole evaluation


@pytest.fixture
def judged(tmp_path):
    """The folder of an evaluation in which one of six answers is wrong, and its metrics."""
    small_bundle.data_set(tmp_path / "data", wrong=1)
    small_bundle.make(tmp_path / "bundle")
    metrics = evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", HOW)
    return tmp_path / "out", metrics


def predictions(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_metrics_are_recorded_with_the_digest_of_the_test_images(judged, tmp_path):
    folder, metrics = judged
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    assert metrics["test_images"] == 6
    document = files.read_json(folder / "metrics.json")
    test = manifest.read(tmp_path / "data").split("test")
    assert document["test_digest"] == manifest.digest(test)
    assert document["bundle_digest"] == bundle.digest(tmp_path / "bundle")
    assert {**document["metrics"], "test_images": document["test_images"]} == metrics
    assert document["labels"] == ["blue", "green", "red"]
    assert document["intervals"]["accuracy"] == pytest.approx(wilson(5 / 6, 6))
    low, high = document["intervals"]["macro_f1"]
    assert low < metrics["macro_f1"] < high
    blue = document["classes"][0]
    assert {k: blue[k] for k in ("label", "images", "recall")} == {
        "label": "blue",
        "images": 2,
        "recall": 0.5,
    }
    assert 0 < document["cost"]["latency_ms"] <= document["cost"]["latency_p95_ms"] < 1000
    size = (tmp_path / "bundle" / "model.onnx").stat().st_size
    assert document["cost"]["size_mb"] == size / 1e6


def test_later_questions_need_no_new_inference(judged, tmp_path):
    folder, metrics = judged
    logits = np.load(folder / "logits.npy")
    assert logits.dtype == np.float32
    rows = manifest.read(tmp_path / "data").split("test")
    again = evaluation.read(folder, rows)
    assert again.probabilities == pytest.approx(bundle.softmax(logits))
    assert [again.labels[i] for i in logits.argmax(axis=1)] == [
        row["prediction"] for row in predictions(folder)
    ]
    assert measure(again, 5) == {k: v for k, v in metrics.items() if k != "test_images"}


def test_answers_that_are_no_numbers_are_refused(tmp_path):
    small_bundle.data_set(tmp_path / "data")
    how = small_bundle.HOW.model_copy(update={"std": (0.1,) * 3})
    small_bundle.make(tmp_path / "bundle", how=how, scale=3e38)
    with pytest.raises(MlopsError, match=r"no number for \d+ images, images/0/test0\.png first"):
        evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", HOW)
    assert not (tmp_path / "out").exists()


def test_no_mistake_among_few_images_is_no_certainty(tmp_path):
    small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", HOW)
    low, high = files.read_json(tmp_path / "out" / "metrics.json")["intervals"]["accuracy"]
    assert (round(low, 2), high) == (0.61, 1.0)


def test_answers_about_worse_pictures_are_numbers_too(tmp_path):
    """Bright pictures overflow a network that answers dark ones."""
    data = small_bundle.data_set(tmp_path / "data", most=100)
    how = small_bundle.HOW.model_copy(update={"std": (0.5,) * 3})
    small_bundle.make(tmp_path / "bundle", how=how, scale=3e38)
    asked = replace(HOW, robustness=len(data.split("test")))
    with pytest.raises(MlopsError, match=r"made worse \(brightness, strength \d\)"):
        evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", asked)


@pytest.mark.parametrize(
    ("shape", "value"), [((5, 3), 0.3), ((6, 2), 0.5), ((6,), 0.3), ((6, 3), float("nan"))]
)
def test_a_benchmark_that_answers_something_else_is_refused(tmp_path, shape, value):
    dataset = small_bundle.data_set(tmp_path / "data")
    with pytest.raises(MlopsError, match=r"shape \(6, 3\): \(test images, classes\)"):
        evaluation.baseline(dataset, np.full(shape, value), tmp_path / "out", 5)


def test_latency_is_in_milliseconds(tmp_path, monkeypatch):
    small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    ticks = iter(np.arange(0, 100, 0.004))  # each image takes 4 ms
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(ticks))
    found = cost.measure(
        manifest.read(tmp_path / "data"), bundle.load(tmp_path / "bundle"), tmp_path / "bundle"
    )
    assert found["latency_ms"] == pytest.approx(4)
    assert found["latency_p95_ms"] == pytest.approx(4)


# What the model has seen


def regrown(folder, dataset, *, swapped):
    """The same images, some of which changed places with training images."""
    rows = [*dataset.rows]
    for label in dataset.classes[:swapped]:
        mine = [i for i, row in enumerate(rows) if row.label == label]
        train, test = (next(i for i in mine if rows[i].split == s) for s in ("train", "test"))
        rows[train] = rows[train]._replace(split="test")
        rows[test] = rows[test]._replace(split="train")
    return manifest.write(folder, dataset.root, rows)


def learned_of(tmp_path):
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", HOW)
    return files.read_json(tmp_path / "out" / "metrics.json")["learned"]


def test_test_images_that_a_model_was_trained_on_are_named(tmp_path):
    dataset = small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    learned.write(tmp_path / "bundle", dataset)
    assert learned_of(tmp_path) == []
    again = regrown(tmp_path / "data", dataset, swapped=2)
    known = {row.sha256 for row in dataset.rows if row.split != "test"}
    expected = [i for i, row in enumerate(again.split("test")) if row.sha256 in known]
    assert learned_of(tmp_path) == expected
    assert len(expected) == 2


def test_what_the_weights_before_were_trained_on_counts(tmp_path):
    dataset = small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    learned.write(tmp_path / "first", dataset)
    again = regrown(tmp_path / "data", dataset, swapped=3)
    learned.write(tmp_path / "bundle", again, tmp_path / "first")
    assert len(learned_of(tmp_path)) == 3
    learned.write(tmp_path / "bundle", again, tmp_path / "no bundle")
    assert learned_of(tmp_path) == []


def test_nothing_is_claimed_of_a_model_without_a_record(tmp_path):
    dataset = small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    assert learned_of(tmp_path) is None
    small_bundle.make(tmp_path / "bundle", data_digest=dataset.digest)
    assert learned_of(tmp_path) == [], "it was trained on this very data set"


@pytest.mark.parametrize("content", [b"", b"no array", b"pickle"])
def test_a_damaged_record_is_named(tmp_path, content):
    dataset = small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    path = tmp_path / "bundle" / learned.FILE
    path.write_bytes(content)
    if content == b"pickle":
        np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(StateError, match=r"trained_on\.npy is damaged"):
        learned.among(tmp_path / "bundle", dataset.split("test"))
    np.save(path, np.zeros(3))
    with pytest.raises(StateError, match="it holds float64 of 1 dimensions"):
        learned.among(tmp_path / "bundle", dataset.split("test"))


def test_every_test_image_has_its_prediction(judged, tmp_path):
    rows = predictions(judged[0])
    test = manifest.read(tmp_path / "data").split("test")
    assert [(r["path"], r["sha256"], r["label"]) for r in rows] == [
        (r.path, r.sha256, r.label) for r in test
    ]
    wrong = [r for r in rows if r["label"] != r["prediction"]]
    assert len(wrong) == 1
    likely = np.exp(4) / (np.exp(4) + 2)
    assert [float(r["probability"]) for r in rows] == pytest.approx([likely] * 6, abs=1e-6)


def test_the_batch_size_does_not_change_the_answers(judged, tmp_path):
    evaluation.evaluate(
        tmp_path / "data", tmp_path / "bundle", tmp_path / "one", replace(HOW, batch_size=1)
    )
    assert predictions(tmp_path / "one") == predictions(judged[0])


def test_the_gate_reads_what_the_evaluation_wrote(judged):
    found = read(judged[0])
    assert found.accuracy == pytest.approx(5 / 6)
    assert sum(found.correct) == 5


def test_classes_of_any_name_go_through_the_table(tmp_path):
    labels = ('a, "b"', "line\nbreak", "ünïcödé")
    small_bundle.data_set(tmp_path / "data", labels)
    small_bundle.make(tmp_path / "bundle", labels)
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", HOW)
    assert read(tmp_path / "out").correct == [True] * 6
    assert {row["label"] for row in predictions(tmp_path / "out")} == {*labels}
