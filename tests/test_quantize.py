"""A model in int8: what it costs is measured, and too much is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
import small_bundle
import small_cnn
from scoring import SETTINGS, serving

from deployers.scoring import accuracy, choice, int8, quantize, quantized
from deployers.scoring.settings import Serving
from mlops_spec import bundle, files, manifest
from mlops_spec.errors import MlopsError
from mlops_spec.judging import evidence


def words(made, out, **changes):
    given = {"max-drop": 0.05, "images": 20, "batch": 16, **changes}
    folders = {"bundle": made[0], "data": made[1], "out": out}
    return [
        str(word) for key, value in {**folders, **given}.items() for word in (f"--{key}", value)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle that is quantised, and its data."""
    made = small_cnn.make(tmp_path_factory.mktemp("cnn"))
    assert quantize.main(words(made, made[0])) == 0
    return made


@pytest.fixture
def folder(made, tmp_path):
    """Such a bundle, to be damaged."""
    for path in made[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def refused(folder):
    how = Serving.model_validate({**SETTINGS, "precision": "int8"})
    with pytest.raises(MlopsError) as caught:
        choice.choose(folder, bundle.read(folder), how, folder)
    assert caught.value.cure
    return caught.value.message


def test_an_int8_network_is_nearly_as_right(made):
    record = quantized.read(made[0])
    first, *others = record.precisions
    assert (first.engine, first.precision, first.difference) == ("onnxruntime", "fp32", 0)
    assert first.accuracy > 0.9
    assert {"onnxruntime"} <= {one.engine for one in others if one.precision == "int8"}
    assert all(abs(one.difference) <= 0.05 for one in others)
    assert all(0 < one.largest_change < 0.3 for one in others if one.precision != "fp32")
    assert (record.test_images, record.calibration_images) == (90, 20)
    assert record.bundle == bundle.digest(made[0])
    rows = manifest.read(made[1]).split("val")
    assert record.calibration_digest != manifest.digest(rows[:20]), "from all over the split"
    how = Serving.model_validate({**SETTINGS, "precision": "int8"})
    chosen = choice.choose(made[0], bundle.read(made[0]), how, made[0])
    assert 0 < chosen.golden_difference < 0.3


def test_the_first_and_the_last_layer_and_the_preprocessing_stay_as_they_are(made):
    model = onnx.load(made[0] / "model.int8.onnx")
    takes = {node.name: node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    quantised = {
        name for name, value in takes.items() if value.endswith("_DequantizeLinear_Output")
    }
    assert (len(takes), quantised) == (3, {"second", "third"})
    assert [node.name for node in model.graph.node if "logits" in node.output] == ["linear"]


def test_the_same_pictures_give_the_same_bytes(made, tmp_path):
    """In another process, whose sets have another order and which has one thread."""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "deployers.scoring.quantize", *words(made, tmp_path)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    ours = made[0] / quantized.NETWORK
    assert files.sha256_file(tmp_path / quantized.NETWORK) == files.sha256_file(ours)
    machine, others = (quantized.read(place).model_dump() for place in (made[0], tmp_path))
    assert {**machine, "machine": {}} == {**others, "machine": {}}


def test_too_much_lost_accuracy_is_refused_as_a_result(made, tmp_path, monkeypatch, capsys):
    plain = accuracy.measure

    def worse(*each):
        found = plain(*each)
        lost = {"accuracy": 0.9, "lost": 8, "difference": -8 / 90}
        return [one.model_copy(update=lost) if one.precision == "int8" else one for one in found]

    (tmp_path / quantized.NETWORK).write_bytes(b"of before")
    monkeypatch.setattr(accuracy, "measure", worse)
    assert quantize.main(words(made, tmp_path)) == 3
    said = capsys.readouterr().out
    assert "int8 is refused: by " in said
    assert "loses 0.0889 accuracy, max_drop is 0.05" in said
    assert not (tmp_path / quantized.NETWORK).exists()
    for path in made[0].glob("model.*"):
        if path.name != quantized.NETWORK:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert "int8 was refused: it loses 0.0889 accuracy" in refused(tmp_path)


def test_the_engine_that_loses_most_decides(made):
    record = quantized.read(made[0])
    some = [one for one in record.precisions if one.precision == "int8"][:1]
    bad = some[0].model_copy(update={"engine": "bad", "difference": -0.06, "lost": 5})
    good = some[0].model_copy(update={"engine": "good", "difference": 0.01})
    for both in ((bad, good), (good, bad)):
        judged = record.model_copy(update={"precisions": both, "max_drop": 0.05})
        assert (judged.worst().engine, judged.refused()) == ("bad", True)
        assert not judged.model_copy(update={"max_drop": 0.06}).refused()


def test_a_bundle_that_was_not_quantised_says_so(folder):
    (folder / quantized.RECORD).unlink()
    assert "was not quantised" in refused(folder)


def test_an_int8_network_that_was_changed_is_refused(folder):
    path = folder / quantized.NETWORK
    path.write_bytes(path.read_bytes()[:-1])
    assert "is not the file that quantisation recorded" in refused(folder)
    path.unlink()
    assert "is not the file that quantisation recorded" in refused(folder)


def test_an_int8_network_of_another_model_is_refused(folder, tmp_path_factory):
    other = small_bundle.make(tmp_path_factory.mktemp("other"))
    for name in (quantized.NETWORK, quantized.RECORD):
        (other / name).write_bytes((folder / name).read_bytes())
    assert "is of another model" in refused(other)


def test_an_int8_network_that_somebody_forged_keeps_the_contract_all_the_same(folder):
    path = folder / quantized.NETWORK
    onnx.save(small_bundle.network(np.eye(3, dtype=np.float32), small_bundle.HOW), path)
    changed(folder, network=files.sha256_file(path))
    assert "not images tensor(uint8)" in refused(folder)


def changed(folder, **values):
    path = folder / quantized.RECORD
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


@pytest.mark.parametrize(
    "values",
    [
        {"precisions": []},
        {"precisions": 3},
        {"max_drop": "none"},
        {"max_drop": -1.0},
        {"more": 1},
        {"network": 7},
        {"bundle": None},
    ],
)
def test_a_damaged_record_is_refused(folder, values):
    changed(folder, **values)
    assert "int8.json is damaged" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"{" * 2000, b"\xff", b"x" * 2**21])
