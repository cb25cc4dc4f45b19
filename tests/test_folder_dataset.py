import csv
import hashlib
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from mlops_spec import files, manifest
from mlops_spec.errors import StepError
from trainers.datasets import folder

ANTS_BEES = Path(__file__).resolve().parents[2] / "shared" / "data" / "ants_bees"


CHECKS = {
    "unreadable": "skip",
    "mislabelled": "skip",
    "animated": "skip",
    "duplicates": "ignore",
    "near_duplicates": "ignore",
    "leaks": "error",
    "conflicts": "error",
    "small_classes": "ignore",
    "min_images": 1,
    "near_distance": 10,
    "max_pixels": 10_000,
}


def spec(root, **changes):
    made = {
        "kind": "folder",
        "root": str(root),
        "train": None,
        "val": None,
        "test": None,
        "multi_label": False,
        "val_fraction": 0.2,
        "test_fraction": 0.2,
        "split_seed": 0,
        "group": None,
        "extensions": (".jpg", ".jpeg", ".png"),
    }
    given = {name: changes.pop(name) for name in CHECKS.keys() & changes.keys()}
    return folder.Spec.model_validate({**made, **changes, "checks": {**CHECKS, **given}})


def photos(root, *labels, count=10):
    """Small pictures, each of its own content."""
    for label in labels:
        for number in range(count):
            color = tuple(hashlib.sha256(f"{root.name}/{label}/{number}".encode()).digest()[:3])
            path = root / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 10), color).save(path)
    return root


@pytest.fixture
def root(tmp_path):
    return photos(tmp_path / "photos", "ants", "bees")


def findings(out):
    return {f["path"]: f["what"] for f in files.read_json(out / "dataset.json")["findings"]}


def splits(dataset):
    return Counter((row.label, row.split) for row in dataset.rows)


# Real photographs


@pytest.mark.skipif(not ANTS_BEES.is_dir(), reason="the photographs of ants and bees are not here")
def test_real_photographs_are_397_good_ones_and_one_that_is_none(tmp_path, capsys):
    wish = spec(ANTS_BEES, train="train", test="val", max_pixels=100_000_000)
    dataset = folder.prepare(wish, tmp_path)
    assert len(dataset.rows) == 397
    assert dataset.classes == ("ants", "bees")
    assert findings(tmp_path) == {
        "train/ants/imageNotFound.gif": ".gif is not among data.extensions"
    }
    assert "left out train/ants/imageNotFound.gif" in capsys.readouterr().out
    assert {row.split for row in dataset.rows if row.path.startswith("val/")} == {"test"}
    for row in dataset.rows[:5]:
        assert files.sha256_file(dataset.root / row.path) == row.sha256


# Good files


def test_a_folder_without_splits_is_split_class_by_class(root, tmp_path):
    dataset = folder.prepare(spec(root), tmp_path / "out")
    for label in ("ants", "bees"):
        found = {split: splits(dataset)[label, split] for split in manifest.SPLITS}
        assert found == {"train": 6, "val": 2, "test": 2}
    assert manifest.read(tmp_path / "out") == dataset


def test_folders_of_splits_are_kept_and_only_what_is_missing_is_split_off(tmp_path):
    root = tmp_path / "photos"
    photos(root / "learn", "ants", "bees")
    photos(root / "exam", "ants", "bees", count=3)
    dataset = folder.prepare(spec(root, train="learn", test="exam"), tmp_path / "out")
    for label in ("ants", "bees"):
        found = {split: splits(dataset)[label, split] for split in manifest.SPLITS}
        assert found == {"train": 8, "val": 2, "test": 3}
    assert all(row.path.startswith("exam/") == (row.split == "test") for row in dataset.rows)


def test_a_split_folder_inside_the_training_folder_is_no_class(tmp_path):
    root = photos(tmp_path / "photos", "ants", "bees")
    photos(root / "exam", "ants", "bees", count=3)
    dataset = folder.prepare(spec(root, test="exam"), tmp_path / "out")
    assert dataset.classes == ("ants", "bees")
    assert splits(dataset)["ants", "test"] == 3


def test_another_seed_splits_otherwise(root, tmp_path):
    one, other = (folder.prepare(spec(root, split_seed=s), tmp_path / str(s)) for s in (0, 1))
    assert {*one.split("test")} != {*other.split("test")}
    assert splits(one) == splits(other)


