"""What is wrong with photographs before anything is trained on them, and what is done about it.

Every image is opened once. Near-duplicates are found by a difference hash: which of two
neighbouring pixels of a tiny grey copy is brighter, along rows and columns (N. Krawetz, "Kind of
Like That", 2013). It survives scaling, compression and brightness, not a crop or a rotation. Of 397
photographs the closest two differ in 30 of 128 bits; 99 % of copies at two thirds of the size and
JPEG quality 60 differ in at most 10.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mlops_spec import files
from mlops_spec.errors import StepError
from mlops_spec.manifest import Finding, Images
from mlops_spec.spec import Int, Section

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from PIL import Image

    from mlops_spec.manifest import Row

Policy = Literal["error", "skip", "ignore"]

# Pillow's name of each format, by extension
FORMATS = {
    ".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
    ".tif": "TIFF", ".tiff": "TIFF", ".gif": "GIF",
}  # fmt: skip
_SIDE = 8  # of the hash, pixels
_BITS = 2 * _SIDE * _SIDE
_FLAT = 4  # grey levels; a picture with less between its tiny copy's extremes has no hash
_CLOSEST = 16  # of hashes with an equal part, how many neighbours are compared: bounds the work
_SHOWN = 10  # findings of a check that are said one by one; dataset.json lists all


class Checks(Section):
    """What is done about each kind of finding: stop, leave the image out, or only list it."""

    unreadable: Literal["error", "skip"]  # no image of a known type, or one that is too large
    mislabelled: Policy  # another type than its name says
    duplicates: Policy  # the same picture twice in one split
    near_duplicates: Policy  # almost the same picture twice in one split
    leaks: Policy  # the same or almost the same picture in two splits
    conflicts: Policy  # the same picture under two labels
    small_classes: Literal["error", "ignore"]  # fewer training images than min_images
    min_images: Annotated[Int, Field(ge=1)]
    near_distance: Annotated[Int, Field(ge=0, le=16)]  # bits of 128 that may differ
    max_pixels: Annotated[Int, Field(ge=1)]


@dataclass(frozen=True)
class Look:
    """What one look at a file found; `check` and `fault` are empty for a good image."""

    sha256: str
    check: str = ""
    fault: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    hash: int | None = None


def look_at(paths: Sequence[Path], extensions: Sequence[str], checks: Checks) -> list[Look]:
    """Opens every file once, several at a time: decoding leaves Python's lock alone."""
    with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
        from PIL import Image

        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return list(pool.map(lambda path: _look(path, extensions, checks), paths))


def _misplaced(path: Path, extensions: Sequence[str]) -> str:
    """Why a file is no image of the data set, by its name alone; empty when it may be one."""
    if any("\udc80" <= letter <= "\udcff" for letter in str(path)):
        return "has a name that is not UTF-8"
    if path.suffix.lower() not in extensions:
        return f"{path.suffix.lower() or 'no extension'} is not among data.extensions"
    return ""


def _look(path: Path, extensions: Sequence[str], checks: Checks) -> Look:
    from PIL import Image

    if not path.is_file():
        return Look("", "unreadable", "is not there")
    digest, fault = files.sha256_file(path), _misplaced(path, extensions)
    if fault:
        return Look(digest, "unreadable", fault)
    unreadable = (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError)
    try:
        with Image.open(path, formats=sorted(set(FORMATS.values()))) as image:
            size, limit = image.width * image.height, checks.max_pixels
            if size > limit:
                shown = f"{image.width} x {image.height} pixels"
                return Look(digest, "unreadable", f"has {shown}, more than data.checks.max_pixels")
            form = "JPEG" if image.format == "MPO" else image.format  # as cameras write them
            measured = (image.width, image.height, image.mode, _difference_hash(image))
    except unreadable as error:
        fault = f"can not be read as an image: {error}".replace(str(path), path.name)
        return Look(digest, "unreadable", fault)
    named = FORMATS[path.suffix.lower()]
    if form != named:
        fault = f"is a {form}, not the {named} its name says"
        return Look(digest, "mislabelled", fault, *measured)
    return Look(digest, "", "", *measured)


def _difference_hash(image: Image.Image) -> int | None:
    """128 bits, or None for a picture without structure: all flat ones would be alike."""
    import numpy as np
    from PIL import Image

    image.load()  # all of it: a truncated file fails here
    size = (_SIDE + 1, _SIDE + 1)
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.BOX), dtype=np.int16)
    if int(grey.max()) - int(grey.min()) < _FLAT:
        return None
    rows, columns = grey[:_SIDE, 1:] > grey[:_SIDE, :_SIDE], grey[1:, :_SIDE] > grey[:_SIDE, :_SIDE]
    bits = np.packbits(np.concatenate([rows.ravel(), columns.ravel()]))
    return int.from_bytes(bits.tobytes(), "big")


def apply(findings: Sequence[Finding], checks: Checks) -> set[str]:
    """Says what was found and returns the names of the images to leave out.

    Raises:
        StepError: Something was found that the spec calls an error.
    """
    policies = checks.model_dump()  # all of them are read, whatever is found
    left_out = {f.path for f in findings if policies[f.check] == "skip"}
    for check, found in groupby(sorted(findings, key=_by_check), _by_check):
        listed = list(found)
        word = "left out" if policies[check] == "skip" else "found"
        for finding in listed[:_SHOWN]:
            print(f"{word} {finding.path}: {finding.what}", flush=True)  # noqa: T201 - a step's log
        if len(listed) > _SHOWN:
            print(f"... and {len(listed) - _SHOWN} more ({check})", flush=True)  # noqa: T201
    wrong = [f for f in findings if policies[f.check] == "error"]
    if wrong:
        raise StepError(_refusal(wrong), _cure(wrong))
    return left_out


