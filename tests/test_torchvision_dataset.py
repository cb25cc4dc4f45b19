"""torchvision's data sets from local copies in the structure that torchvision expects."""

import struct
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_checks import put, scene
from test_folder_dataset import CHECKS

from mlops_spec.errors import StepError
from trainers.datasets import torchvision

pytestmark = pytest.mark.slow  # importing torch

SPLITS = {"train": "trainval", "test": "test"}
BREEDS = ("Abyssinian", "shiba_inu", "Bengal")


def spec(root, **changes):
    made = {
        "kind": "torchvision",
        "dataset": "OxfordIIITPet",
        "root": str(root),
        "download": False,
        "splits": {"train": {"split": "trainval"}, "val": None, "test": {"split": "test"}},
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "group": None,
        "extensions": (".jpg", ".png"),
        "checks": {**CHECKS, "max_pixels": 10**8},
    }
    return torchvision.Spec.model_validate({**made, **changes})


@pytest.fixture
def pets(tmp_path):
    """A small replica of the Oxford-IIIT pets: ten training and four test images a breed."""
    home = tmp_path / "local" / "oxford-iiit-pet"
    lists = {"trainval": range(10), "test": range(10, 14)}
    for split, numbers in lists.items():
        lines = []
        for label, breed in enumerate(BREEDS, 1):
            for number in numbers:
                put(home / "images" / f"{breed}_{number}.jpg", scene(label * 100 + number))
                lines.append(f"{breed}_{number} {label} {1 + breed.islower()} 1\n")
        (home / "annotations").mkdir(exist_ok=True)
        (home / "annotations" / f"{split}.txt").write_text("".join(lines))
    return tmp_path / "local"


def test_a_local_copy_keeps_its_files_its_classes_and_its_test_split(pets, tmp_path):
    dataset = torchvision.prepare(spec(pets), tmp_path / "out")
    assert dataset.classes == ("Abyssinian", "Bengal", "Shiba Inu")
    counts = Counter((row.label, row.split) for row in dataset.rows)
    shares = {"train": 8, "val": 2, "test": 4}
    assert counts == {(c, s): n for c in dataset.classes for s, n in shares.items()}
    originals = {p.read_bytes() for p in pets.rglob("*.jpg")}
    assert {dataset.content(row) for row in dataset.rows} == originals
    test = {p.read_bytes() for p in pets.rglob("*_1[0-3].jpg")}
    assert {dataset.content(row) for row in dataset.split("test")} == test


@pytest.mark.parametrize(
    ("which", "classes"),
    [("category", ("Abyssinian", "Bengal", "Shiba Inu")), ("binary-category", ("Cat", "Dog"))],
)
def test_classes_are_what_the_arguments_ask_for(pets, tmp_path, which, classes):
    asked = {s: {"split": n, "target_types": which} for s, n in SPLITS.items()}
    dataset = torchvision.prepare(spec(pets, splits={**asked, "val": None}), tmp_path / "out")
    assert dataset.classes == classes
    originals = {p.read_bytes(): p.name for p in pets.rglob("*.jpg")}
    assert len(dataset.rows) == len(originals)
    if which == "binary-category":
        for row in dataset.rows:
            assert (row.label == "Dog") == originals[dataset.content(row)].startswith("shiba")


@pytest.mark.parametrize(
    "item", [(1, "a text"), (1, None), (1, scene(1)), (1, np.ones(40)), (1, 2, 3), 1]
)
def test_what_is_no_picture_with_a_class_is_refused(item):
    with pytest.raises(StepError, match="list gives no picture with one class") as error:
        list(torchvision._items([item], usual=True))
    assert "data.splits" in error.value.cure
    assert list(torchvision._items([(1, np.uint8(2))], usual=True)) == [(1, 2)]


def test_names_of_classes_are_not_given_to_other_targets(tmp_path):
    class Faces(list):
        classes = ("smiles", "does not")

    faces = Faces([(scene(number), number) for number in range(2)])
    asked = {"target_type": "identity"}
    assert [label for _, label in torchvision._written(faces, asked, tmp_path)] == ["0", "1"]
    assert [label for _, label in torchvision._written(faces, {}, tmp_path)] == [*Faces.classes]


