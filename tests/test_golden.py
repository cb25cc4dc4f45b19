"""Golden inputs are few, and show what a model is like."""

import base64
import hashlib
import io

import numpy as np
import pytest
import small_bundle
from PIL import Image

from mlops_spec import bundle, files, golden, manifest
from mlops_spec.rows import Row


def chosen(right, sure, classes=None):
    classes = classes or ["a"] * len(right)
    return golden.choose(np.array(right, bool), np.array(sure), classes)


def test_mistakes_doubtful_and_sure_answers_are_chosen():
    right = [False] * 5 + [True] * 10
    sure = [0.9, 0.1, 0.5, 0.8, 0.2] + [i / 10 for i in range(10)]
    assert chosen(right, sure) == [
        (0, "mistake"),
        (3, "mistake"),
        (1, "doubtful"),
        (4, "doubtful"),
        (5, "doubtful"),
        (6, "doubtful"),
        (14, "sure"),
        (13, "sure"),
    ]


def test_different_classes_are_preferred():
    sure = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert chosen([False] * 6, sure, list("aababb"))[:2] == [(0, "mistake"), (2, "mistake")]
    found = chosen([True] * 30, [*range(30)], [*"abcdef" * 5])
    assert len({place % 6 for place, why in found if why == "sure"}) == 6


def test_a_model_without_mistakes_has_doubtful_and_sure_ones():
    found = chosen([True] * 20, [i / 20 for i in range(20)])
    assert [place for place, why in found if why == "doubtful"] == [0, 1]
    assert [place for place, why in found if why == "sure"] == [19, 18, 17, 16, 15, 14]


def test_one_that_is_always_wrong_has_no_sure_ones():
    assert {why for _, why in chosen([False] * 20, [0.5] * 20)} == {"mistake", "doubtful"}


@pytest.mark.parametrize("images", range(9))
def test_of_few_images_each_is_taken_once_at_most(images):
    found = chosen([i % 3 > 0 for i in range(images)], [0.5] * images)
    places = [place for place, _ in found]
    assert len({*places}) == len(places) <= images
    assert len(places) >= min(images, 3)


def test_margins_are_of_the_second_class_or_of_the_least_sure_label():
    probabilities = np.array([[0.7, 0.1, 0.2], [0.4, 0.4, 0.2]])
    np.testing.assert_allclose(golden.margins(probabilities, several=False), [0.5, 0.0])
    np.testing.assert_allclose(golden.margins(probabilities, several=True), [0.4, 0.2])


# What is stored


def encoded(array, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def noise(height, width, *channels):
    """A photograph's size in bytes, and colours that a JPEG keeps: coarse patches."""
    chance = np.random.default_rng(0)
    coarse = chance.integers(0, 256, (height // 20, width // 20, *channels), np.uint8)
    fine = chance.integers(0, 8, (height, width, *channels), np.uint8)
    return (
        np.kron(coarse, np.ones((20, 20, *channels[1:], *[1] * len(channels)), np.uint8)) // 2
        + fine
    )


def test_a_small_file_is_stored_as_it_is():
    content = encoded(noise(40, 60, 3))
    assert golden.stored(content, small_bundle.HOW) == content


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(600, 900), (900, 600)])
def test_a_large_file_is_stored_small_and_looks_the_same_to_the_network(size, channels):
    how = bundle.Preprocessing(
        channels=channels, resize=128, input_size=112, mean=(0.0,) * channels, std=(1.0,) * channels
    )
    content = encoded(noise(*size, 3))
    assert len(content) > 500_000
    kept = golden.stored(content, how)
    assert len(kept) < 60_000
    before, after = (bundle.pixels(one, how).astype(int) for one in (content, kept))
    assert abs(before - after).mean() < 4, "of 255"
    assert golden.stored(content, how) == kept


def test_what_is_huge_to_the_network_is_still_stored_small():
    how = bundle.Preprocessing(channels=1, resize=4096, input_size=4096, mean=(0.0,), std=(1.0,))
    assert len(golden.stored(encoded(noise(1000, 1000)), how)) < 300_000


@pytest.fixture
def judged(tmp_path):
    """A model, and validation images: colours some of which deceive, others hardly a colour."""
    model = bundle.load(small_bundle.make(tmp_path / "bundle", temperature=0.5))
    rows = []
    for split in manifest.SPLITS:
        for number in range(24):
            label = small_bundle.LABELS[number % 3]
            color = np.array(small_bundle.COLORS[label]) * (number + 1) // 24
            color = np.roll(color, number % 8 == 0)  # another colour
            path = f"{split}{number}.png"
            large = number == 23
            array = np.full((900, 900, 3) if large else (9, 9, 3), color, np.uint8)
            if large:
                array += np.random.default_rng(0).integers(
                    0, 1 + (array == 0) * 9, array.shape, np.uint8
                )
            files.write_bytes(tmp_path / path, encoded(array))
            digest = hashlib.sha256((tmp_path / path).read_bytes()).hexdigest()
            rows.append(Row(path, label, split, digest))
    dataset = manifest.write(tmp_path, tmp_path, rows)
    rows = dataset.split("val")
    return model, dataset, rows, model.logits([dataset.content(row) for row in rows])


def test_scores_are_the_answers_for_exactly_the_stored_bytes(judged):
    model, dataset, rows, _ = judged
    found = golden.record(*judged)
    assert [one.why for one in found] == ["mistake"] * 2 + ["doubtful"] * 3 + ["sure"] * 3
    originals = {hashlib.sha256(dataset.content(row)).hexdigest() for row in rows}
    images = [base64.b64decode(one.image) for one in found]
    again = [hashlib.sha256(image).hexdigest() not in originals for image in images]
    assert sum(again) == 1, "the large one is sure, and was encoded again"
    answers = model.probabilities(images)
    np.testing.assert_allclose([one.scores for one in found], answers, atol=6e-7)
    for one, answer in zip(found, answers, strict=True):
        right = model.card.labels[answer.argmax()] == one.labels[0]
        assert right == (one.why == "sure") or one.why == "doubtful"


def test_the_choice_is_the_same_each_time(judged):
    assert golden.record(*judged) == golden.record(*judged)


def test_a_mistake_that_is_none_once_it_is_stored_is_left_out(judged, monkeypatch):
    _, dataset, rows, _ = judged
    wrong = next(row for row in rows if row.path == "val16.png")
    good = next(row for row in rows if row.label == wrong.label and row.path != wrong.path)
    contents = {dataset.content(wrong): dataset.content(good)}
    monkeypatch.setattr(golden, "stored", lambda content, _: contents.get(content, content))
    assert len(golden.record(*judged)) == 7


def test_several_labels_are_all_named(tmp_path):
    model = bundle.load(small_bundle.make(tmp_path / "bundle", activation="sigmoid"))
    rows = []
    for number, label in enumerate(["", "blue|green", "blue|green|red"] * 3):
        path = f"{number}.png"
        color = [255 * (name in label) for name in ("red", "green", "blue")]
        files.write_bytes(tmp_path / path, encoded(np.full((8, 8, 3), color, np.uint8)))
        digest = hashlib.sha256((tmp_path / path).read_bytes()).hexdigest()
        rows.append(Row(path, label, manifest.SPLITS[number // 3], digest))
    dataset = manifest.write(tmp_path, tmp_path, rows, manifest.Notes(multi_label=True))
    rows = dataset.split("val")
    logits = model.logits([dataset.content(row) for row in rows])
    found = golden.record(model, dataset, rows, logits)
    assert {one.labels for one in found} == {(), ("blue", "green"), ("blue", "green", "red")}
