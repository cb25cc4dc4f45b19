"""Pictures as bad cameras, light and networks make them: how well a model stands it.

Source of the idea: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations", 2019, arXiv:1903.12261; these are fewer and lighter. They change
what a network is given, uint8 (H, W, C), after it was cut to size.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from mlops_spec.judging.metrics import measure
from mlops_spec.judging.scores import Scores, finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from PIL import Image

    from mlops_spec.bundle import Model
    from mlops_spec.manifest import Dataset

STRENGTHS = (1, 2, 3)
_BLUR = (0.006, 0.012, 0.024)  # radius, of the side
_LEAST_BLUR = 0.4  # pixels
_NOISE = (8.0, 16.0, 32.0)  # standard deviation, of 255
_LIGHT = (0.8, 0.6, 0.4)  # factor; every second picture is made brighter by its inverse
_QUALITY = (40, 20, 10)  # of a JPEG
_DEGREES = (5.0, 10.0, 20.0)  # every second picture is turned the other way


def blur(image: Image.Image, strength: int, _number: int) -> Image.Image:
    """Out of focus."""
    from PIL import ImageFilter

    radius = max(_BLUR[strength] * max(image.size), _LEAST_BLUR * (strength + 1))
    return image.filter(ImageFilter.GaussianBlur(radius))


def noise(image: Image.Image, strength: int, number: int) -> Image.Image:
    """Too little light for a sensor."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng((number, strength))
    grains = chance.normal(0, _NOISE[strength], np.asarray(image).shape)
    return Image.fromarray(np.clip(np.asarray(image) + grains, 0, 255).astype(np.uint8))


def brightness(image: Image.Image, strength: int, number: int) -> Image.Image:
    """Too dark, or too bright."""
    factor = _LIGHT[strength]
    factor = 1 / factor if number % 2 else factor
    return image.point(lambda value: value * factor)


def jpeg(image: Image.Image, strength: int, _number: int) -> Image.Image:
    """Saved to be small."""
    from PIL import Image

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY[strength])
    return Image.open(buffer)


def rotation(image: Image.Image, strength: int, number: int) -> Image.Image:
    """Held askew."""
    from PIL import Image

    angle = _DEGREES[strength] * (-1 if number % 2 else 1)
    return image.rotate(angle, Image.Resampling.BILINEAR)


_KINDS: dict[str, Callable[[Image.Image, int, int], Image.Image]] = {
    "blur": blur,
    "noise": noise,
    "brightness": brightness,
    "jpeg": jpeg,
    "rotation": rotation,
}


def judge(dataset: Dataset, model: Model, scores: Scores, most: int) -> Iterator[dict[str, Any]]:
    """Metrics of pictures that were made worse, of each kind at each strength; as they are first.

    Args:
        dataset: Where the images are.
        model: What is judged.
        scores: What it answers about the test set.
        most: At most so many images, from all over the test set.
    """
    import numpy as np

    from mlops_spec import bundle

    if not most:
        return
    count = min(most, len(scores.rows))
    chosen = np.arange(count) * len(scores.rows) // count
    rows = [scores.rows[int(i)] for i in chosen]
    how = model.card.preprocessing
    clean = np.stack([bundle.pixels(dataset.content(row), how) for row in rows])
    plain = Scores(rows, scores.labels, scores.targets[chosen], scores.probabilities[chosen])
    yield {"kind": "none", "strength": 0, "images": count, "metrics": measure(plain)}
    for kind in _KINDS:
        for strength in STRENGTHS:
            worse = [corrupted(picture, kind, strength, i) for i, picture in enumerate(clean)]
            made = f" of the test set made worse ({kind}, strength {strength})"
            p = model.activated(finite(_answers(model, worse), rows, made))
            found = Scores(rows, scores.labels, plain.targets, p)
            yield {"kind": kind, "strength": strength, "images": count, "metrics": measure(found)}


_BATCH = 32


def _answers(model: Model, pictures: list[np.ndarray]) -> np.ndarray:
    import numpy as np

    starts = range(0, len(pictures), _BATCH)
    return np.concatenate([model.answer(np.stack(pictures[i : i + _BATCH])) for i in starts])


def corrupted(picture: np.ndarray, kind: str, strength: int, number: int) -> np.ndarray:
    """A picture made worse, uint8 (H, W, C); the same each time.

    Args:
        picture: uint8 (H, W, C).
        kind: In which way.
        strength: 1 to 3.
        number: Of the picture, so that chance falls differently for each.
    """
    import numpy as np
    from PIL import Image

    image = _KINDS[kind](Image.fromarray(picture.squeeze()), strength - 1, number)
    return np.asarray(image, np.uint8).reshape(picture.shape)
