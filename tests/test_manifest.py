import hashlib
import random
import shutil
import sys
from collections import Counter

import numpy as np
import pytest

from mlops_spec import files, manifest
from mlops_spec.errors import MlopsError, StepError
from mlops_spec.manifest import Finding, Notes
from mlops_spec.rows import Row
from mlops_spec.splits import stratified

FRACTIONS = {"test": 1 / 3, "val": 0.1}


def digest_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def some_rows(labels=("ant", "bee")):
    return [
        Row(f"{label}/{split}-{i}.png", label, split, digest_of(f"{label} {split} {i}"))
        for label in labels
        for split in manifest.SPLITS
        for i in range(2)
    ]


def drawn(labels, fractions, seed, groups=None):
    """Splits of images that are told apart by their position."""
    return stratified(labels, fractions, seed, [str(i) for i in range(len(labels))], groups)


@pytest.mark.parametrize("seed", range(5))
def test_each_class_is_split_in_the_same_proportions(seed):
    labels = np.repeat(["ant", "bee", "wasp"], [97, 61, 42])
    np.random.default_rng(seed).shuffle(labels)
    found = Counter(zip(labels, drawn(labels, FRACTIONS, seed), strict=True))
    for label, size in Counter(labels).items():
        assert found[label, "test"] == round(size / 3)
        assert found[label, "val"] == round(size / 10)
        assert found[label, "train"] == size - round(size / 3) - round(size / 10)


def test_a_split_is_repeatable_and_has_a_seed_of_its_own():
    labels = ["ant", "bee"] * 50
    random.seed(1)
    first = drawn(labels, FRACTIONS, 0)
    random.seed(2)
    assert drawn(labels, FRACTIONS, 0) == first
    assert drawn(labels, FRACTIONS, 1) != first


def test_the_split_of_a_class_does_not_depend_on_the_other_classes():
    alone = drawn(["ant"] * 40, FRACTIONS, 0)
    together = drawn(["ant"] * 40 + ["bee"] * 25, FRACTIONS, 0)
    assert together[:40] == alone


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("sizes", [[100, 10, 10], [80, *[2] * 10], [20] * 5, [6, 1, 3], [7] * 3])
def test_a_large_subject_leaves_something_for_every_split(sizes, seed):
    groups = [f"p{number}" for number, size in enumerate(sizes) for _ in range(size)]
    found = drawn(["ant"] * len(groups), {"test": 0.2, "val": 0.1}, seed, groups)
    assert {*found} == {"train", "val", "test"}
    assert len({*zip(groups, found, strict=True)}) == len(sizes)


@pytest.mark.parametrize("seed", range(5))
def test_a_split_that_all_are_too_large_for_gets_the_smallest(seed):
    groups = [name for name, size in (("a", 10), ("b", 8), ("c", 6)) for _ in range(size)]
    found = drawn(["ant"] * 24, {"test": 0.2}, seed, groups)
    assert {name for name, split in zip(groups, found, strict=True) if split == "test"} == {"c"}


def test_a_subject_goes_where_it_fits_and_the_others_keep_the_proportions():
    groups = [f"p{number}" for number in range(30) for _ in range(40 if number == 7 else 2)]
    for seed in range(10):
        found = Counter(drawn(["ant"] * len(groups), {"test": 0.2, "val": 0.1}, seed, groups))
        assert found == {"test": 20, "val": 10, "train": 68}


def test_single_images_are_drawn_as_ever():
    """The digest of every data set that was drawn before depends on it."""
    alone = drawn(["ant"] * 24, FRACTIONS, 0)
    assert "".join(split[1] for split in alone) == "errrererrrearaerererrrre"
    assert drawn(["ant"] * 24, FRACTIONS, 0, [str(i) for i in range(24)]) == alone