def test_a_record_that_is_none_is_refused(folder, content):
    (folder / quantized.RECORD).write_bytes(content)
    assert "int8.json" in refused(folder)


def test_a_record_is_not_read_to_its_end_without_one(folder):
    (folder / quantized.RECORD).write_bytes(b"x" * 2**21)
    assert "has more than 1048576 bytes" in refused(folder)


def test_a_newer_record_is_refused(folder):
    changed(folder, schema_version=99)
    assert "newer" in refused(folder)


def test_a_model_without_anything_to_quantise_is_an_error(tmp_path, capsys):
    small_bundle.data_set(tmp_path / "data")
    small_bundle.make(tmp_path / "bundle")
    given = words((tmp_path / "bundle", tmp_path / "data"), tmp_path / "out")
    with pytest.raises(SystemExit) as caught:
        quantize.main(given)
    assert caught.value.code == 1
    assert "nothing that int8 is for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_weights_in_other_files_are_not_read(folder, made, tmp_path, capsys):
    model = onnx.load(folder / "model.onnx")
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="w", size_threshold=0)
    document = json.loads((folder / "model.json").read_text("utf-8"))
    document["digests"]["model.onnx"] = files.sha256_file(path)
    (folder / "model.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SystemExit):
        quantize.main(words((folder, made[1]), tmp_path / "out"))
    assert "weights in other files" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong", [{"images": 0}, {"max-drop": 2}, {"max-drop": "nan"}, {"batch": "x"}]
)
def test_wrong_words_are_refused(made, tmp_path, wrong):
    with pytest.raises(SystemExit) as caught:
        quantize.main(words(made, tmp_path, **wrong))
    assert caught.value.code == 2


