"""A small Stanford Dogs: the official structure, three breeds, real .mat files."""

import hashlib
import io
from collections import Counter
from types import SimpleNamespace

import pytest
from PIL import Image
from small_stanford import mat_of, names, numbers_of
from test_archive import tar_of
from test_folder_dataset import CHECKS

from mlops_spec import manifest
from mlops_spec.errors import StepError
from trainers.datasets import stanford_dogs
from trainers.datasets.stanford_dogs import splits_of


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


def picture(name):
    color = tuple(hashlib.sha256(name.encode()).digest()[:3])
    held = io.BytesIO()
    Image.new("RGB", (12, 10), color).save(held, "JPEG")
    return held.getvalue()


def replica(folder, *, images=None, training=None, test=None):
    """The two archives; what is given takes the place of what the replica has."""
    lists = dict(zip(("train_list.mat", "test_list.mat"), map(mat_of, names()), strict=True))
    for name, given in (("train_list.mat", training), ("test_list.mat", test)):
        lists[name] = lists[name] if given is None else given
    listed = [*names()[0], *names()[1]] if images is None else images
    tar_of([(f"Images/{name}", picture(name)) for name in listed], folder / "images.tar")
    tar_of([*lists.items(), ("file_list.mat", b"x")], folder / "lists.tar")
    return spec(folder / "images.tar", folder / "lists.tar")


def spec(images, lists, **changes):
    given = {
        "kind": "stanford_dogs",
        "images": str(images),
        "lists": str(lists),
        "images_sha256": None,
        "lists_sha256": None,
        "max_files": 100,
        "max_bytes": 10_000_000,
        "max_file_bytes": 1_000_000,
        "extensions": (".jpg",),
        "checks": {**CHECKS, "leaks": "ignore", "conflicts": "ignore"},
    }
    return stanford_dogs.Spec.model_validate({**given, **changes})


def refused(data, out):
    with pytest.raises(StepError) as caught:
        stanford_dogs.prepare(data, out)
    assert not out.exists()
    assert caught.value.cure
    return caught.value.message


# The split


def test_twelve_thousand_training_images_are_9600_and_2400():
    assert Counter(splits_of(12_000)) == {"train": 9_600, "val": 2_400}
    assert splits_of(12) == ["val", *["train"] * 4, "val", *["train"] * 4, "val", "train"]


def test_every_fifth_training_image_in_the_official_order_validates(tmp_path):
    dataset = stanford_dogs.prepare(replica(tmp_path), tmp_path / "out")
    training, test = names()
    assert {row.path for row in dataset.split("val")} == {*training[::5]}
    assert {row.path for row in dataset.split("train")} == {*training} - {*training[::5]}
    assert {row.path for row in dataset.split("test")} == {*test}
    assert [len(dataset.split(split)) for split in manifest.SPLITS] == [19, 5, 13]


def test_the_order_is_that_of_the_list_and_not_of_the_names(tmp_path):
    training = names()[0][::-1]
    dataset = stanford_dogs.prepare(replica(tmp_path, training=mat_of(training)), tmp_path / "out")
    assert {row.path for row in dataset.split("val")} == {*training[::5]}


def test_a_label_is_the_breed_without_its_number(tmp_path):
    dataset = stanford_dogs.prepare(replica(tmp_path), tmp_path / "out")
    assert dataset.classes == ("Chihuahua", "Mexican_hairless", "bloodhound")
    assert Counter(row.label for row in dataset.rows) == {
        "Chihuahua": 15,
        "Mexican_hairless": 10,
        "bloodhound": 12,
    }
    assert manifest.read(tmp_path / "out").content(dataset.rows[0])


# What it is read from


def test_the_fingerprint_is_that_of_both_archives(tmp_path):
    data = replica(tmp_path)
    digests = {
        f"{name}.sha256": hashlib.sha256((tmp_path / f"{name}.tar").read_bytes()).hexdigest()
        for name in ("images", "lists")
    }
    assert stanford_dogs.fingerprint(data) == digests
    urls = spec("http://a/i.tar?x=1", "http://a/l.tar", images_sha256="1" * 64, lists_sha256=None)
    assert stanford_dogs.fingerprint(urls) == {
        "images.source": "http://a/i.tar",
        "images.sha256": "1" * 64,
        "lists.source": "http://a/l.tar",
        "lists.sha256": "",
    }
    found = dict(stanford_dogs.contradictions(SimpleNamespace(data=urls)))
    assert found.keys() == {"data.lists_sha256"}
    assert "a URL needs data.lists_sha256" in found["data.lists_sha256"]
    assert [*stanford_dogs.contradictions(SimpleNamespace(data=data))] == []


def test_an_archive_that_is_not_there_is_named_before_any_work(tmp_path):
    gone = SimpleNamespace(data=spec(tmp_path / "images.tar", tmp_path / "lists.tar"))
    found = dict(stanford_dogs.contradictions(gone))
    assert found.keys() == {"data.images", "data.lists"}
    with pytest.raises(StepError, match=r"there is no file .*images\.tar"):
        stanford_dogs.fingerprint(spec(tmp_path / "images.tar", tmp_path / "lists.tar"))


# Lists and images that are not of one another


def test_images_that_are_missing_or_not_listed_are_counted_and_named(tmp_path):
    listed = [*names()[0], *names()[1]]
    strange = "n02085620-Chihuahua/n02085620_999.jpg"
    said = refused(replica(tmp_path, images=[*listed[4:], strange]), tmp_path / "out")
    shown = ", ".join(sorted(listed[:4])[:3])
    assert f"4 listed, but not in the archive ({shown}, ...); " in said
    assert f"1 in the archive, but not listed ({strange})" in said


def test_an_image_in_both_lists_is_named(tmp_path):
    training, test = names()
    data = replica(tmp_path, test=mat_of([*test, training[3]]))
    assert f"1 listed twice ({training[3]})" in refused(data, tmp_path / "out")


def test_numbers_that_do_not_go_with_the_breeds_are_named(tmp_path):
    training = names()[0]
    numbers = numbers_of(training)
    numbers[0] = [2]
    said = refused(replica(tmp_path, training=mat_of(training, numbers)), tmp_path / "out")
    assert "1 breeds of several numbers (Chihuahua)" in said
    assert "1 numbers of several breeds (2)" in said


def test_lists_without_the_test_list_are_refused(tmp_path):
    data = replica(tmp_path)
    tar_of([("train_list.mat", mat_of(names()[0]))], tmp_path / "lists.tar")
    assert "there is no test_list.mat in the lists" in refused(data, tmp_path / "out")
