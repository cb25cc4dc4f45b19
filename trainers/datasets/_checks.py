"""What is done about what is found in photographs before anything is trained on them."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mlops_spec.errors import StepError
from mlops_spec.manifest import Finding, Images
from mlops_spec.spec import Int, Section
from trainers.datasets import _looks, _twins
from trainers.datasets._looks import MOST_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlops_spec.rows import Row
    from trainers.datasets._looks import Look
    from trainers.datasets._twins import Twins

Policy = Literal["error", "skip", "ignore"]

_SHOWN = 10  # findings of a check that are said one by one; dataset.json lists all


class Checks(Section):
    """What is done about each kind of finding: stop, leave the image out, or only list it."""

    unreadable: Literal["error", "skip"]  # no image of a known type, or one that is too large
    mislabelled: Policy  # another type than its name says
    animated: Policy  # several frames or pages, of which the first would be taken
    duplicates: Policy  # the same picture twice in one split
    near_duplicates: Policy  # almost the same picture twice in one split
    leaks: Policy  # the same or almost the same picture, or one subject, in two splits
    conflicts: Policy  # the same picture under two labels
    small_classes: Literal["error", "ignore"]  # fewer training images than min_images
    min_images: Annotated[Int, Field(ge=1)]
    near_distance: Annotated[Int, Field(ge=0, le=16)]  # bits of 128 that may differ
    max_pixels: Annotated[Int, Field(ge=1, le=MOST_PIXELS)]


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


def copies(rows: Sequence[Row], twins: Twins) -> list[Finding]:
    """Pictures that are there twice; what is wrong with an image is named once for each check.

    Of two, the later is named, or the one in the lesser split: a test set is left as it is. Of the
    same picture under several labels all are named, since nobody knows which label is right.
    """
    rank = {"test": 0, "val": 1, "train": 2}
    order = sorted(range(len(rows)), key=lambda i: (rank[rows[i].split], rows[i].path))
    position = sorted(range(len(rows)), key=order.__getitem__)
    ordered = [rows[i] for i in order]
    same, near, subjects = (
        [[ordered[i] for i in family] for family in _twins.reordered(families, position)]
        for families in (twins.same, twins.near, twins.subjects)
    )
    found: dict[tuple[str, str], Finding] = {}
    for finding in (
        *_conflicts(same),
        *_doubled(same, "duplicates", "is the same picture as"),
        *_doubled(near, "near_duplicates", "is almost the same picture as"),
        *_shared(subjects),
    ):
        found.setdefault((finding.path, finding.check), finding)
    return sorted(found.values(), key=lambda finding: (finding.path, finding.check))


def _conflicts(families: Iterable[Sequence[Row]]) -> Iterator[Finding]:
    """Every row of a picture that has several labels, with one of another label."""
    for same in families:
        for row in same:
            other = next((one for one in same if one.label != row.label), None)
            if other:
                what = f"is the same picture as {other.path}, of another class"
                yield Finding(row.path, what, "conflicts")


def _doubled(families: Iterable[Sequence[Row]], check: str, what: str) -> Iterator[Finding]:
    for first, *others in families:
        for row in others:
            if row.split == first.split:
                yield Finding(row.path, f"{what} {first.path}", check)
            else:
                yield Finding(
                    row.path, f"({row.split}) {what} {first.path} ({first.split})", "leaks"
                )


def _shared(families: Iterable[Sequence[Row]]) -> Iterator[Finding]:
    """Images of a subject that another split has images of, too."""
    for first, *others in families:
        for row in others:
            if row.split != first.split:
                what = f"({row.split}) shows the same subject as {first.path} ({first.split})"
                yield Finding(row.path, what, "leaks")


def summary(looks: Sequence[Look], training: Sequence[Look]) -> Images | None:
    """Sizes and modes of the images that are kept, colours of those to train on; None for none."""
    if not training:
        return None
    width, height = (
        sorted(sizes) for sizes in zip(*((k.width, k.height) for k in looks), strict=True)
    )
    middle = len(looks) // 2
    return Images(
        (width[0], width[middle], width[-1]),
        (height[0], height[middle], height[-1]),
        dict(sorted(Counter(look.mode for look in looks).items())),
        *_looks.colors(training),
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
