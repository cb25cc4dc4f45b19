"""Whether a bundle may be used as what was registered: asked by whoever uses it, without a key."""

import argparse
import json
import shutil
import sys

import lineages
import pytest
import small_bundle

from mlops_spec import files, verification
from mlops_spec.errors import StepError
from mlops_spec.judging import evaluation
from mlops_spec.step_spec import StepSpec
from trainers import _verbs

FILES = ("model.safetensors", "model.onnx", "model.json", "report.html")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return lineages.registered(tmp_path_factory.mktemp("made") / "bundle", lineages.key())


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "bundle")


def edit(folder, **values):
    """Changes a card to another one that is in order."""
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))


ROTATED = [*small_bundle.LABELS[1:], small_bundle.LABELS[0]]


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ROTATED},
        {"temperature": 9.0},
        {"activation": "sigmoid"},
        {"preprocessing": {**small_bundle.HOW.model_dump(mode="json"), "resize": 9}},
        {"metrics": {"accuracy": 1.0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_card_that_is_in_order_is_seen(folder, change):
    digest = lineages.digest(folder)
    assert verification.damage(folder, digest) == verification.damage(folder) == ""
    edit(folder, **change)
    assert verification.damage(folder, digest) == "its model.json was changed"
    assert verification.damage(folder) == "its model.json was changed"


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_looked_at(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content + b" ")
    assert verification.damage(folder) == f"its {name} was changed"
    (folder / name).unlink()
    assert verification.damage(folder) == f"its {name} is gone"


def test_a_bundle_of_another_digest_is_seen(folder):
    why = "its weights or network were changed"
    assert verification.damage(folder, "ab" * 32) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "its lineage.json is damaged"),
        ('{"schema_version": 2}', "its lineage.json was written by a newer mlops_spec"),
    ],
)
def test_a_lineage_that_tells_nothing_is_damage(folder, text, why):
    (folder / "lineage.json").write_text(text)
    assert verification.damage(folder) == why


def test_a_lineage_that_leaves_the_card_out_is_damage(folder):
    said = json.loads((folder / "lineage.json").read_bytes())
    del said["files"]["model.json"]
    lineages.changed(folder, files=said["files"])
    assert verification.damage(folder) == "its model.json was changed"


def test_a_name_can_not_move_the_cursor(folder):
    said = json.loads((folder / "lineage.json").read_bytes())
    lineages.changed(folder, files={**said["files"], "\x1b[2J": "ab" * 32})
    assert verification.damage(folder) == "its \\x1b[2J is gone"


def test_an_older_bundle_without_a_lineage_has_its_card_asked(folder):
    (folder / "lineage.json").unlink()
    assert verification.damage(folder) == ""
    edit(folder, digests={})
    assert verification.damage(folder) == "its model.json is of other weights or network"
    (folder / "model.json").write_text("{")
    assert verification.damage(folder) == "its model.json is damaged"


def test_weights_are_read_once_and_no_signature_is_checked(folder, monkeypatch):
    read, sha256_file = [], files.sha256_file
    monkeypatch.setattr(files, "sha256_file", lambda path: read.append(path) or sha256_file(path))
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)  # no package cryptography
    known = {name for name in sys.modules if name.startswith("cryptography")}
    assert verification.damage(folder, lineages.digest(folder)) == ""
    assert read.count(folder / "model.onnx") == 2  # and once for the digest that this test asked
    assert {name for name in sys.modules if name.startswith("cryptography")} == known


# Judging


def judge(folder, out):
    asked = {"batch_size": 4, "top_k": 1, "robustness": 0}
    spec = StepSpec.model_validate({"evaluation": asked})
    return _verbs.evaluate(spec, argparse.Namespace(data=None, bundle=folder, out=out))


@pytest.fixture
def judged(monkeypatch):
    found = []
    result = {"test_images": 6}
    monkeypatch.setattr(evaluation, "evaluate", lambda _, one, *__: found.append(one) or {**result})
    return found


def test_a_champion_that_was_changed_is_not_judged(folder, tmp_path, judged):
    edit(folder, labels=ROTATED)
    with pytest.raises(StepError, match=r"not what was registered: its model\.json was") as e:
        judge(folder, tmp_path / "out")
    assert "it is registered anew, not trained" in e.value.cure
    assert judged == []


def test_a_sound_champion_and_what_training_left_are_judged(folder, tmp_path, judged):
    judge(folder, tmp_path / "out")
    trained = small_bundle.make(tmp_path / "trained")
    judge(trained, tmp_path / "out")
    assert judged == [folder, trained]