def _by_check(finding: Finding) -> str:
    return finding.check


def _refusal(wrong: Sequence[Finding]) -> str:
    counts = Counter(finding.check for finding in wrong)
    counted = ", ".join(f"{number} {check}" for check, number in counts.items())
    return f"{counted}; the first: {wrong[0].path} {wrong[0].what}"


def _cure(wrong: Sequence[Finding]) -> str:
    checks = sorted({finding.check for finding in wrong})
    words = "ignore" if checks == ["small_classes"] else "skip"
    settings = " ".join(f"data.checks.{check}={words}" for check in checks)
    return f"mend what is listed above, or set {settings}"


def copies(rows: Sequence[Row], looks: Sequence[Look], checks: Checks) -> list[Finding]:
    """Pictures that are there twice; what is wrong with an image is named once for each check.

    Of two, the later is named, or the one in the lesser split: a test set is left as it is. Of the
    same picture under several labels all are named, since nobody knows which label is right.
    """
    rank = {"test": 0, "val": 1, "train": 2}
    order = sorted(range(len(rows)), key=lambda i: (rank[rows[i].split], rows[i].path))
    ordered, hashes = [rows[i] for i in order], [looks[i].hash for i in order]
    found: dict[tuple[str, str], Finding] = {}
    for finding in _conflicts(ordered):
        found[finding.path, finding.check] = finding
    for first, second, near in (*_same(ordered), *_alike(hashes, checks.near_distance)):
        finding = _copy(ordered[first], ordered[second], near=near)
        found.setdefault((finding.path, finding.check), finding)
    return sorted(found.values(), key=lambda finding: (finding.path, finding.check))


def _conflicts(rows: Sequence[Row]) -> Iterator[Finding]:
    """Every row of a picture that has several labels, with one of another label."""
    by_content: dict[str, list[Row]] = {}
    for row in rows:
        by_content.setdefault(row.sha256, []).append(row)
    for same in by_content.values():
        for row in same:
            other = next((one for one in same if one.label != row.label), None)
            if other:
                what = f"is the same picture as {other.path}, of another class"
                yield Finding(row.path, what, "conflicts")


def _copy(one: Row, other: Row, *, near: bool) -> Finding:
    like = "almost the same picture as" if near else "the same picture as"
    if one.split != other.split:
        what = f"({other.split}) is {like} {one.path} ({one.split})"
        return Finding(other.path, what, "leaks")
    check = "near_duplicates" if near else "duplicates"
    return Finding(other.path, f"is {like} {one.path}", check)


def _same(rows: Sequence[Row]) -> Iterator[tuple[int, int, bool]]:
    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        known = first.setdefault(row.sha256, number)
        if known != number:
            yield known, number, False


def _alike(hashes: Sequence[int | None], distance: int) -> Iterator[tuple[int, int, bool]]:
    """Later images with an earlier one whose hash differs in at most `distance` bits.

    Cut into `distance + 1` parts, two such hashes agree in one part at least, so that only hashes
    that share a part are compared; of a long run of them each with its neighbours only. Images of
    the same hash, such as a burst, are compared as one.
    """
    homes: dict[int, list[int]] = {}
    for i, one in enumerate(hashes):
        if one is not None:
            homes.setdefault(one, []).append(i)
    width = -(-_BITS // (distance + 1))
    pairs = {(one, one) for one, members in homes.items() if len(members) > 1}
    for shift in range(0, _BITS, width):
        mask = ((1 << width) - 1) << shift
        parts = sorted((one & mask, one) for one in homes)
        for _, run in groupby(parts, lambda part: part[0]):
            pairs |= set(_near([one for _, one in run], distance))
    for one, other in sorted(pairs, key=lambda pair: sorted(homes[h][0] for h in pair)):
        first, *others = sorted({*homes[one], *homes[other]})
        yield from ((first, later, True) for later in others)


def _near(hashes: Sequence[int], distance: int) -> Iterator[tuple[int, int]]:
    for position, one in enumerate(hashes):
        for other in hashes[position + 1 : position + 1 + _CLOSEST]:
            if (one ^ other).bit_count() <= distance:
                yield one, other


def summary(looks: Sequence[Look]) -> Images | None:
    """Sizes and modes of the images that are kept; None where none is."""
    if not looks:
        return None
    width, height = (
        sorted(sizes) for sizes in zip(*((k.width, k.height) for k in looks), strict=True)
    )
    middle = len(looks) // 2
    modes = dict(sorted(Counter(look.mode for look in looks).items()))
    return Images(
        (width[0], width[middle], width[-1]), (height[0], height[middle], height[-1]), modes
    )


def small_classes(rows: Sequence[Row], labels: Iterable[str], checks: Checks) -> Iterator[Finding]:
    """Classes with fewer training images than asked for.

    Args:
        rows: The images that are kept.
        labels: The classes of all the images that there were.
        checks: How many are asked for.

    Raises:
        StepError: A class has no image left at all: it would be gone without a word.
    """
    kept = Counter(row.label for row in rows)
    gone = sorted({*labels} - kept.keys())
    if gone and kept:
        message = f"every image of {', '.join(gone[:_SHOWN])} was left out"
        raise StepError(message, "mend what is listed above, or take the class away")
    counts = Counter(row.label for row in rows if row.split == "train")
    for label in sorted(kept):
        if counts[label] < checks.min_images:
            what = f"class of {counts[label]} training images, fewer than data.checks.min_images"
            yield Finding(label, what, "small_classes")
