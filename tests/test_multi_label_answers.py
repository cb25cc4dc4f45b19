"""Answers with several labels or none: learned, judged, reported and served."""

from pathlib import Path

import numpy as np
import pytest
import small_bundle
import torch
from reports import HOW, SETTINGS
from scoring import free_port, stop
from several_labels import LOOSE, picture, prepared, table_of, written
from sklearn import metrics as sklearn_metrics
from small_training import settings
from test_evaluation import gap_over_bins
from test_local_target import ask
from toyproject import Project

from mlops_spec import bundle, files, manifest, report
from mlops_spec.errors import MlopsError
from mlops_spec.judging import evaluation, gate
from mlops_spec.judging.metrics import average_precision, measure, per_class
from mlops_spec.judging.scores import Scores, mistakes
from mlops_spec.rows import Row, Rows
from trainers._torch import losses


@pytest.fixture
def dataset(tmp_path):
    return prepared(written(tmp_path), tmp_path / "out")


def scores(seed: int, images: int = 60) -> Scores:
    chance = np.random.default_rng(seed)
    labels, targets = ("a", "b", "c"), (chance.random((images, 3)) < (0.5, 0.3, 0.1)).astype(float)
    probabilities = (chance.random((images, 3)) + targets * 0.4).clip(0, 1).round(1)  # with ties
    names = ["|".join(np.array(labels)[each > 0]) for each in targets]
    rows = Rows.of(Row(f"{i}.png", name, "test", str(i)) for i, name in enumerate(names))
    return Scores(rows, labels, targets, probabilities)


@pytest.mark.parametrize("seed", range(6))
def test_metrics_are_those_of_their_definitions(seed) -> None:
    drawn = scores(seed)
    true, said = drawn.targets.astype(bool), drawn.probabilities >= 0.5
    found = measure(drawn)
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(true, said))
    for name in ("micro", "macro"):
        expected = sklearn_metrics.f1_score(true, said, average=name, zero_division=0)
        assert found[f"{name}_f1"] == pytest.approx(expected)
    each = [
        sklearn_metrics.average_precision_score(t, p)
        for t, p in zip(true.T, drawn.probabilities.T, strict=True)
    ]
    assert found["mean_average_precision"] == pytest.approx(np.mean(each))
    p = np.where(true, drawn.probabilities, 1 - drawn.probabilities).clip(1e-15)
    assert found["log_loss"] == pytest.approx(-np.log(p).mean())
    assert found["brier"] == pytest.approx(((drawn.probabilities - true) ** 2).mean())
    auc = sklearn_metrics.roc_auc_score(true, drawn.probabilities, average="macro")
    assert found["roc_auc"] == pytest.approx(auc)
    sure = np.maximum(drawn.probabilities, 1 - drawn.probabilities).ravel()
    assert found["calibration_error"] == pytest.approx(gap_over_bins(sure, (true == said).ravel()))
    expected = sklearn_metrics.precision_recall_fscore_support(true, said, zero_division=0)
    mine = per_class(drawn)
    np.testing.assert_allclose([mine.precision, mine.recall, mine.f1, mine.images], expected)


def test_classes_that_no_image_or_every_image_has_are_no_part_of_the_mean() -> None:
    rows = Rows.of(Row(f"{i}.png", name, "test", str(i)) for i, name in enumerate(("a|b", "b")))
    targets, p = np.array([[1.0, 1, 0], [0, 1, 0]]), np.array([[0.9, 0.8, 0.1], [0.2, 0.7, 0.3]])
    found = measure(Scores(rows, ("a", "b", "c"), targets, p))
    assert (found["roc_auc"], found["mean_average_precision"]) == (1, 1)
    found = measure(Scores(rows, ("b", "c"), targets[:, 1:], p[:, 1:]))
    assert not {"roc_auc", "mean_average_precision"} & {*found}


def test_the_order_of_a_model_s_classes_is_no_matter() -> None:
    rows = Rows.of([Row("0.png", "a|b", "test", "0"), Row("1.png", "b", "test", "1")])
    p = np.array([[0.9, 0.8], [0.9, 0.1]])
    drawn = Scores(rows, ("b", "a"), np.array([[1.0, 1], [1, 0]]), p)
    assert drawn.answers == ["a|b", "b"]
    assert measure(drawn)["accuracy"] == 1


def test_a_class_that_no_image_has_has_no_precision() -> None:
    assert average_precision(np.zeros(3, bool), np.array([0.1, 0.2, 0.3])) == 0


def test_mistakes_come_by_their_least_sure_label() -> None:
    rows = Rows.of(Row(f"{i}.png", "a", "test", str(i)) for i in range(3))
    targets = np.array([[1.0, 0.0]] * 3)
    sure = np.array([[0.9, 0.9], [0.6, 0.55], [0.9, 0.1]])
    assert mistakes(Scores(rows, ("a", "b"), targets, sure), 5) == [0, 1]


def several_bundle(folder_: Path) -> Path:
    """A bundle that answers each colour that is bright, whatever the others are."""
    how = small_bundle.HOW.model_copy(update={"mean": (0.25,) * 3})
    return small_bundle.make(folder_, how=how, scale=20.0, activation="sigmoid")


