"""The linear probe: what a model is compared with, from the same training images."""

from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image
from several_labels import prepared, written
from small_training import PRESET, pictures

from mlops_spec import files, manifest
from mlops_spec.judging import evaluation
from mlops_spec.rows import Row
from trainers.benchmarks import linear_probe, majority

CONF = PRESET.parents[1] / "benchmark"


def probe(**changes) -> linear_probe.Spec:
    values = yaml.safe_load((CONF / "linear_probe.yaml").read_text("utf-8"))
    small = {"channels": 1, "resize": 8, "input_size": 8}
    return linear_probe.Spec.model_validate({**values, **small, **changes})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return manifest.read(pictures(tmp_path_factory.mktemp("pictures")))


def grey(dataset, split):
    from PIL import Image

    rows = dataset.split(split)
    arrays = [np.asarray(Image.open(dataset.root / row.path), float).ravel() for row in rows]
    return np.stack(arrays) / 255, dataset.targets(rows)


def test_on_pixels_it_is_logistic_regression(dataset):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    found = linear_probe.predict(probe(), dataset)
    (x, y), (x_test, _) = grey(dataset, "train"), grey(dataset, "test")
    scaler = StandardScaler().fit(x * np.sqrt(len(x) / (len(x) - 1)))
    scale = x.std(axis=0, ddof=1)
    other = LogisticRegression(C=1 / (2 * 0.01 * len(x)), tol=1e-8, max_iter=5000)
    expected = other.fit((x - scaler.mean_ / np.sqrt(len(x) / (len(x) - 1))) / scale, y)
    mean = x.mean(axis=0)
    assert found == pytest.approx(expected.predict_proba((x_test - mean) / scale), abs=2e-3)


def test_it_is_the_same_each_time_and_learns_from_training_images_alone(dataset, tmp_path):
    first, second = (linear_probe.predict(probe(), dataset) for _ in range(2))
    assert np.array_equal(first, second)
    metrics = evaluation.baseline(dataset, first, tmp_path, 2)
    assert metrics["accuracy"] > 0.6, "stripes are easy to tell apart"
    kept = [row for row in dataset.rows if row.split != "test"]
    test = [row for row in dataset.rows if row.split == "test"]
    other = manifest.write(tmp_path / "other", dataset.root, [*kept, *test[::-1][:-2]])
    rest = {row.path: p for row, p in zip(dataset.split("test"), first, strict=True)}
    for row, p in zip(other.split("test"), linear_probe.predict(probe(), other), strict=True):
        assert p == pytest.approx(rest[row.path], abs=1e-5)


def test_features_of_a_backbone_are_what_a_classifier_is_given(dataset):
    found = linear_probe.predict(probe(backbone="small_cnn"), dataset)
    assert found.shape == (len(dataset.split("test")), 3)
    assert found.sum(axis=1) == pytest.approx(1)
    assert not np.allclose(found, linear_probe.predict(probe(), dataset), atol=0.05)


@pytest.mark.parametrize("kind", [linear_probe, majority])
def test_images_with_several_labels_have_probabilities_each_their_own(tmp_path, kind):
    dataset = prepared(written(tmp_path), tmp_path / "out")
    spec = probe(channels=3) if kind is linear_probe else majority.Spec(kind="majority")
    found = kind.predict(spec, dataset)
    assert found.shape == (len(dataset.split("test")), len(dataset.classes))
    metrics = evaluation.baseline(dataset, found, tmp_path / "judged", 2)
    assert "micro_f1" in metrics
    if kind is linear_probe:
        assert metrics["micro_f1"] > 0.8, "bright colours are linear in pixels"
    else:
        shares = dataset.targets(dataset.split("train")).mean(axis=0)
        assert found[0] == pytest.approx(shares)


def test_always_the_commonest_class_is_right_as_often_as_it_is_there(dataset, tmp_path):
    found = majority.predict(majority.Spec(kind="majority"), dataset)
    metrics = evaluation.baseline(dataset, found, tmp_path, 2)
    labels = [row.label for row in dataset.split("train")]
    assert found[0] == pytest.approx([labels.count(c) / len(labels) for c in dataset.classes])
    rows = dataset.split("test")
    assert metrics["accuracy"] == pytest.approx(np.mean([row.label == "0" for row in rows]))
    assert files.read_json(tmp_path / "metrics.json")["labels"] == list(dataset.classes)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"weights": "imagenet"}, "benchmark.weights"),
        ({"backbone": "resnet18"}, "benchmark.weights"),
        ({"resize": 7}, "benchmark.resize"),
    ],
)
def test_what_can_not_work_is_said_before_any_work(changes, key):
    whole = SimpleNamespace(benchmark=probe(**changes))
    assert [key for key, _ in linear_probe.contradictions(whole)] == [key]
    assert [*linear_probe.contradictions(SimpleNamespace(benchmark=probe()))] == []


def test_what_never_changes_in_training_tells_nothing(tmp_path):
    """The mean of equal pixels is not quite their value; that difference is no feature."""
    chance = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 30), ("val", 6), ("test", 30)):
        for i in range(count):
            label = "ab"[i % 2]
            picture = np.full((8, 8), 200, np.uint8)
            picture[:4] = chance.integers(0, 120, (4, 8)) + 100 * (i % 2)
            if split == "test" and i % 4 > 1:
                picture[7, 7] = 180
            path = tmp_path / f"{split}{i}.png"
            Image.fromarray(picture).save(path)
            rows.append(Row(path.name, label, split, files.sha256_file(path)))
    dataset = manifest.write(tmp_path, tmp_path, rows)
    found = linear_probe.predict(probe(), dataset)
    assert (found.argmax(axis=1) == dataset.targets(dataset.split("test"))).mean() == 1
