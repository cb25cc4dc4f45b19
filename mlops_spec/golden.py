"""Golden inputs: a few validation images that show what a model is like, and its answers to them.

A service repeats these answers before it takes over. Sure answers survive much that goes wrong, so
that doubtful ones are among them; and mistakes, which nobody has to look for then.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Literal

from mlops_spec import bundle, calibration
from mlops_spec.card import Golden

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np

    from mlops_spec.card import Preprocessing
    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Rows

    Why = Literal["mistake", "doubtful", "sure"]

_MOST = 8
_EACH = 2  # mistakes, doubtful ones that are wrong, doubtful ones that are right; the rest is sure
_LARGE = 64 * 2**10  # bytes; a larger file is encoded again
_SIDE = 512  # pixels at most of what is encoded again
_JPEG = {"quality": 95, "subsampling": 0}  # all colours: the network sees every pixel of them
_DIGITS = 6  # of a score


def record(
    model: bundle.Model, dataset: Dataset, rows: Rows, logits: np.ndarray
) -> tuple[Golden, ...]:
    """Chooses among images, and records what the model answers for exactly the stored bytes.

    Args:
        model: With its temperature.
        dataset: Where the images are.
        rows: Those to choose from.
        logits: What the model answered for them (N, classes).
    """
    several = model.card.activation == "sigmoid"
    targets = dataset.targets(rows)
    good = calibration.right(logits, targets, several=several)
    sure = margins(model.activated(logits), several=several)
    chosen = choose(good, sure, [row.label for row in rows])
    places = [place for place, _ in chosen]
    images = [stored(dataset.content(rows[i]), model.card.preprocessing) for i in places]
    answers = model.logits(images)
    still = calibration.right(answers, targets[places], several=several) == good[places]
    scores = model.activated(answers).round(_DIGITS)
    found = zip(chosen, images, scores, still, strict=True)
    return tuple(
        Golden(
            image=base64.b64encode(image).decode(),
            scores=tuple(map(float, row)),
            labels=tuple(dataset.labels(rows[place])),
            why=why,
        )
        for (place, why), image, row, same in found
        if same or why == "doubtful"  # encoded again, a mistake may be none
    )


def choose(right: np.ndarray, sure: np.ndarray, classes: Sequence[str]) -> list[tuple[int, Why]]:
    """Which images to keep, and why: the surest mistakes, the least sure answers, the surest ones.

    Args:
        right: Whether each image was answered right (N).
        sure: How sure its answer was (N).
        classes: What it is (N); different ones are preferred.
    """
    import numpy as np

    falling = [int(place) for place in np.argsort(-sure, kind="stable")]
    good, bad = ([i for i in falling if right[i] == wanted] for wanted in (True, False))
    wanted: list[tuple[Why, list[int], int]] = [
        ("mistake", bad, _EACH),
        ("doubtful", bad[::-1], _EACH),
        ("doubtful", good[::-1], _EACH),
        ("sure", good, _MOST),
    ]
    taken: dict[int, Why] = {}
    for why, order, most in wanted:
        free = _varied((i for i in order if i not in taken), classes)
        taken |= dict.fromkeys(free[: min(most, _MOST - len(taken))], why)
    return [*taken.items()]


def margins(probabilities: np.ndarray, *, several: bool) -> np.ndarray:
    """How sure each answer is, 0..1 (N): the best class's lead over the second one.

    Where an image may have several labels: that of yes over no, or the reverse, of the least sure.
    """
    import numpy as np

    if several:
        return np.asarray(np.abs(2 * probabilities - 1).min(axis=1))
    ordered = np.sort(probabilities, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def _varied(places: Iterable[int], classes: Sequence[str]) -> list[int]:
    """The first of each class, then the others; each in the given order."""
    first: dict[str, int] = {}
    others = [i for i in places if first.setdefault(classes[i], i) != i]
    return [*first.values(), *others]


def stored(content: bytes, how: Preprocessing) -> bytes:
    """An image file as it is or, a large one, as a JPEG of the part that the network sees."""
    if len(content) <= _LARGE:
        return content
    from PIL import Image

    side = min(how.resize, _SIDE)
    whole = how.model_copy(update={"resize": side, "input_size": side})  # its centre, uncropped
    picture = bundle.pixels(content, whole)
    file = io.BytesIO()
    picture = picture[:, :, 0] if how.channels == 1 else picture
    Image.fromarray(picture).save(file, "JPEG", **_JPEG)
    return min(content, file.getvalue(), key=len)