def test_the_fingerprint_of_a_local_copy_is_all_its_files(pets):
    before = torchvision.fingerprint(spec(pets))
    assert before.keys() == {
        "torchvision",
        *(str(p.relative_to(pets)) for p in pets.rglob("*") if p.is_file()),
    }
    assert torchvision.fingerprint(spec(pets, dataset="Food101")) != before
    listed = pets / "oxford-iiit-pet" / "annotations" / "test.txt"
    listed.write_text(listed.read_text().replace("_10 2 2 1", "_10 1 2 1"))
    assert torchvision.fingerprint(spec(pets)) != before
    assert torchvision.fingerprint(spec(pets, download=True)) == {"torchvision": "OxfordIIITPet"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"dataset": "ImageFolder"}, "data=folder data.root=path/to/photos"),
        ({"dataset": "DatasetFolder"}, "data=folder data.root=path/to/photos"),
        ({"root": "."}, "should be a folder of its own"),
        ({"root": ".."}, "should be a folder of its own"),
    ],
)
def test_what_would_go_wrong_later_is_said_before_any_work(pets, monkeypatch, changes, what):
    project = pets.parent / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    wish = spec(**{"root": pets, **changes})
    ((key, said),) = torchvision.contradictions(SimpleNamespace(data=wish))
    assert key == f"data.{next(iter(changes))}"
    assert what in said


def test_an_interrupted_attempt_is_written_over(pets, tmp_path):
    stale = tmp_path / "out" / "images" / "test" / "0000000.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half")
    assert len(torchvision.prepare(spec(pets), tmp_path / "out").rows) == 42


def test_a_set_of_arrays_becomes_png_files(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng, pictures = np.random.default_rng(0), {}
    for name, count in (("train", 40), ("t10k", 20)):
        pictures[name] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        head = struct.pack(">IIII", 0x803, count, 28, 28)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(head + pictures[name].tobytes())
        labels = np.arange(count, dtype=np.uint8) % 10
        head = struct.pack(">II", 0x801, count)
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    splits = {"train": {"train": True}, "val": None, "test": {"train": False}}
    wish = spec(tmp_path, dataset="MNIST", splits=splits, val_fraction=0.25)
    dataset = torchvision.prepare(wish, tmp_path / "out")
    assert dataset.classes[0] == "0 - zero"
    assert Counter(row.split for row in dataset.rows) == {"train": 30, "val": 10, "test": 20}
    written = sorted((tmp_path / "out" / "images" / "test").iterdir())
    assert all(
        (np.asarray(Image.open(p)) == w).all()
        for p, w in zip(written, pictures["t10k"], strict=True)
    )


def test_a_set_without_splits_is_drawn(tmp_path):
    for label in ("Forest", "River"):
        for number in range(10):
            seed = number + 50 * (label == "River")
            put(tmp_path / "eurosat" / "2750" / label / f"{label}_{number}.jpg", scene(seed))
    splits = {"train": {}, "val": None, "test": None}
    wish = spec(tmp_path, dataset="EuroSAT", splits=splits)
    dataset = torchvision.prepare(wish, tmp_path / "out")
    assert Counter(row.split for row in dataset.rows) == {"train": 12, "val": 4, "test": 4}
    assert dataset.classes == ("Forest", "River")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"dataset": "OxfordPets"}, "torchvision has no 'OxfordPets'; did you mean OxfordIIITPet"),
        ({"dataset": "os"}, "torchvision has no 'os'"),
        ({"splits": {"train": {"split": "all"}}}, "OxfordIIITPet does not take"),
        ({"splits": {"train": {"part": 1}}}, "OxfordIIITPet does not take"),
        ({"root": "empty"}, "OxfordIIITPet is not complete below empty"),
    ],
)
def test_what_can_not_be_had_is_said_with_the_cure(pets, tmp_path, monkeypatch, changes, what):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(StepError, match=what):
        torchvision.prepare(spec(changes.pop("root", pets), **changes), tmp_path / "out")


def test_a_file_that_is_missing_is_named(pets, tmp_path):
    (pets / "oxford-iiit-pet" / "images" / "Bengal_3.jpg").unlink()
    with pytest.raises(StepError, match=r"Bengal_3\.jpg is not there"):
        torchvision.prepare(spec(pets), tmp_path / "out")


def test_a_download_without_a_network_is_said_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(StepError, match="OxfordIIITPet could not be downloaded") as error:
        torchvision.prepare(spec(tmp_path / "none", download=True), tmp_path / "out")
    assert "go online once" in str(error.value)


def test_what_can_not_work_is_said_before_any_work(tmp_path):
    wish = spec(tmp_path / "nowhere", splits={"train": None}, val_fraction=0.9)
    found = dict(torchvision.contradictions(SimpleNamespace(data=wish)))
    assert found.keys() == {"data.splits.train", "data.root", "data.test_fraction"}
