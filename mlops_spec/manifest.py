"""A prepared data set: one row an image, and one digest of the whole.

A folder with `manifest.csv` (path, label, split, sha256) and `dataset.json` (where the images lie,
the classes in their fixed order, counts, findings, digest). Later steps read it and the images.
"""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_spec import files
from mlops_spec.errors import MlopsError, StepError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path

SPLITS = ("train", "val", "test")


class Row(NamedTuple):
    """One image: its path below the root, its class, its split and its content's digest.

    A tuple, since there may be a million of them.
    """

    path: str
    label: str
    split: str
    sha256: str


@dataclass(frozen=True)
class Finding:
    """What was noticed about a file or a class, and which check of the data set noticed it."""

    path: str
    what: str
    check: str = ""


@dataclass(frozen=True)
class Images:
    """What the images of a data set are like.

    Attributes:
        width: Least, median and most pixels.
        height: Least, median and most pixels.
        modes: Images by the mode that Pillow gives them.
        mean: Of red, green and blue of the training images, values in 0..1.
        std: Their standard deviation.
    """

    width: tuple[int, int, int]
    height: tuple[int, int, int]
    modes: dict[str, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Dataset:
    """A prepared data set as the steps after `data` see it."""

    root: Path
    classes: tuple[str, ...]
    rows: tuple[Row, ...]
    digest: str

    def split(self, name: str) -> list[Row]:
        """The rows of one split, in the manifest's order."""
        return [row for row in self.rows if row.split == name]

    def content(self, row: Row) -> bytes:
        """An image file's bytes.

        Raises:
            StepError: It is gone, or not the file that the manifest lists.
        """
        path = self.root / row.path
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            cure = "bring it back, or delete .mlops/steps: the same command prepares the data anew"
            raise StepError(f"{path} is gone", cure) from error
        if hashlib.sha256(content).hexdigest() != row.sha256:
            raise StepError(f"{path} was changed after the data set was prepared", "run again")
        return content

    def targets(self, rows: Sequence[Row]) -> list[int]:
        """The class index of some rows."""
        index = {label: i for i, label in enumerate(self.classes)}
        return [index[row.label] for row in rows]


def write(
    folder: Path,
    root: Path,
    rows: Sequence[Row],
    findings: Sequence[Finding] = (),
    images: Images | None = None,
) -> Dataset:
    """Records a prepared data set.

    Args:
        folder: Where the manifest goes.
        root: What the rows' paths are relative to; inside `folder` or anywhere on this machine.
        rows: The images; their order does not matter.
        findings: What was noticed; copies of a picture that are not among them are added.
        images: Sizes and modes of the images, where they were looked at.

    Raises:
        MlopsError: A split or a class would be empty.
    """
    ordered = tuple(sorted(rows))
    told = {finding.path for finding in findings}
    noticed = [*findings, *(f for f in copies(ordered) if f.path not in told)]
    classes = tuple(sorted({row.label for row in ordered}))
    _check(ordered, classes)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(ordered)
    files.write_text(folder / "manifest.csv", text.getvalue())
    dataset = Dataset(root, classes, ordered, digest(ordered))
    inside = root.resolve().is_relative_to(folder.resolve())
    files.write_json(
        folder / "dataset.json",
        {
            "root": str(root.resolve().relative_to(folder.resolve()) if inside else root.resolve()),
            "classes": classes,
            "digest": dataset.digest,
            "counts": {split: counts(dataset, split) for split in SPLITS},
            "findings": [vars(finding) for finding in noticed],
            "images": vars(images) if images else None,
        },
    )
    return dataset


def read(folder: Path) -> Dataset:
    """Reads a prepared data set."""
    document = files.read_json(folder / "dataset.json")
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        rows = tuple(map(Row._make, lines))
    if header != [*Row._fields]:
        message = f"{folder / 'manifest.csv'} has the columns {header}, not {[*Row._fields]}"
        raise MlopsError(message, "prepare the data set again")
    return Dataset(folder / document["root"], tuple(document["classes"]), rows, document["digest"])


def collect(folder: Path) -> None:
    """Puts copies of a prepared data set's images beside its manifest, so that it can travel.

    Raises:
        StepError: An image is not the file that the manifest lists any more.
    """
    dataset = read(folder)
    if dataset.root.resolve().is_relative_to(folder.resolve()):
        return
    shutil.rmtree(folder / "images", ignore_errors=True)  # what is no longer wanted stays behind
    for row in dataset.rows:
        files.write_bytes(folder / "images" / row.path, dataset.content(row))
    document = files.read_json(folder / "dataset.json")
    files.write_json(folder / "dataset.json", {**document, "root": "images"})


def summary(folder: Path) -> dict[str, Any]:
    """Counts, findings and the look of the images, as `dataset.json` has them."""
    document = files.read_json(folder / "dataset.json")
    return {name: document[name] for name in ("counts", "findings", "images")}


def counts(dataset: Dataset, split: str) -> dict[str, int]:
    """Images per class in one split, in class order."""
    found = Counter(row.label for row in dataset.split(split))
    return {label: found[label] for label in dataset.classes}


def digest(rows: Sequence[Row]) -> str:
    """One digest of contents, labels and splits; where the files lie does not enter it."""
    return files.sha256_of(sorted((row.sha256, row.label, row.split) for row in rows))


def _check(rows: Sequence[Row], classes: Sequence[str]) -> None:
    if len(classes) < 2:  # noqa: PLR2004 - to classify takes two
        message = f"found {len(classes)} class(es), {len(rows)} image(s): two classes are needed"
        raise MlopsError(message, "put the images of each class into a sub-folder of its own")
    present = {(row.split, row.label) for row in rows}
    for split in SPLITS:
        empty = [label for label in classes if (split, label) not in present]
        if empty:
            message = f"the {split} split has no image of {', '.join(empty[:5])}"
            raise MlopsError(message, "add images, or give the split a larger fraction")


def copies(rows: Sequence[Row]) -> list[Finding]:
    """One picture under two labels, or in the test split and in another one too."""
    first: dict[str, Row] = {}
    found = []
    for row in rows:
        known = first.setdefault(row.sha256, row)
        if known.label != row.label:
            found.append(
                Finding(row.path, f"is the same picture as {known.path}, of another class")
            )
        elif "test" in (known.split, row.split) and known.split != row.split:
            what = f"({row.split}) is the same picture as {known.path} ({known.split})"
            found.append(Finding(row.path, what))
    return found


def stratified(
    labels: Sequence[str],
    fractions: dict[str, float],
    seed: int,
    groups: Sequence[Hashable] | None = None,
) -> list[str]:
    """Assigns images to splits, each class in the same proportions.

    Args:
        labels: The class of each image.
        fractions: Share of all images for each split but `train`, which takes the rest.
        seed: Of the shuffle within each class.
        groups: What each image belongs to, such as its subject: a group is never divided and counts
            for the class of its first image. In shuffled order each goes into the first split that
            has room for all of it, so that the proportions are as exact as its size allows.

    Returns:
        The split of each image.
    """
    import random

    units: dict[Hashable, list[int]] = {}
    for i in range(len(labels)):
        units.setdefault(groups[i] if groups else i, []).append(i)
    by_label: dict[str, list[list[int]]] = {}
    for unit in units.values():
        by_label.setdefault(labels[unit[0]], []).append(unit)
    assigned = [""] * len(labels)
    for label, members in sorted(by_label.items()):
        random.Random(f"{seed}/{label}").shuffle(members)  # noqa: S311 - a split is no secret
        for split, chosen in _filled(members, fractions).items():
            for i in chain.from_iterable(chosen):
                assigned[i] = split
    return assigned


def _filled(units: Sequence[list[int]], fractions: dict[str, float]) -> dict[str, list[list[int]]]:
    """The units of one class by split; what fits nowhere trains."""
    size = sum(map(len, units))
    room = {split: round(share * size) for split, share in fractions.items()}
    wanted = [split for split, images in room.items() if images]
    filled: dict[str, list[list[int]]] = {split: [] for split in (*fractions, "train")}
    for unit in units:
        split = next((split for split in wanted if len(unit) <= room[split]), "train")
        filled[split].append(unit)
        if split in room:
            room[split] -= len(unit)
    for split in wanted:
        if not filled[split]:
            _share(filled, split)
    return filled


def _share(filled: dict[str, list[list[int]]], empty: str) -> None:
    """Gives a split that every unit is too large for the smallest of one that has several."""
    spare = [(split, unit) for split, units in filled.items() if len(units) > 1 for unit in units]
    if spare:
        donor, unit = min(spare, key=lambda pair: len(pair[1]))
        filled[donor].remove(unit)
        filled[empty].append(unit)
