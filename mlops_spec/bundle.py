"""The model bundle: one folder that training hands to everything after it.

    model.safetensors   weights
    model.onnx          the network, logits from preprocessed images; batch size is free
    model.json          labels, preprocessing, metrics, spec, digests, versions, golden inputs

No pickle anywhere. Labels and preprocessing live here and nowhere else: training, evaluation and
serving all prepare an image with the functions of this module, so there is nothing to drift.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from mlops_spec import files
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import onnxruntime
    from PIL import Image

FILES = ("model.safetensors", "model.onnx")
SHEET = "augmentation.jpg"  # beside them, for people: what training images were changed into
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # the decoders that strangers may reach


Activation = Literal["softmax", "sigmoid"]  # sigmoid: each label by itself


class Preprocessing(BaseModel):
    """From a picture to the network's input, in this order; sizes in pixels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int  # 1 grey, 3 RGB
    resize: int  # shorter side, bilinear
    input_size: int  # centre crop
    mean: tuple[float, ...]  # per channel, of values in 0..1
    std: tuple[float, ...]


class Golden(BaseModel):
    """An input with the probabilities that training recorded for it: what a service must repeat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str  # base64 of an image file
    scores: tuple[float, ...]  # one per label


class Card(BaseModel):
    """`model.json`: all there is to know about a model beside its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    data_digest: str
    spec: dict[str, Any]
    versions: dict[str, str]
    golden: tuple[Golden, ...]
    activation: Activation = "softmax"
    metrics: dict[str, float] = {}
    digests: dict[str, str] = {}


def write(folder: Path, card: Card) -> None:
    """Completes a bundle whose weights and network are written already."""
    digests = {name: files.sha256_file(folder / name) for name in FILES}
    complete = card.model_copy(update={"digests": digests})
    files.write_json(folder / "model.json", complete.model_dump(mode="json"))


def read(folder: Path) -> Card:
    """Reads a bundle's card after checking that the files beside it are the recorded ones.

    Raises:
        MlopsError: The folder is no bundle, or a file of it was changed.
    """
    try:
        document = files.read_json(folder / "model.json")
    except FileNotFoundError as error:
        message = f"{folder} is no model bundle: it has no model.json"
        raise MlopsError(message) from error
    document.pop("schema_version")
    card = Card.model_validate(document)
    for name in FILES:
        path = folder / name
        if not path.is_file() or files.sha256_file(path) != card.digests.get(name):
            message = f"{folder / name} is not the file that training recorded"
            raise MlopsError(message, "train again, or restore the bundle from its registry")
    return card


def digest(folder: Path) -> str:
    """The identity of a model: the digest of its network and weights."""
    return files.sha256_of({name: files.sha256_file(folder / name) for name in FILES})


def open_image(source: Path | bytes, channels: int) -> Image.Image:
    """Decodes a picture upright, as grey or RGB; transparency turns white, 16 bits become 8."""
    from PIL import Image

    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    with Image.open(opened, formats=_FORMATS) as file:
        return decoded(file, channels)


def decoded(file: Image.Image, channels: int) -> Image.Image:
    """What `open_image` makes of a picture that is open already."""
    from PIL import Image, ImageOps

    image: Image.Image = ImageOps.exif_transpose(file)
    if image.mode.startswith(("I", "F")):
        clear = image.info.get("transparency")
        image = image.convert("F").point(lambda value: value / 257.0)
        if clear is not None:
            image = image.convert("L")
            image.info["transparency"] = clear // 257
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB" if channels == 3 else "L")  # noqa: PLR2004 - RGB


def pixels(source: Path | bytes, how: Preprocessing) -> np.ndarray:
    """A picture resized and cropped: uint8, shape (input_size, input_size, channels)."""
    import numpy as np
    from PIL import Image

    image = open_image(source, how.channels)
    # Only what the crop keeps is resized: a strip of 1 x 1,000,000 pixels stays harmless.
    side = min(image.size) * how.input_size / how.resize
    left, top = ((whole - side) / 2 for whole in image.size)
    size, box = (how.input_size, how.input_size), (left, top, left + side, top + side)
    image = image.resize(size, Image.Resampling.BILINEAR, box)
    array = np.asarray(image, dtype=np.uint8)
    return array.reshape(how.input_size, how.input_size, how.channels)


def normalize(batch: np.ndarray, how: Preprocessing) -> np.ndarray:
    """From uint8 (N, H, W, C) to the network's input: float32 (N, C, H, W)."""
    import numpy as np

    mean, std = (np.asarray(values, dtype=np.float32) for values in (how.mean, how.std))
    scaled = (batch.astype(np.float32) / 255.0 - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, each by itself; float64, in which a sure one is not quite 1."""
    import numpy as np

    # From exp of what is negative only: nothing overflows.
    small = np.exp(-np.abs(logits.astype(np.float64)))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small))


def likely(probabilities: np.ndarray) -> np.ndarray:
    """Which labels an image has that may have several: those at least as probable as not."""
    return probabilities >= 0.5  # noqa: PLR2004 - as probable as not


def answered(labels: Sequence[str], probabilities: np.ndarray) -> list[str]:
    """The labels of one image that may have several."""
    return [label for label, has in zip(labels, likely(probabilities), strict=True) if has]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of (N, classes) logits, one of which is right."""
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def activated(logits: np.ndarray, activation: Activation) -> np.ndarray:
    """Probabilities of a model's logits (N, classes)."""
    return sigmoid(logits) if activation == "sigmoid" else softmax(logits)


@dataclass(frozen=True)
class Model:
    """A bundle ready to answer, by ONNX Runtime on the CPU."""

    card: Card
    session: onnxruntime.InferenceSession

    def logits(self, images: Sequence[Path | bytes]) -> np.ndarray:
        """Logits (N, classes) of pictures, in order."""
        import numpy as np

        how = self.card.preprocessing
        batch = normalize(np.stack([pixels(image, how) for image in images]), how)
        (answer,) = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        return np.asarray(answer)

    def probabilities(self, images: Sequence[Path | bytes]) -> np.ndarray:
        """Probabilities (N, classes) of pictures, in order."""
        return activated(self.logits(images), self.card.activation)


def load(folder: Path) -> Model:
    """Opens a bundle for inference."""
    import onnxruntime

    card = read(folder)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    path = str(folder / "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Model(card, session)


def golden(model: Model, images: Sequence[bytes]) -> tuple[Golden, ...]:
    """Records what a model answers for some image files."""
    scores = model.probabilities(images)
    return tuple(
        Golden(image=base64.b64encode(image).decode(), scores=tuple(map(float, row)))
        for image, row in zip(images, scores, strict=True)
    )