@pytest.mark.parametrize("more", [1, 20, 300])
def test_a_data_set_may_grow_and_its_images_stay(more):
    """But for the few at the edge of what a split takes."""
    before = [f"old {i}" for i in range(1000)]
    after = [f"new {i}" for i in range(more)] + before
    first = stratified(["ant"] * 1000, FRACTIONS, 0, before)
    then = stratified(["ant"] * len(after), FRACTIONS, 0, after)[more:]
    moved = sum(old != new for old, new in zip(first, then, strict=True))
    assert moved <= (2 if more == 1 else 40)
    taken = sum(new == "test" != old for old, new in zip(first, then, strict=True))
    assert taken <= 20, "of what a model of before was trained on"


def test_without_fractions_everything_is_training():
    assert drawn(["ant", "bee"], {}, 0) == ["train", "train"]


def test_the_digest_ignores_place_and_order():
    rows = some_rows()
    moved = [row._replace(path=f"elsewhere/{row.path}") for row in reversed(rows)]
    assert manifest.digest(moved) == manifest.digest(rows)


@pytest.mark.parametrize("field", ["label", "split", "sha256"])
def test_the_digest_depends_on_content_label_and_split(field):
    rows = some_rows()
    changed = [rows[0]._replace(**{field: "other"}), *rows[1:]]
    assert manifest.digest(changed) != manifest.digest(rows)


def test_the_digest_counts_images_of_equal_content():
    rows = some_rows()
    assert manifest.digest([*rows, rows[0]._replace(path="copy.png")]) != manifest.digest(rows)


def test_a_manifest_reads_as_it_was_written_whatever_the_order(tmp_path):
    rows = some_rows(("bee", 'a, "quoted" ant', "wespe ü"))
    written = manifest.write(tmp_path, tmp_path / "images", rows[::-1])
    assert manifest.read(tmp_path) == written
    assert written.rows == tuple(sorted(rows))
    assert written.classes == ('a, "quoted" ant', "bee", "wespe ü")


def test_two_orders_of_the_same_images_write_the_same_bytes(tmp_path):
    for name, rows in {"one": some_rows(), "two": some_rows()[::-1]}.items():
        manifest.write(tmp_path / name, tmp_path / name / "images", rows)
    for name in ("manifest.csv", "dataset.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_images_inside_the_folder_move_with_it(tmp_path):
    manifest.write(tmp_path / "here", tmp_path / "here" / "images", some_rows())
    shutil.move(tmp_path / "here", tmp_path / "there")
    dataset = manifest.read(tmp_path / "there")
    assert dataset.root / dataset.rows[0].path == tmp_path / "there/images/ant/test-0.png"


def test_an_image_that_was_changed_since_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"first")
    row = Row("a.png", "a", "test", hashlib.sha256(b"first").hexdigest())
    dataset = manifest.Dataset(tmp_path, ("a",), (row,), "")
    assert dataset.content(row) == b"first"
    (tmp_path / "a.png").write_bytes(b"later")
    with pytest.raises(MlopsError, match="was changed after the data set was prepared"):
        dataset.content(row)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (("ant", "train"), ("bee", "train"), "same picture as x.png, of another class"),
        (("ant", "train"), ("ant", "test"), "(test) is the same picture as x.png (train)"),
    ],
)
def test_one_picture_twice_is_a_finding_where_it_would_mislead(tmp_path, one, other, what):
    rows = [*some_rows(), Row("x.png", *one, "same"), Row("y.png", *other, "same")]
    manifest.write(tmp_path, tmp_path, rows)
    (finding,) = files.read_json(tmp_path / "dataset.json")["findings"]
    assert finding["path"] == "y.png"
    assert what in finding["what"]


def test_what_is_told_of_a_picture_already_is_not_told_again(tmp_path):
    rows = [*some_rows(), *(Row(f"{name}.png", "ant", name, "same") for name in ("test", "train"))]
    told = Finding("train.png", "leaks", "leaks")
    manifest.write(tmp_path, tmp_path, rows, Notes([told]))
    assert files.read_json(tmp_path / "dataset.json")["findings"] == [vars(told)]


