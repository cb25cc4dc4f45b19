"""The card of a bundle comes from anywhere: whatever is not exactly right is said, with a cure."""

import base64
import json
import os

import pytest
import small_bundle

from mlops_spec import bundle, card, pretrained
from mlops_spec.errors import MlopsError, StateError
from mlops_spec.files import NewerStateError

GOLDEN = {
    "image": base64.b64encode(b"an image").decode(),
    "scores": [0.7, 0.2, 0.1],
    "labels": ["blue"],
    "why": "sure",
}


@pytest.fixture
def folder(tmp_path):
    golden = (card.Golden.model_validate(GOLDEN),)
    return small_bundle.make(tmp_path / "bundle", golden=golden, metrics={"accuracy": 1.0})


def changed(folder, change):
    path = folder / "model.json"
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def put(*keys, value):
    def change(document):
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


def refused(folder):
    """What is said of a card that is refused; the same to whoever asks."""
    with pytest.raises(StateError) as caught:
        bundle.load(folder)
    with pytest.raises(StateError):
        pretrained.digest(folder)
    said = caught.value
    assert "model.json" in said.message
    assert said.cure
    assert "pydantic" not in str(said)
    return str(said)


def test_what_is_written_is_read(folder):
    found = bundle.read(folder)
    assert found.golden[0].model_dump(mode="json") == GOLDEN
    assert found.temperature == 1.0
    text = (folder / "model.json").read_text("utf-8")
    assert text == card.text(found)
    assert json.loads(text)["schema_version"] == 2


WRONG = {
    "an unknown key": (put("label", value=["a"]), "label unknown key; did you mean labels?"),
    "an unknown key within": (put("preprocessing", "crop", value=8), "preprocessing.crop unknown"),
    "an unknown key in a golden": (put("golden", 0, "score", value=1), "golden.0.score unknown"),
    "no labels": (put("labels", value=[]), "labels"),
    "labels that are text": (put("labels", value="abc"), "labels"),
    "an empty label": (put("labels", value=["", "green", "red"]), "labels.0"),
    "a label twice": (put("labels", value=["red", "green", "red"]), "one of them twice"),
    "a label that is a number": (put("labels", value=[1, 2, 3]), "labels.0"),
    "a size that is text": (put("preprocessing", "resize", value="8"), "preprocessing.resize"),
    "a size that is half": (put("preprocessing", "resize", value=8.5), "preprocessing.resize"),
    "a size that is true": (put("preprocessing", "resize", value=True), "preprocessing.resize"),
    "a size of nothing": (put("preprocessing", "input_size", value=0), "preprocessing.input_size"),
    "a huge size": (put("preprocessing", "resize", value=10**9), "preprocessing.resize"),
    "two channels": (put("preprocessing", "channels", value=2), "preprocessing.channels"),
    "a mean short": (put("preprocessing", "mean", value=[0.0, 0.0]), "mean has 2 values for 3"),
    "a deviation long": (put("preprocessing", "std", value=[1.0] * 4), "std has 4 values for 3"),
    "a deviation of 0": (put("preprocessing", "std", value=[1.0, 0.0, 1.0]), "std.1"),
    "scores short": (put("golden", 0, "scores", value=[0.5, 0.5]), "2 scores for 3 labels"),
    "a score of 2": (put("golden", 0, "scores", 0, value=2.0), "golden.0.scores.0"),
    "a golden of another class": (put("golden", 0, "labels", value=["pink"]), "class pink"),
    "a golden for no reason": (put("golden", 0, "why", value="nice"), "golden.0.why"),
    "a golden that is no base64": (put("golden", 0, "image", value="?"), "golden.0.image"),
    "no temperature": (put("temperature", value=None), "temperature"),
    "a temperature of 0": (put("temperature", value=0), "temperature"),
    "another activation": (put("activation", value="relu"), "activation"),
    "a number that is none": (put("metrics", "accuracy", value=float("nan")), "NaN is no number"),
    "one that is infinite": (put("temperature", value=float("inf")), "Infinity is no number"),
    "one of them in the spec": (put("spec", "seed", value=float("-inf")), "-Infinity is no number"),
    "a digest that is a number": (put("digests", "model.onnx", value=7), "digests.model.onnx"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_known_is_refused(folder, name):
    change, said = WRONG[name]
    changed(folder, change)
    assert said in refused(folder)


@pytest.mark.parametrize("name", card.Card.model_fields)
def test_a_missing_key_is_refused(folder, name):
    changed(folder, lambda document: document.pop(name))
    assert f"lacks {name}" in refused(folder)


@pytest.mark.parametrize("name", card.Preprocessing.model_fields)
def test_a_missing_key_of_preprocessing_is_refused(folder, name):
    changed(folder, lambda document: document["preprocessing"].pop(name))
    assert f"preprocessing.{name}" in refused(folder)


def test_a_newer_version_is_left_alone_and_an_older_one_trained_again(folder):
    changed(folder, put("schema_version", value=3))
    with pytest.raises(NewerStateError, match="schema version 3, this one reads up to 2"):
        bundle.read(folder)
    changed(folder, put("schema_version", value=1))
    said = refused(folder)
    assert "older mlops_spec (schema version 1, this one reads 2)" in said
    assert "train again" in said


@pytest.mark.parametrize("version", ["2", 2.0, True, None, 0, -1, [2]])
def test_a_version_that_is_no_number_is_refused(folder, version):
    changed(folder, put("schema_version", value=version))
    assert "schema_version" in refused(folder)


BYTES = {
    "nothing": b"",
    "cut off": b'{"schema_version": 2, "labels": [',
    "a list": b"[]",
    "not UTF-8": b'{"schema_version": 2, "trainer": "\xff"}',
    "nested deeply": b'{"schema_version": 2, "spec": ' + b"[" * 200_000,
    "an endless number": b'{"schema_version": 2, "seed": ' + b"9" * 10_000 + b"}",
    "a number beyond all": b'{"schema_version": 2, "seed": 1e999}',
}


@pytest.mark.parametrize("name", BYTES)
def test_a_damaged_card_is_refused(folder, name):
    (folder / "model.json").write_bytes(BYTES[name])
    assert "is damaged" in refused(folder)


@pytest.mark.parametrize("depth", range(150, 1050, 50))
def test_nesting_that_only_some_readers_follow_is_refused(folder, depth):
    nested = "[" * depth + "]" * depth
    path = folder / "model.json"
    text = path.read_text("utf-8").replace('"seed": 0', f'"seed": {nested}')
    path.write_text(text, encoding="utf-8")
    try:
        bundle.read(folder)
    except MlopsError as error:
        assert error.cure  # noqa: PT017 - shallow ones may be read


def test_a_huge_card_is_not_even_read(folder, monkeypatch):
    os.truncate(folder / "model.json", 2**40)  # sparse
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda _: pytest.fail("it was read"))
    assert f"{2**40} bytes" in refused(folder)


def test_many_mistakes_are_said_in_a_few_words(folder):
    changed(folder, lambda document: document.update({f"odd{i}": 0 for i in range(500)}))
    said = refused(folder)
    assert "and 497 more" in said
    assert len(said) < 1000


def test_a_card_that_could_not_be_read_again_is_not_written(folder):
    before = (folder / "model.json").read_bytes()
    odd = bundle.read(folder).model_copy(update={"metrics": {"loss": float("nan")}})
    with pytest.raises(StateError, match="can not be: Out of range float"):
        bundle.write(folder, odd)
    assert (folder / "model.json").read_bytes() == before