def test_pictures_in_deeper_folders_and_loud_names_count(root, tmp_path):
    for grey, name in enumerate(("ants/more/deep.png", "bees/LOUD.PNG")):
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("L", (5, 5), grey).save(root / name, "PNG")
    dataset = folder.prepare(spec(root), tmp_path / "out")
    labels = {row.path: row.label for row in dataset.rows}
    assert labels["ants/more/deep.png"] == "ants"
    assert labels["bees/LOUD.PNG"] == "bees"


def test_hidden_folders_are_no_classes(root, tmp_path):
    files.write_text(root / ".thumbnails" / "a.png", "x")
    assert folder.prepare(spec(root), tmp_path / "out").classes == ("ants", "bees")


def test_the_photographs_stay_where_and_as_they_are(root, tmp_path):
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    folder.prepare(spec(root), tmp_path / "out")
    assert {path: path.read_bytes() for path in root.rglob("*.png")} == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["dataset.json", "manifest.csv"]


# What the data set is read from


def test_the_fingerprint_names_every_file_by_place_and_content(root):
    files.write_text(root / "ants" / "notes.txt", "notes")
    found = folder.fingerprint(spec(root))
    assert found.keys() == {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert found["ants/0.png"] == files.sha256_file(root / "ants" / "0.png")


def test_the_fingerprint_changes_with_content_and_not_with_time(root):
    before = folder.fingerprint(spec(root))
    os.utime(root / "ants" / "0.png", ns=(0, 0))
    assert folder.fingerprint(spec(root)) == before
    Image.new("L", (5, 5)).save(root / "ants" / "0.png")
    assert folder.fingerprint(spec(root)) != before


def test_the_manifest_is_a_table_for_people_too(root, tmp_path):
    folder.prepare(spec(root), tmp_path / "out")
    with (tmp_path / "out" / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0].keys() == {"path", "label", "split", "sha256"}
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)


@pytest.mark.parametrize(
    ("settings", "key", "what"),
    [
        ({"train": "a", "test": "a"}, "data.test", "overlaps data.train"),
        ({"train": "a", "val": "b", "test": "b"}, "data.test", "overlaps data.val"),
        ({"train": "a", "val": "a/ants"}, "data.val", "overlaps data.train"),
        ({"train": "a/ants", "val": "a"}, "data.val", "overlaps data.train"),
        ({"train": "a", "test": "../elsewhere"}, "data.test", "sub-folder of data.root"),
        ({"val": "a/ants"}, "data.train", "name it too"),
        ({"val": "."}, "data.train", "name it too"),
        ({"train": "a", "test": "c"}, "data.test", "data.test=null draws it"),
    ],
)
def test_folders_that_would_share_images_are_refused(tmp_path, settings, key, what):
    for name in ("a", "b"):
        photos(tmp_path / "photos" / name, "ants", "bees", count=2)
    photos(tmp_path / "elsewhere", "ants", count=2)
    data = spec(tmp_path / "photos", **settings)
    found = dict(folder.contradictions(SimpleNamespace(data=data)))
    assert what in found[key]


@pytest.mark.parametrize(
    ("settings", "cure"),
    [({"train": "a", "test": "c"}, "correct data.test"), ({"root": "gone"}, "correct data.root")],
)
def test_a_folder_that_is_gone_since_is_named(tmp_path, settings, cure):
    photos(tmp_path / "photos" / "a", "ants", "bees", count=2)
    data = spec(**{"root": tmp_path / "photos", **settings})
    for use in (folder.fingerprint, lambda data: folder.prepare(data, tmp_path / "out")):
        with pytest.raises(StepError, match=r"there is no folder .*(photos/c|gone)") as error:
            use(data)
        assert error.value.cure == f"bring it back, or {cure}"


def test_what_systems_leave_beside_pictures_is_passed_over(root, tmp_path):
    for name in ("ants/.hidden.png", "ants/Thumbs.db", "__MACOSX/ants/1.png", ".git/x.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"junk")
    dataset = folder.prepare(spec(root), tmp_path / "out")
    assert dataset.classes == ("ants", "bees")
    assert len(dataset.rows) == 20
    assert findings(tmp_path / "out") == {}


def test_a_name_that_is_not_utf8_is_left_out_by_name(root, tmp_path):
    (root / "ants" / "1.png").rename(root / "ants" / os.fsdecode(b"caf\xe9.png"))
    folder.fingerprint(spec(root))
    dataset = folder.prepare(spec(root), tmp_path / "out")
    assert len(dataset.rows) == 19
    assert findings(tmp_path / "out") == {"ants/caf\\xe9.png": "has a name that is not UTF-8"}


def test_home_is_understood(root, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder.fingerprint(spec("~/photos")) == folder.fingerprint(spec(root))
