"""Images with several labels or none: read from tables and folders, and split."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from several_labels import COMBINATIONS, LOOSE, picture, prepared, table_of, written
from test_folder_dataset import spec as folder_spec

from mlops_spec import files, manifest
from mlops_spec.errors import StepError
from mlops_spec.splits import multi_stratified
from trainers.datasets import folder


@pytest.fixture
def dataset(tmp_path):
    return prepared(written(tmp_path), tmp_path / "out")


def test_a_table_s_labels_are_sets_in_a_fixed_order(dataset, tmp_path) -> None:
    assert dataset.classes == ("blue", "green", "red")
    assert {row.label for row in dataset.rows} == {*COMBINATIONS}
    again = manifest.read(tmp_path / "out")
    assert again == dataset
    assert again.multi_label
    row = next(row for row in dataset.rows if row.label == "blue|red")
    assert dataset.labels(row) == ["blue", "red"]


def test_targets_are_zeros_and_ones_by_class(dataset) -> None:
    rows = dataset.split("train")
    for row, target in zip(rows, dataset.targets(rows), strict=True):
        assert target.tolist() == [float(name in row.label) for name in dataset.classes]


def test_an_image_counts_for_each_of_its_labels(dataset) -> None:
    counts = [manifest.counts(dataset, split) for split in manifest.SPLITS]
    assert {sum(found[name] for found in counts) for name in dataset.classes} == {40}
    assert all(0.15 * 40 < counts[2][name] < 0.25 * 40 for name in dataset.classes)


def test_labels_in_lists_are_the_same_data_set(dataset, tmp_path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = table_of(tmp_path / "photos.csv")
    lists = [[part.strip() for part in row["label"].split("|") if part.strip()] for row in rows]
    paths = [row["path"] for row in rows]
    parquet.write_table(pa.table({"path": paths, "label": lists}), tmp_path / "p.parquet")
    assert prepared(tmp_path / "p.parquet", tmp_path / "again").digest == dataset.digest
    lists[5] = [*lists[5], None, ""]
    parquet.write_table(pa.table({"path": paths, "label": lists}), tmp_path / "p.parquet")
    assert prepared(tmp_path / "p.parquet", tmp_path / "again").digest == dataset.digest
    lists[3] = ["red|green"]
    parquet.write_table(pa.table({"path": paths, "label": lists}), tmp_path / "p.parquet")
    with pytest.raises(StepError, match="the character that separates values"):
        prepared(tmp_path / "p.parquet", tmp_path / "bad")


def in_folders(root: Path, **labels: tuple[str, ...]) -> Path:
    for number, (name, classes) in enumerate(labels.items()):
        for place in classes:
            files.write_bytes(root / place / f"{name}.png", picture("red", number))
    return root


def several(root: Path, out: Path, **changes) -> manifest.Dataset:
    base = folder_spec(root, **changes)
    checks = base.checks.model_copy(update=LOOSE)
    return folder.prepare(base.model_copy(update={"multi_label": True, "checks": checks}), out)


def test_a_picture_in_several_class_folders_has_all_their_classes(tmp_path) -> None:
    pictures = {f"a{i}": ("cat",) for i in range(9)} | {f"b{i}": ("dog",) for i in range(9)}
    pictures |= {f"c{i}": ("cat", "dog") for i in range(9)}
    dataset = several(in_folders(tmp_path / "root", **pictures), tmp_path / "out")
    assert Counter(row.label for row in dataset.rows) == {"cat": 9, "dog": 9, "cat|dog": 9}
    assert not manifest.summary(tmp_path / "out")["findings"]


def test_a_picture_in_two_splits_stays_a_leak(tmp_path) -> None:
    pictures = {
        f"{s}{c}{i}": (f"{s}/{c}",) for s in ("train", "test") for c in "xy" for i in range(5)
    }
    root = in_folders(tmp_path / "root", **pictures)
    (root / "test" / "x" / "copy.png").write_bytes(
        (root / "train" / "y" / "trainy0.png").read_bytes()
    )
    several(root, tmp_path / "out", train="train", test="test")
    checks = {finding["check"] for finding in manifest.summary(tmp_path / "out")["findings"]}
    assert "leaks" in checks


def test_a_copy_in_a_table_with_other_labels_is_a_conflict(tmp_path) -> None:
    file = written(tmp_path)
    files.write_bytes(tmp_path / "copy.png", (tmp_path / "1.png").read_bytes())
    with file.open("a", encoding="utf-8") as opened:
        opened.write("copy.png,blue\n")
    dataset = prepared(file, tmp_path / "out")
    assert {row.path: row.label for row in dataset.rows}["1.png"] == "red"
    checks = [finding["check"] for finding in manifest.summary(tmp_path / "out")["findings"]]
    assert checks.count("conflicts") == 2


def test_a_class_with_the_separator_in_its_name_is_refused(tmp_path) -> None:
    root = in_folders(tmp_path / "root", a=("cat|dog",), b=("dog",))
    with pytest.raises(StepError, match="has the character that separates classes"):
        several(root, tmp_path / "out")


@pytest.mark.parametrize("seed", range(4))
def test_each_label_is_split_in_the_same_proportions(seed) -> None:
    chance = np.random.default_rng(seed)
    rates = [0.5, 0.3, 0.1, 0.04]
    labels = [[f"l{k}" for k, p in enumerate(rates) if chance.random() < p] for _ in range(1000)]
    shares = {"test": 0.2, "val": 0.1}
    found = multi_stratified(labels, shares, seed, range(1000))
    assert Counter(found)["test"] == pytest.approx(200, abs=3)
    assert Counter(found)["val"] == pytest.approx(100, abs=3)
    for k in range(4):
        holders = [split for split, each in zip(found, labels, strict=True) if f"l{k}" in each]
        for split, share in shares.items():
            assert holders.count(split) == pytest.approx(share * len(holders), abs=2)
    assert found == multi_stratified(labels, shares, seed, range(1000))
    assert found != multi_stratified(labels, shares, seed + 1, range(1000))


@pytest.mark.parametrize("seed", range(30))
def test_no_split_lacks_a_label_that_there_is_enough_of(seed) -> None:
    chance = np.random.default_rng(seed)
    labels: list[list[str]] = [[] for _ in range(300)]
    for number in range(50):
        for i in chance.choice(300, 7, replace=False):
            labels[i].append(f"l{number}")
    found = multi_stratified(labels, {"test": 0.2, "val": 0.15}, seed, range(300))
    for number in range(50):
        holders = {s for s, each in zip(found, labels, strict=True) if f"l{number}" in each}
        assert holders == {"train", "val", "test"}
    assert found.count("test") == pytest.approx(60, abs=12)


def test_what_belongs_together_is_not_divided() -> None:
    labels = [["a"], ["b"], ["a", "b"], []] * 30
    groups = [i // 3 for i in range(120)]
    found = multi_stratified(labels, {"test": 0.3, "val": 0.2}, 0, groups)
    assert all(len({found[i] for i in range(g * 3, g * 3 + 3)}) == 1 for g in range(40))
    assert 0.2 < found.count("test") / 120 < 0.4
