"""What this package requires of others, and which of it this machine does not have."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement


def wanting(extra: str = "") -> Iterator[str]:
    """What is required and not there: by this package and torchvision, or by an extra alone."""
    from packaging.requirements import Requirement

    try:
        own = metadata.requires("mlops_spec") or []
    except metadata.PackageNotFoundError:
        yield "mlops_spec itself is not installed"
        return
    vision = metadata.requires("torchvision") if not extra and version("torchvision") else []
    for text in (*own, *(line for line in vision or [] if line.startswith("torch"))):
        wanted = Requirement(text)
        if _concerns(wanted, extra):
            found = version(wanted.name)
            if found is None:
                yield f"{wanted.name} is missing"
            elif not wanted.specifier.contains(found, prereleases=True):
                yield f"{wanted.name} {found} does not satisfy {wanted.specifier}"


def _concerns(wanted: Requirement, extra: str) -> bool:
    """Whether a requirement is one of an extra, or of the package without any."""
    if wanted.marker is None:
        return not extra
    alone = wanted.marker.evaluate({"extra": ""})
    return not alone and wanted.marker.evaluate({"extra": extra}) if extra else alone


def version(name: str) -> str | None:
    """The version of a package that is installed; None of one that is not."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
