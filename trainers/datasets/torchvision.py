"""`data.kind: torchvision`: torchvision's own data sets by name, written out as image files.

Sets that lie on disk as image files keep them byte for byte; sets of arrays become PNG files.
"""

from __future__ import annotations

import os
import shutil
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlops_spec import files
from mlops_spec.errors import StepError, suggest
from trainers.datasets import _folders, _photographs
from trainers.datasets._photographs import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlops_spec import manifest
    from mlops_spec.spec import Spec as WholeSpec

Arguments = dict[str, bool | int | str]
_OF_FOLDERS = ("ImageFolder", "DatasetFolder")
# attribute with the names of the classes, by what an argument says is told of each image
_CLASSES: dict[object, str] = {"category": "classes", "binary-category": "bin_classes"}
_WHICH_TARGET = ("target_types", "target_type")  # arguments that say what is told of an image


class Spec(_photographs.Photographs):
    """Which data set, where its files lie, and which of its arguments give each split."""

    kind: Literal["torchvision"]
    dataset: str
    root: str
    download: bool
    splits: dict[Literal["train", "val", "test"], Arguments | None]


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """Nothing to train on, or files that are neither there nor to be downloaded."""
    assert isinstance(spec.data, Spec)
    if spec.data.dataset in _OF_FOLDERS:
        yield "data.dataset", "reads a folder of your own: data=folder data.root=path/to/photos"
    if spec.data.splits.get("train") is None:
        yield "data.splits.train", "needs the arguments of the training split, {} for none"
    if not spec.data.download and not _root(spec.data).is_dir():
        yield "data.root", f"there is no folder {_root(spec.data)}; data.download=true fetches it"
    elif not spec.data.download and Path.cwd().is_relative_to(_root(spec.data).resolve()):
        yield "data.root", "should be a folder of its own: all files below it are the data set"
    yield from _photographs.contradictions(spec.data, _given(spec.data))


def _root(spec: Spec) -> Path:
    return Path(spec.root).expanduser()


def _given(spec: Spec) -> list[str]:
    return [split for split in ("val", "test") if spec.splits.get(split) is not None]


def fingerprint(spec: Spec) -> dict[str, str]:
    """The name and, of a local copy, all files below the root, whichever of them it reads.

    What is downloaded follows from the name: torchvision checks it.
    """
    root = _root(spec)
    copied = [] if spec.download else _folders.below(root)
    found = {_photographs.name_of(path, root): files.sha256_file(path) for path in copied}
    return {**found, "torchvision": spec.dataset}


def prepare(spec: Spec, out_dir: Path) -> manifest.Dataset:
    """Writes the image files, judges them and writes the manifest.

    Raises:
        StepError: There is no such data set, it is not where it should be, or it can not be had.
    """
    drawn = len(_given(spec)) < 2  # noqa: PLR2004 - val and test
    candidates: list[Candidate] = []
    for split, arguments in spec.splits.items():
        if arguments is not None:
            named = None if split == "train" and drawn else split
            images = _written(_open(spec, arguments), arguments, out_dir / "images" / split)
            candidates += [Candidate(path, label, named) for path, label in images]
    drawing = _photographs.draw(spec, _given(spec))
    return _photographs.manifest_of(candidates, spec, out_dir, out_dir, drawing)


def _open(spec: Spec, arguments: Arguments) -> Any:
    from trainers._torch.vision import torchvision

    known = torchvision.datasets
    if spec.dataset not in known.__all__:
        near = suggest(spec.dataset, known.__all__)
        message = f"data.dataset: torchvision has no {spec.dataset!r}{near}"
        raise StepError(message)
    given = {**arguments, "download": True} if spec.download else dict(arguments)
    try:
        return getattr(known, spec.dataset)(str(_root(spec)), **given)
    except OSError as error:
        message = f"{spec.dataset} could not be downloaded: {error}"
        raise StepError(message, "go online once, or put its files below data.root") from error
    except RuntimeError as error:
        message = f"{spec.dataset} is not complete below {_root(spec)}: {error}"
        raise StepError(message, "put its files there, or set data.download=true") from error
    except (TypeError, ValueError) as error:
        message = f"data.splits: {spec.dataset} does not take {arguments}: {error}"
        raise StepError(message, "see the arguments in torchvision's documentation") from error


def _written(dataset: Any, arguments: Arguments, folder: Path) -> Iterator[tuple[Path, str]]:
    """Each image as a file below a folder, with its class."""
    folder.mkdir(parents=True, exist_ok=True)
    which = next((arguments[name] for name in _WHICH_TARGET if name in arguments), "category")
    names = getattr(dataset, _CLASSES[which], ()) if which in _CLASSES else ()
    for number, (image, target) in enumerate(_items(dataset, usual=which == "category")):
        suffix = image.suffix.lower() if isinstance(image, Path) else ".png"
        path = folder / f"{number:07}{suffix}"
        path.unlink(missing_ok=True)  # of an attempt that was interrupted
        if isinstance(image, Path):
            _link(image, path)
        else:
            image.save(path, "PNG")
        yield path, str(names[target] if names else target)


def _items(dataset: Any, *, usual: bool) -> Iterator[tuple[Any, int]]:
    """Images, as files where the set has files, with their class indices.

    torchvision has no public way to the files; where none of its usual names for them is there, the
    decoded image is taken.

    Args:
        dataset: A data set of torchvision.
        usual: Whether it tells of each image what it tells unasked, which its lists have too.
    """
    samples = getattr(dataset, "samples", None)  # ImageFolder and what derives from it
    files: Any = getattr(dataset, "_image_files", None) or getattr(dataset, "_images", None)
    labels: Any = getattr(dataset, "_labels", None)
    listed = bool(files and labels and len(files) == len(labels))
    if samples:
        yield from ((Path(path), target) for path, target in samples)
    elif listed and usual:
        yield from zip(map(Path, files), labels, strict=True)
    else:
        for i in range(len(dataset)):
            image, target = _item(dataset, i)
            yield Path(files[i]) if listed else image, target


def _item(dataset: Any, i: int) -> tuple[Any, int]:
    """The image and the class that a data set gives.

    Raises:
        StepError: It gives something else.
    """
    try:
        image, target = dataset[i]
        return image, index(target)
    except (TypeError, ValueError) as error:
        message = f"{type(dataset).__name__} gives no picture with one class: {error}"
        raise StepError(message, "see data.splits and torchvision's documentation") from error


def _link(source: Path, path: Path) -> None:
    """The same file under another name where the disk allows it, a copy elsewhere."""
    try:
        os.link(source, path)
    except FileNotFoundError as error:
        raise StepError(f"{source} is not there", "the data set is not complete") from error
    except OSError:
        shutil.copyfile(source, path)