def test_a_bundle_is_judged_by_all_labels_of_an_image(dataset, tmp_path) -> None:
    folder_ = several_bundle(tmp_path / "bundle")
    found = evaluation.evaluate(tmp_path / "out", folder_, tmp_path / "judged", HOW)
    assert 0 < found["accuracy"] <= 1
    rows = table_of(tmp_path / "judged" / "predictions.csv")
    right = sum(row["label"] == row["prediction"] for row in rows) / len(rows)
    assert found["accuracy"] == pytest.approx(right)
    assert len(dataset.split("test")) == len(rows)
    each = files.read_json(tmp_path / "judged" / "metrics.json")["classes"]
    assert {*each[0]} == {
        *("label", "images", "recall", "precision", "f1", "roc_auc", "average_precision"),
    }
    files.write_json(tmp_path / "gate" / "verdict.json", gate.Verdict("promote", "").document())
    places = [tmp_path / name for name in ("out", "bundle", "judged", "gate")]
    report.write(report.Inputs(*places, settings=SETTINGS), tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Confusion" not in page
    assert "mean average precision" in page
    assert page.count("<polyline") == 6, "a curve a class, twice"


def test_a_label_that_the_model_never_met_makes_an_answer_wrong(tmp_path) -> None:
    rows = [
        Row(f"{split}{i}", label, split, f"{split}{i}")
        for split in manifest.SPLITS
        for i, label in enumerate(("red", "green", "blue", "red|wasp"))
    ]
    for row in rows:
        files.write_bytes(tmp_path / row.path, picture(row.label.removesuffix("|wasp"), 0))
    rows = [row._replace(sha256=files.sha256_file(tmp_path / row.path)) for row in rows]
    manifest.write(tmp_path, tmp_path, rows, manifest.Notes(multi_label=True))
    several_bundle(tmp_path / "bundle")
    evaluation.evaluate(tmp_path, tmp_path / "bundle", tmp_path / "judged", HOW)
    found = evaluation.read(tmp_path / "judged", manifest.read(tmp_path).split("test"))
    assert dict(zip([row.label for row in found.rows], found.right, strict=True))["red|wasp"] == 0


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.usefixtures("dataset")
def test_a_model_of_the_other_sort_is_refused(tmp_path, turned) -> None:
    if turned:
        small_bundle.data_set(tmp_path / "out")
        folder_ = several_bundle(tmp_path / "bundle")
    else:
        folder_ = small_bundle.make(tmp_path / "bundle")
    with pytest.raises(MlopsError, match="choose another registered_model"):
        evaluation.evaluate(tmp_path / "out", folder_, tmp_path / "judged", HOW)


def test_probabilities_are_each_their_own() -> None:
    logits = np.array([[-800.0, 0.0, 800.0, 2.0]], np.float32)
    np.testing.assert_allclose(bundle.sigmoid(logits), [[0, 0.5, 1, 1 / (1 + np.exp(-2))]])
    assert bundle.sigmoid(np.array([20.0], np.float32)) < 1, "its log loss is finite"


def test_the_loss_is_binary_cross_entropy_of_every_class() -> None:
    logits, targets = torch.randn(5, 3), torch.randint(2, (5, 3)).float()
    plain = losses.Binary(settings(), None)(logits, targets)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(plain, expected)
    smooth = losses.Binary(settings(label_smoothing=0.2), None)(logits, targets)
    wanted = targets * 0.8 + 0.1
    torch.testing.assert_close(
        smooth, torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
    )


def test_the_focal_loss_is_that_of_its_paper() -> None:
    from trainers._torch.vision import torchvision

    logits, targets = torch.randn(5, 3), torch.randint(2, (5, 3)).float()
    found = losses.Binary(settings(loss="focal", focal_gamma=1.7), None)(logits, targets)
    expected = torchvision.ops.sigmoid_focal_loss(logits, targets, -1, 1.7, "mean")
    torch.testing.assert_close(found, expected)


def test_a_rare_class_counts_as_often_as_it_is_absent() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(losses.rarer(targets), torch.tensor([1 / 3, 3.0]))
    both = losses.Binary(settings(), losses.rarer(targets))(torch.zeros(4, 2), targets)
    counted = (3 * 1 / 3 + 1) + (1 * 3.0 + 3)  # each class: with it and without it alike
    torch.testing.assert_close(both, torch.tensor(counted * np.log(2) / 8, dtype=torch.float32))


def test_a_class_that_every_image_has_is_learned() -> None:
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(losses.rarer(targets), torch.tensor([1.0, 1.0]))


def test_judging_counts_images_of_which_all_labels_are_right() -> None:
    logits = torch.tensor([[2.0, -1.0], [2.0, 1.0], [-1.0, -1.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    loss, right = losses.judge(logits, targets)
    assert right == 2
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    torch.testing.assert_close(loss, each.mean(dim=1).sum())


@pytest.mark.slow
def test_from_a_table_to_the_answer_of_a_service(tmp_path) -> None:
    file = written(tmp_path, each=40)
    project, port = Project(tmp_path), free_port()
    words = ("+experiment=several_labels", f"data.file={file}", "model.channels=3")
    loose = [f"data.checks.{name}={value}" for name, value in LOOSE.items()]
    answer = project.run(*words, *loose, "training.epochs=8", "target=local", f"target.port={port}")
    assert answer.returncode == 0, answer.stderr + answer.stdout
    (folder_,) = tmp_path.glob(".mlops/models/*/*")
    assert bundle.read(folder_).activation == "sigmoid"
    assert bundle.read(folder_).metrics["accuracy"] > 0.8
    status, found = ask(port, "POST", "/score", picture("blue|red", 999))
    stop(tmp_path)
    assert status == 200
    (said,) = found["predictions"]
    assert said["labels"] == ["blue", "red"]
    scores = {each["label"]: each["probability"] for each in said["top"]}
    assert min(scores["blue"], scores["red"]) > 0.5 > scores["green"]