def test_images_outside_the_folder_stay_where_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest.write(tmp_path / "out", (tmp_path / "photos").relative_to(tmp_path), some_rows())
    monkeypatch.chdir("/")
    assert manifest.read(tmp_path / "out").root == tmp_path / "photos"


def test_targets_are_positions_in_the_fixed_order_of_classes(tmp_path):
    dataset = manifest.write(tmp_path, tmp_path, some_rows(("bee", "ant")))
    rows = dataset.split("val")
    assert [row.label for row in rows] == ["ant", "ant", "bee", "bee"]
    assert dataset.targets(rows).tolist() == [0, 0, 1, 1]


def test_a_manifest_that_was_read_is_columns_and_not_objects(tmp_path):
    rows = [
        Row(f"{i % 8}/{i}.png", str(i % 8), manifest.SPLITS[i % 3], digest_of(str(i)))
        for i in range(30_000)
    ]
    manifest.write(tmp_path, tmp_path, rows)
    before = sys.getallocatedblocks()
    dataset = manifest.read(tmp_path)
    train = dataset.split("train")
    targets = dataset.targets(train)
    assert sys.getallocatedblocks() - before < 3_000
    assert len(train) == len(targets) == 10_000
    assert train[-1] == train[9_999]
    assert [*train] == [row for row in sorted(rows) if row.split == "train"]
    assert [*train[5:8]] == [train[i] for i in (5, 6, 7)]


@pytest.mark.parametrize(
    "line", ["a.png,ant,train", "a.png,ant,train,00,00", "a.png,ant,exam,00", "\x00"]
)
def test_a_damaged_manifest_is_said(tmp_path, line):
    manifest.write(tmp_path, tmp_path, some_rows())
    with (tmp_path / "manifest.csv").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(MlopsError, match="is damaged"):
        manifest.read(tmp_path)


def test_counts_and_findings_are_recorded(tmp_path):
    rows = [*some_rows(), Row("ant/more.png", "ant", "test", "more")]
    manifest.write(tmp_path, tmp_path, rows, Notes([Finding("bee/notes.txt", "no image", "odd")]))
    document = files.read_json(tmp_path / "dataset.json")
    assert document["counts"]["test"] == {"ant": 3, "bee": 2}
    assert document["counts"]["val"] == {"ant": 2, "bee": 2}
    assert document["findings"] == [{"path": "bee/notes.txt", "what": "no image", "check": "odd"}]


@pytest.mark.parametrize("labels", [(), ("ant",)], ids=["none", "one"])
def test_less_than_two_classes_are_refused(tmp_path, labels):
    with pytest.raises(MlopsError, match=rf"found {len(labels)} class.*two classes are needed"):
        manifest.write(tmp_path, tmp_path, some_rows(labels))


@pytest.mark.parametrize("split", manifest.SPLITS)
def test_a_class_without_an_image_in_a_split_is_refused(tmp_path, split):
    rows = [row for row in some_rows() if (row.label, row.split) != ("bee", split)]
    with pytest.raises(MlopsError, match=f"the {split} split has no image of bee"):
        manifest.write(tmp_path, tmp_path, rows)


def test_an_empty_split_is_refused_and_nothing_is_written(tmp_path):
    rows = [row for row in some_rows() if row.split != "test"]
    with pytest.raises(MlopsError, match="the test split has no image of ant, bee"):
        manifest.write(tmp_path / "out", tmp_path, rows)
    assert not (tmp_path / "out").exists()


def test_a_table_of_other_columns_is_no_manifest(tmp_path):
    manifest.write(tmp_path, tmp_path, some_rows())
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text("utf-8").replace("label", "class", 1), "utf-8")
    with pytest.raises(MlopsError, match="columns"):
        manifest.read(tmp_path)


def test_an_image_that_is_gone_is_said_with_the_cure(tmp_path):
    dataset = manifest.write(tmp_path, tmp_path, some_rows())
    with pytest.raises(StepError, match="is gone") as error:
        dataset.content(dataset.rows[0])
    assert "delete .mlops/steps" in str(error.value)
