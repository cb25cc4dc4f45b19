"""What each engine and precision is worth: its right answers on the whole test split.

All of them see the same pixels, decoded once, and float32 by ONNX Runtime is what they are compared
with, image by image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deployers.scoring.quantized import Accuracy
from mlops_spec import bundle
from mlops_spec.judging import evidence
from mlops_spec.judging.evaluation import Asked, scored
from mlops_spec.judging.scores import finite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deployers.scoring.engines import Engine, Precision
    from mlops_spec.card import Card
    from mlops_spec.judging.scores import Scores
    from mlops_spec.manifest import Dataset
    from mlops_spec.rows import Rows

    Named = tuple[str, Precision]  # an engine's module, and what it computes in

REFERENCE: Named = ("onnxruntime", "fp32")
_RISK = 0.05  # of excluding a drop that there is
_HALVES = 20  # of the interval that holds the least excluded drop: to a millionth


def measure(
    some: Mapping[Named, Engine], dataset: Dataset, card: Card, batch: int
) -> list[Accuracy]:
    """Judges engines on the test split.

    Args:
        some: The engines, the reference among them.
        dataset: Whose test split it is.
        card: Of the model.
        batch: Images at a time.

    Raises:
        MlopsError: An answer is no number.
    """
    rows = dataset.split("test")
    found: dict[Named, list[np.ndarray]] = {name: [] for name in some}
    for pictures in batches(dataset, rows, card, batch):
        for name, engine in some.items():
            found[name].append(engine.logits(pictures))
    asked = Asked(card.labels, card.activation, 1, card.temperature)
    judged = {
        name: scored(rows, finite(np.concatenate(parts), rows, f" with {' '.join(name)}"), asked)
        for name, parts in found.items()
    }
    return [_compared(name, scores, judged[REFERENCE]) for name, scores in judged.items()]


def batches(dataset: Dataset, rows: Rows, card: Card, batch: int) -> Iterator[np.ndarray]:
    """Some rows' pictures as the network takes them, in order: uint8 (N, H, W, C)."""
    for begin in range(0, len(rows), batch):
        contents = (dataset.content(row) for row in rows[begin : begin + batch])
        yield np.stack([bundle.pixels(one, card.preprocessing) for one in contents])


def _compared(name: Named, scores: Scores, reference: Scores) -> Accuracy:
    """One engine's answers beside the reference's, on the same images."""
    ours, theirs = scores.right, reference.right
    gained, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    pairs = evidence.Pairs(gained, lost, len(ours))
    return Accuracy(
        engine=name[0],
        precision=name[1],
        accuracy=float(ours.mean()),
        gained=gained,
        lost=lost,
        difference=pairs.difference,
        interval=evidence.interval(pairs, evidence.LEVEL),
        drop_excluded=drop_excluded(pairs),
        largest_change=float(np.abs(scores.probabilities - reference.probabilities).max()),
    )


def drop_excluded(pairs: evidence.Pairs) -> float:
    """The least drop of accuracy that these answers speak against (Tango's test, at 5 %).

    An interval of no width says nothing where two models never differ; this says how much a
    test set of that size could have missed.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVES):
        middle = (low + high) / 2
        if evidence.p_value(pairs, middle) <= _RISK:
            high = middle
        else:
            low = middle
    return high
