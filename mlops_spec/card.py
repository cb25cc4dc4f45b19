"""`model.json`, the card of a model bundle: what it may say, and a reader that refuses the rest.

A bundle may come from anywhere, so its card is untrusted. Whatever is not exactly as written down
here is an error with a cure: a key too many may change what the others mean.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mlops_spec import files
from mlops_spec.errors import StateError, suggest
from mlops_spec.files import NewerStateError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "model.json"
SCHEMA_VERSION = 2  # of the card and of what model.onnx takes; 1: float images, normalised already
_MAX_BYTES = 16 * 2**20
_OLDER = (
    "train again; a champion that old can not be compared with:"
    " give the new model a registered_model of its own"
)
_DAMAGED = "restore the bundle from its registry, or train again"
_SHOWN = 3  # problems in a message

Text = Annotated[str, Field(min_length=1)]
Size = Annotated[int, Field(ge=1, le=4096)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """Frozen, of known keys, and every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocessing(_Part):
    """From a picture to the network's logits, in this order; sizes in pixels.

    `resize` and `input_size` are done before the network, `mean` and `std` inside of model.onnx.
    """

    channels: Literal[1, 3]  # 1 grey, 3 RGB
    resize: Size  # shorter side, bilinear
    input_size: Size  # centre crop
    mean: tuple[float, ...]  # per channel, of values in 0..1
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _one_a_channel(self) -> Self:
        for name in ("mean", "std"):
            found = len(getattr(self, name))
            if found != self.channels:
                raise ValueError(f"{name} has {found} values for {self.channels} channels")
        return self


Activation = Literal["softmax", "sigmoid"]  # sigmoid: each label by itself


class Golden(_Part):
    """An input with the probabilities that training recorded for it: what a service must repeat."""

    image: Text  # base64 of an image file
    scores: tuple[Probability, ...]  # one per label
    labels: tuple[str, ...]  # what is right: one, where images may not have several
    why: Literal["mistake", "doubtful", "sure"]  # chosen as

    @field_validator("image")
    @classmethod
    def _is_base64(cls, value: str) -> str:
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"is no base64: {error}") from error
        return value


class Card(_Part):
    """`model.json`: all there is to know about a model beside its weights.

    What has a value here is still written, and must be there to be read.
    """

    trainer: str
    labels: Annotated[tuple[Text, ...], Field(min_length=1)]
    preprocessing: Preprocessing
    data_digest: str
    spec: dict[str, Any]
    versions: dict[str, str]
    golden: tuple[Golden, ...]
    activation: Activation = "softmax"
    temperature: Positive = 1.0  # logits are divided by it before the activation
    metrics: dict[str, float] = {}
    digests: dict[str, str] = {}

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if len({*self.labels}) < len(self.labels):
            raise ValueError("labels has one of them twice")
        for number, golden in enumerate(self.golden):
            if len(golden.scores) != len(self.labels):
                counts = f"{len(golden.scores)} scores for {len(self.labels)} labels"
                raise ValueError(f"golden.{number} has {counts}")
            if unknown := {*golden.labels} - {*self.labels}:
                raise ValueError(f"golden.{number} is of the unknown class {min(unknown)}")
        return self


def text(card: Card) -> str:
    """A card as it is written."""
    return files.json_text({"schema_version": SCHEMA_VERSION, **card.model_dump(mode="json")})


def read(path: Path) -> Card:
    """Reads a card.

    Raises:
        StateError: It is damaged, of another version, or says what this program does not know.
        FileNotFoundError: There is none.
    """
    size = path.stat().st_size
    if size > _MAX_BYTES:
        message = f"{path} has {size} bytes; a card has {_MAX_BYTES} at most"
        raise StateError(message, _DAMAGED)
    return parsed(path.read_bytes(), path)


def parsed(content: bytes, path: Path) -> Card:
    """The card that a file's content is; `path` is only named in errors."""
    document = _document(content, path)
    _check_version(document.pop("schema_version", None), path)
    missing = Card.model_fields.keys() - document.keys()
    if missing:
        raise StateError(f"{path} lacks {', '.join(sorted(missing))}", _DAMAGED)
    try:
        return Card.model_validate_json(json.dumps(document), strict=True)
    except RecursionError as error:
        raise StateError(f"{path} is damaged (it is nested too deeply)", _DAMAGED) from error
    except ValidationError as error:
        problems = [_said(each["loc"], each["msg"], each["type"]) for each in error.errors()]
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        message = f"{path} is no card of a model: {'; '.join(problems[:_SHOWN])}{more}"
        raise StateError(message, _DAMAGED) from error


def _document(content: bytes, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(content, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        message = f"{path} is damaged ({type(error).__name__}: {error})"
        raise StateError(message, _DAMAGED) from error
    if not isinstance(found, dict):
        raise StateError(f"{path} is damaged (it is no JSON object)", _DAMAGED)
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    number = float(word)
    return number if math.isfinite(number) else _no_number(word)


def _check_version(version: object, path: Path) -> None:
    if type(version) is not int or version < 1:
        raise StateError(f"{path} is damaged (its schema_version is {version!r})", _DAMAGED)
    if version > SCHEMA_VERSION:
        raise NewerStateError(path, version, SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        was = f"schema version {version}, this one reads {SCHEMA_VERSION}"
        raise StateError(f"{path} was written by an older mlops_spec ({was})", _OLDER)


def _said(where: tuple[int | str, ...], message: str, kind: str) -> str:
    """One problem that pydantic found, in a few words."""
    key = ".".join(map(str, where))
    what = message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        what = f"unknown key{suggest(str(where[-1]), Card.model_fields)}"
    return f"{key} {what}".strip()
