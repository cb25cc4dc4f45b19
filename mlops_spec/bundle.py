"""The model bundle: one folder that training hands to everything after it.

    model.safetensors   weights
    model.onnx          from uint8 pictures to logits, normalisation included; batch size is free
    model.json          labels, preprocessing, temperature, metrics, spec, digests, golden inputs

No pickle anywhere. Labels and preprocessing live here and nowhere else: training, evaluation and
serving all prepare a picture with the functions of this module, so there is nothing to drift.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec import card as cards
from mlops_spec import files, network
from mlops_spec.card import Card, Golden, Preprocessing
from mlops_spec.errors import MlopsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import onnxruntime
    from PIL import Image

    from mlops_spec.card import Activation

__all__ = ["Card", "Golden", "Preprocessing"]  # of the card, and so of a bundle

FILES = ("model.safetensors", "model.onnx")
SHEET = "augmentation.jpg"  # beside them, for people: what training images were changed into
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # the decoders that strangers may reach


def write(folder: Path, card: Card) -> None:
    """Completes a bundle whose weights and network are written already.

    Raises:
        StateError: The card could not be read again.
    """
    for name in FILES:  # safetensors makes its file private; who serves is often another user
        (folder / name).chmod(0o644)
    digests = {name: files.sha256_file(folder / name) for name in FILES}
    path, text = folder / cards.FILE, cards.text(card.model_copy(update={"digests": digests}))
    cards.parsed(text.encode(), path)
    files.write_text(path, text)


def read(folder: Path) -> Card:
    """Reads a bundle's card after checking that the files beside it are the recorded ones.

    Raises:
        MlopsError: The folder is no bundle, its card is not understood, or a file was changed.
    """
    try:
        card = cards.read(folder / cards.FILE)
    except FileNotFoundError as error:
        message = f"{folder} is no model bundle: it has no {cards.FILE}"
        raise MlopsError(message) from error
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


@dataclass(frozen=True)
class Model:
    """A bundle ready to answer, by ONNX Runtime on the CPU."""

    card: Card
    session: onnxruntime.InferenceSession

    def logits(self, images: Sequence[Path | bytes]) -> np.ndarray:
        """Logits (N, classes) of pictures, in order."""
        import numpy as np

        return self.answer(np.stack([pixels(image, self.card.preprocessing) for image in images]))

    def answer(self, batch: np.ndarray) -> np.ndarray:
        """Logits (N, classes) of what `pixels` made, stacked: uint8 (N, H, W, C)."""
        import numpy as np

        (logits,) = self.session.run([network.OUTPUT], {network.INPUT: batch})
        return np.asarray(logits)

    def probabilities(self, images: Sequence[Path | bytes]) -> np.ndarray:
        """Probabilities (N, classes) of pictures, in order; float64."""
        return self.activated(self.logits(images))

    def activated(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities of this model's logits; float64."""
        return activated(logits, self.card.activation, self.card.temperature)


def activated(logits: np.ndarray, activation: Activation, temperature: float) -> np.ndarray:
    """Probabilities of logits, by a card's activation and temperature; float64.

    In which no two logits become equal by the division, so that it changes no answer.
    """
    activate = sigmoid if activation == "sigmoid" else softmax
    return activate(logits.astype("float64") / temperature)


def opened(folder: Path, card: Card) -> Model:
    """The network in a folder with a card that is known already.

    Raises:
        MlopsError: The network is not what the card says.
    """
    return Model(card, network.session(folder / FILES[1], contract(card)))


def contract(card: Card) -> network.Contract:
    """What the network of a card must take and answer."""
    how = card.preprocessing
    return network.Contract(how.input_size, how.channels, len(card.labels))


def load(folder: Path) -> Model:
    """Opens a bundle for inference.

    Raises:
        MlopsError: It is no bundle, was changed, or its network is not what the card says.
    """
    return opened(folder, read(folder))
