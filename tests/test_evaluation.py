import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import small_bundle

from mlops_spec import bundle, curves, evaluation, files, gate, manifest, report
from mlops_spec.metrics import Scores, confusion, measure, mistakes
from mlops_spec.rows import Row


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


def test_metrics_are_those_of_scikit_learn(drawn, truth):
    true, said = drawn.targets, drawn.predictions
    assert measure(drawn) == pytest.approx(
        {
            "accuracy": truth.accuracy_score(true, said),
            "balanced_accuracy": truth.balanced_accuracy_score(true, said),
            "macro_f1": truth.f1_score(true, said, average="macro"),
            "log_loss": truth.log_loss(true, drawn.probabilities),
        },
        rel=1e-9,
    )


def test_the_confusion_matrix_is_that_of_scikit_learn(drawn, truth):
    expected = truth.confusion_matrix(drawn.targets, drawn.predictions)
    assert np.array_equal(confusion(drawn), expected)


def test_recall_and_precision_of_the_report_are_those_of_scikit_learn(drawn, truth):
    precision, recall, _, support = truth.precision_recall_fscore_support(
        drawn.targets, drawn.predictions, zero_division=0
    )
    found = list(report._classes(drawn))
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


# A whole evaluation


@pytest.fixture
def judged(tmp_path):
    """The folder of an evaluation in which one of six answers is wrong, and its metrics."""
    small_bundle.data_set(tmp_path / "data", wrong=1)
    small_bundle.make(tmp_path / "bundle")
    metrics = evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", 4)
    return tmp_path / "out", metrics


def test_the_report_shows_how_training_went(tmp_path):
    small_bundle.data_set(tmp_path / "data")
    bundle_dir = small_bundle.make(tmp_path / "bundle")
    pages = []
    for epochs in ([], [(1, 2.0, 1.0, 0.5, 10), (2, 1.0, 0.5, 0.75, 20)]):
        curves.write(bundle_dir, epochs)
        evaluation.evaluate(tmp_path / "data", bundle_dir, tmp_path / "out", 4)
        pages.append((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert pages[0].count("<polyline") == 0
    assert pages[1].count("<polyline") == 3
    assert "0.500 to 2.000" in pages[1]
    assert "more of the network learns" in pages[1]


def predictions(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_metrics_are_recorded_with_the_digest_of_the_test_images(judged, tmp_path):
    folder, metrics = judged
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    assert metrics["test_images"] == 6
    document = files.read_json(folder / "metrics.json")
    assert document.pop("test_digest") == manifest.digest(
        manifest.read(tmp_path / "data").split("test")
    )
    assert document == {"schema_version": 1, **metrics}


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
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "one", 1)
    assert predictions(tmp_path / "one") == predictions(judged[0])


def test_the_gate_reads_what_the_evaluation_wrote(judged):
    found = gate.read(judged[0])
    assert found.accuracy == pytest.approx(5 / 6)
    assert sum(found.correct) == 5


def test_classes_of_any_name_go_through_the_table(tmp_path):
    labels = ('a, "b"', "line\nbreak", "ünïcödé")
    small_bundle.data_set(tmp_path / "data", labels)
    small_bundle.make(tmp_path / "bundle", labels)
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", 4)
    assert gate.read(tmp_path / "out").correct == (True,) * 6
    assert {row["label"] for row in predictions(tmp_path / "out")} == {*labels}


# The report


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], io.StringIO()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text.write(data)


def test_the_report_is_one_self_contained_page(judged):
    text = (judged[0] / "report.html").read_text("utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {*page.tags}
    assert page.tags.count("figure") == 1  # the one mistake's picture
    assert len(page.links) == 1 + 6  # and two training images of each class
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not re.search(r"https?:|@import|url\(", text)


def test_the_report_shows_the_numbers(judged):
    text = Page((judged[0] / "report.html").read_text("utf-8")).text.getvalue()
    for shown in (
        "brightness: 83.33 % right",
        "6 test images",
        "0.8333",
        "by hand",
        "data 0123456789ab",
    ):
        assert shown in text


def test_the_report_escapes_what_others_wrote(tmp_path):
    labels = ("<b>&\"'ant", "<img src=x onerror=alert(1)>", "{{ 7 * 7 }}")
    small_bundle.data_set(tmp_path / "data", labels, wrong=1)
    small_bundle.make(tmp_path / "bundle", labels)
    card = bundle.read(tmp_path / "bundle")
    spec = {"name": "</pre><script>alert(2)</script>", "model": {"backbone": "<i>net</i>"}}
    bundle.write(tmp_path / "bundle", card.model_copy(update={"spec": spec}))
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", 4)
    page = Page((tmp_path / "out" / "report.html").read_text("utf-8"))
    text = page.text.getvalue()
    assert page.tags.count("img") == 1 + 6
    assert not {"script", "i"} & {*page.tags}
    for label in labels:
        assert text.count(label) >= 3  # classes, both sides of the matrix
    assert "</pre><script>alert(2)</script>" in text


def test_a_model_without_mistakes_says_so(tmp_path):
    small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", 64)
    page = Page((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert "figure" not in page.tags
    assert "None." in page.text.getvalue()


def test_the_data_page_shows_each_class_its_counts_and_what_was_found(tmp_path):
    labels = ("<b>ant", "bee", "wasp")
    rows = small_bundle.data_set(tmp_path / "data", labels).rows
    finding = manifest.Finding("notes.txt", "is <no> image", "unreadable")
    images = manifest.Images((8, 9, 10), (11, 12, 13), {"L": 17}, (0.5, 0.4, 0.3), (0.1,) * 3)
    root = manifest.read(tmp_path / "data").root
    manifest.write(tmp_path / "data", root, rows, manifest.Notes([finding], images))
    page = Page(report.render_data(tmp_path / "data"))
    assert "b" not in page.tags
    assert page.tags.count("img") == 6
    text = page.text.getvalue()
    for shown in ("<b>ant222", "notes.txtis <no> image", "8 / 9 / 10 pixels wide", "17 L"):
        assert shown in text
    for shown in ("mean 0.5 / 0.4 / 0.3", "deviation 0.1 / 0.1 / 0.1"):
        assert shown in text


def test_pictures_that_can_not_be_shown_leave_the_page_whole(tmp_path):
    dataset = small_bundle.data_set(tmp_path / "data")
    for row in dataset.split("train"):
        (dataset.root / row.path).write_bytes(b"no picture")
    page = Page(report.render_data(tmp_path / "data"))
    assert "img" not in page.tags
    assert all(label in page.text.getvalue() for label in dataset.classes)


def test_a_data_page_of_very_many_classes_stays_small(tmp_path):
    labels = tuple(f"class {number:03}" for number in range(300))
    small_bundle.data_set(tmp_path / "data", labels)
    page = Page(report.render_data(tmp_path / "data"))
    assert all(label in page.text.getvalue() for label in labels)
    assert page.tags.count("img") == report._GRID


def test_a_model_whose_spec_names_no_network_is_called_by_its_trainer(tmp_path):
    small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    card = bundle.read(tmp_path / "bundle").model_copy(update={"spec": {"seed": 0}})
    bundle.write(tmp_path / "bundle", card)
    evaluation.evaluate(tmp_path / "data", tmp_path / "bundle", tmp_path / "out", 64)
    page = Page((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert "by hand: 100.00 % right" in page.text.getvalue()