class Answers:
    """An engine that knows the truth, but for some images."""

    def __init__(self, targets, wrong):
        self.left = [(target + 1) % 3 if i in wrong else target for i, target in enumerate(targets)]

    def logits(self, pictures):
        said, self.left = self.left[: len(pictures)], self.left[len(pictures) :]
        return np.eye(3, dtype=np.float32)[said]


def test_answers_are_compared_image_by_image(made):
    dataset, card = manifest.read(made[1]), bundle.read(made[0])
    targets = dataset.targets(dataset.split("test"))
    some = {
        accuracy.REFERENCE: Answers(targets, {0, 1, 2}),
        ("other", "int8"): Answers(targets, {2, 3, 4, 5, 6}),
    }
    first, other = accuracy.measure(some, dataset, card, 7)
    assert (first.accuracy, first.gained, first.lost) == (87 / 90, 0, 0)
    assert (other.accuracy, other.gained, other.lost) == (85 / 90, 2, 4)
    assert other.difference == pytest.approx(-2 / 90)
    assert other.interval[0] < other.difference < other.interval[1]


def test_a_drop_is_excluded_by_enough_images_only():
    some = [accuracy.drop_excluded(evidence.Pairs(0, 0, images)) for images in (10, 100, 10_000)]
    assert some == sorted(some, reverse=True)
    assert some[0] > 0.2
    assert some[2] < 0.001
    assert accuracy.drop_excluded(evidence.Pairs(0, 10, 100)) > 0.1
    assert accuracy.drop_excluded(evidence.Pairs(10, 0, 100)) < 0.01


def test_a_service_answers_in_int8(made, tmp_path):
    image = next((made[1] / "images").glob("test*.png"))
    expected = bundle.load(made[0]).probabilities([image.read_bytes()])[0]
    changes = {"precision": "int8", "golden_tolerance": 0.5, "int8": made[0]}
    with serving(made[0], tmp_path, **changes) as client:
        _, answer = client.score(image.read_bytes(), "/score?top=0")
        said = {each["label"]: each["probability"] for each in answer["predictions"][0]["top"]}
        assert said == pytest.approx(dict(zip(small_cnn.LABELS, expected, strict=True)), abs=0.3)
        assert client.ask("GET", "/model")[2]["precision"] == "int8"


def test_what_int8_is_for():
    assert int8.to_quantise(small_cnn.network(np.eye(16), np.zeros(16))) == [
        "second",
        "third",
        "add",
        "pool",
    ]


def test_a_registered_model_stays_as_it_is_and_a_run_is_told(made, tmp_path):
    step, out = tmp_path / "register", tmp_path / "out"
    files.write_json(step / "version.json", {"path": str(made[0])})
    given = ["--registered", str(step), *words(made, out)[2:]]
    before = {path.name: files.sha256_file(path) for path in made[0].iterdir()}
    assert quantize.main(given) == 0
    assert {path.name: files.sha256_file(path) for path in made[0].iterdir()} == before
    summary, worst = files.read_json(out / "summary.json"), quantized.read(out).worst()
    assert (summary["refused"], summary["unread"]) == (False, [])
    assert summary["metrics"] == {"accuracy": worst.accuracy, "difference": worst.difference}
    assert "90 test images" in summary["text"]
    with pytest.raises(SystemExit):
        quantize.main([*given, "--bundle", str(made[0])])


def test_a_service_that_is_not_told_where_int8_is_says_so(made):
    how = Serving.model_validate({**SETTINGS, "precision": "int8"})
    with pytest.raises(MlopsError, match="nobody said where the int8 network is"):
        choice.choose(made[0], bundle.read(made[0]), how)
