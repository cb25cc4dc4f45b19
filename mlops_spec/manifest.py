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
from typing import TYPE_CHECKING, Any

from mlops_spec import files
from mlops_spec.errors import MlopsError, StepError
from mlops_spec.rows import SEPARATOR, SPLITS, Row, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np


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
    rows: Rows
    digest: str
    multi_label: bool = False

    def split(self, name: str) -> Rows:
        """The rows of one split, in the manifest's order."""
        return self.rows.in_split(name)

    def labels(self, row: Row) -> list[str]:
        """The classes of an image; of one label, unless images may have several or none."""
        return labels(row.label, multi_label=self.multi_label)

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

    def targets(self, rows: Rows) -> np.ndarray:
        """What is right for some rows.

        Class indices (N), int64; where images may have several labels, 0 and 1 (N, classes),
        float32.
        """
        return targets(rows, self.classes, multi_label=self.multi_label)


def labels(text: str, *, multi_label: bool) -> list[str]:
    """The classes that a row's label names."""
    return list(filter(None, text.split(SEPARATOR))) if multi_label else [text]


def targets(rows: Rows, classes: Sequence[str], *, multi_label: bool) -> np.ndarray:
    """What is right for some rows, by classes; -1 for one that is not among them."""
    import numpy as np

    index = {label: i for i, label in enumerate(classes)}
    if not multi_label:
        number = np.array([index.get(name, -1) for name in rows.names], np.int64)
        return np.asarray(number[rows.label])
    table = np.zeros((len(rows.names), len(classes)), np.float32)
    for row, name in zip(table, rows.names, strict=True):
        row[[index[label] for label in labels(name, multi_label=True) if label in index]] = 1
    return np.asarray(table[rows.label])


@dataclass(frozen=True)
class Notes:
    """What is to be said of a data set beside its rows.

    Attributes:
        findings: What was noticed; copies of a picture that are not among them are added.
        images: Sizes and modes of the images, where they were looked at.
        multi_label: Whether an image may have several labels, or none.
    """

    findings: Sequence[Finding] = ()
    images: Images | None = None
    multi_label: bool = False


NOTHING = Notes()


def write(
    folder: Path,
    root: Path,
    rows: Sequence[Row],
    notes: Notes = NOTHING,
) -> Dataset:
    """Records a prepared data set.

    Args:
        folder: Where the manifest goes.
        root: What the rows' paths are relative to; inside `folder` or anywhere on this machine.
        rows: The images; their order does not matter.
        notes: What else is known.

    Raises:
        MlopsError: A split or a class would be empty.
    """
    ordered, several = sorted(rows), notes.multi_label
    told = {finding.path for finding in notes.findings}
    noticed = [*notes.findings, *(f for f in copies(ordered) if f.path not in told)]
    combinations = {row.label for row in ordered}
    classes = tuple(sorted({c for one in combinations for c in labels(one, multi_label=several)}))
    dataset = Dataset(root, classes, Rows.of(ordered), digest(ordered), several)
    present = {split: counts(dataset, split) for split in SPLITS}
    _check(len(ordered), present)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(ordered)
    files.write_text(folder / "manifest.csv", text.getvalue())
    inside = root.resolve().is_relative_to(folder.resolve())
    files.write_json(
        folder / "dataset.json",
        {
            "root": str(root.resolve().relative_to(folder.resolve()) if inside else root.resolve()),
            "classes": classes,
            "digest": dataset.digest,
            "counts": present,
            "findings": [vars(finding) for finding in noticed],
            "images": vars(notes.images) if notes.images else None,
            "multi_label": several,
        },
    )
    return dataset


def read(folder: Path) -> Dataset:
    """Reads a prepared data set.

    Raises:
        MlopsError: It is damaged.
    """
    document = files.read_json(folder / "dataset.json")
    path, cure = folder / "manifest.csv", "prepare the data set again"
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        if header != [*Row._fields]:
            message = f"{path} has the columns {header}, not {[*Row._fields]}"
            raise MlopsError(message, cure)
        try:
            rows = Rows.of(map(Row._make, lines))
        except (TypeError, ValueError) as error:
            raise MlopsError(f"{path} is damaged: {error}", cure) from error
    known = (tuple(document["classes"]), rows, document["digest"], document["multi_label"])
    return Dataset(folder / document["root"], *known)


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
    import numpy as np

    rows = dataset.split(split)
    found: Counter[str] = Counter()
    for name, number in zip(rows.names, np.bincount(rows.label, minlength=1), strict=False):
        for label in labels(name, multi_label=dataset.multi_label):
            found[label] += int(number)
    return {label: found[label] for label in dataset.classes}


def digest(rows: Sequence[Row]) -> str:
    """One digest of contents, labels and splits; where the files lie does not enter it."""
    return files.sha256_of(sorted((row.sha256, row.label, row.split) for row in rows))


def _check(images: int, present: dict[str, dict[str, int]]) -> None:
    """Refuses a data set that can not be learned from and judged by."""
    classes = len(present["train"])
    if classes < 2:  # noqa: PLR2004 - to classify takes two
        message = f"found {classes} class(es), {images} image(s): two classes are needed"
        raise MlopsError(message, "put the images of each class into a sub-folder of its own")
    for split, found in present.items():
        empty = [label for label, count in found.items() if not count]
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
