"""The int8 network of a bundle, and the record of what that costs: a folder with two files.

    model.int8.onnx   the network, quantised; as untrusted as model.onnx
    int8.json         of which bundle, calibrated on what, and the accuracy of each precision

`python -m deployers.scoring.quantize` writes them. A registered bundle stays as it was registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, model_validator

from mlops_spec import bundle, files, records
from mlops_spec.errors import MlopsError, StateError

if TYPE_CHECKING:
    from pathlib import Path

NETWORK, RECORD = "model.int8.onnx", "int8.json"
_MAX_BYTES = 2**20  # of the record
_AGAIN = "python -m deployers.scoring.quantize --help"


class _Part(BaseModel):
    """Frozen, of known keys, and every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Accuracy(_Part):
    """Right answers on the whole test split, beside those of float32 by ONNX Runtime.

    Attributes:
        engine: What computed.
        precision: In which it did.
        accuracy: Share of right answers.
        gained: Images that only this one got right.
        lost: Images that only float32 got right.
        difference: Accuracy less that of float32.
        interval: Of the difference: the middle 95 % of bootstrap samples.
        drop_excluded: The least loss of accuracy that this many images speak against, at 5 %.
        largest_change: Of any probability of any image.
    """

    engine: str
    precision: str
    accuracy: float
    gained: int
    lost: int
    difference: float
    interval: tuple[float, float]
    drop_excluded: float
    largest_change: float


class Record(_Part):
    """`int8.json`.

    Attributes:
        bundle: Digest of the model that was quantised.
        network: sha256 of the quantised network; none where it was refused.
        max_drop: What accuracy int8 may lose.
        calibration_images: How many validation images the ranges come from.
        calibration_digest: Which ones.
        test_images: How many images were judged.
        test_digest: Which ones.
        precisions: What each precision is worth, float32 first.
        versions: Of the libraries that quantised and computed.
        machine: Where.
    """

    bundle: str
    network: str | None
    max_drop: float
    calibration_images: int
    calibration_digest: str
    test_images: int
    test_digest: str
    precisions: tuple[Accuracy, ...]
    versions: dict[str, str]
    machine: dict[str, str]

    @model_validator(mode="after")
    def _judged(self) -> Self:
        if all(one.precision != "int8" for one in self.precisions):
            raise ValueError("precisions lacks int8")
        if self.network and self.refused():
            raise ValueError("network is there, and was refused")
        return self

    def worst(self) -> Accuracy:
        """The int8 that loses most."""
        return min((one for one in self.precisions if one.precision == "int8"), key=_difference)

    def refused(self) -> bool:
        """Whether int8 loses more accuracy than it may."""
        return -self.worst().difference > self.max_drop


def _difference(one: Accuracy) -> float:
    return one.difference


def write(folder: Path, content: bytes, record: Record) -> None:
    """Leaves both files, or where int8 is refused the record alone."""
    path = folder / NETWORK
    path.unlink(missing_ok=True)  # of before: record and network are never of two makes
    records.write(folder / RECORD, record)
    if not record.refused():
        files.write_bytes(path, content)


def read(folder: Path) -> Record:
    """Reads the record.

    Raises:
        StateError: It is damaged, or a newer version of this program wrote it.
        MlopsError: There is none.
    """
    path, cure = folder / RECORD, f"quantise again: {_AGAIN}"
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise StateError(f"{path} has more than {_MAX_BYTES} bytes", cure)
        return records.read(path, Record, cure)
    except FileNotFoundError as error:
        message = f"{folder} has no int8 network: it was not quantised"
        raise MlopsError(
            message, f"quantise it, or choose precision: fp32 or bf16; {_AGAIN}"
        ) from error


def network(folder: Path | None, model: Path) -> Path:
    """The int8 network in a folder, if it is a bundle's and the recorded file.

    Args:
        folder: Where quantisation left it; none where nobody said.
        model: The bundle's folder.

    Raises:
        MlopsError: There is none, it was refused, was changed, or is of another model.
    """
    if folder is None:
        message = "precision is int8, and nobody said where the int8 network is"
        raise MlopsError(message, f"quantise the model, and name that folder by --int8; {_AGAIN}")
    record, path = read(folder), folder / NETWORK
    if record.bundle != bundle.digest(model):
        message = f"{folder / RECORD} is of another model than the one in {model}"
        raise MlopsError(message, f"quantise again: {_AGAIN}")
    if record.network is None:
        lost = -record.worst().difference
        message = f"int8 was refused: it loses {lost:.4f} accuracy, max_drop is {record.max_drop:g}"
        raise MlopsError(message, "choose precision: fp32 or bf16")
    if not path.is_file() or files.sha256_file(path) != record.network:
        message = f"{path} is not the file that quantisation recorded"
        raise MlopsError(message, f"quantise again: {_AGAIN}")
    return path
