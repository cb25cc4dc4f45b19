"""The numbers that sum up what a model answered on a test set.

Most metrics are sums over images. They are computed for any number of samples of a test set at
once, each given by how often it holds every image: the test set itself is the sample that holds
each image once, and a bootstrap is a thousand others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_spec.judging.scores import decisions

if TYPE_CHECKING:
    import numpy as np

    from mlops_spec.judging.scores import Scores

_LEAST = 1e-15  # a probability; its logarithm is finite
BINS = 15  # of confidence, equally wide, in which calibration is judged


@dataclass(frozen=True)
class PerClass:
    """Numbers of each class, (classes) or (samples, classes)."""

    images: np.ndarray
    said: np.ndarray
    right: np.ndarray

    @property
    def recall(self) -> np.ndarray:
        """Share of its images that were found; 0 where there is nothing to find."""
        return _share(self.right, self.images)

    @property
    def precision(self) -> np.ndarray:
        """Share of its answers that are right; 0 where it never was an answer."""
        return _share(self.right, self.said)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of both."""
        return _share(2 * self.right, self.images + self.said)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    import numpy as np

    return np.asarray(part / np.where(whole == 0, 1, whole))


def per_class(scores: Scores) -> PerClass:
    """How well each class is found (classes)."""
    true, said = scores.true, scores.said
    return PerClass(true.sum(axis=0), said.sum(axis=0), (true & said).sum(axis=0))


def measure(scores: Scores, top: int = 0) -> dict[str, float]:
    """The numbers of a test set, by name.

    `sampled` has their list; where there are two classes, or images may have several labels, the
    mean area under the ROC curves and the mean average precision are added, of the classes that
    some images have and some have not.

    Args:
        scores: What was answered.
        top: The k of top-k accuracy, which there is for more classes than that; 0 leaves it out.
    """
    import numpy as np

    once = np.ones((1, len(scores.rows)))
    found = {name: values[0] for name, values in sampled(scores, once, top).items()}
    for name, curve in (("roc_auc", roc_auc), ("mean_average_precision", average_precision)):
        areas = [curve(true, p) for true, p in ranked(scores) if 0 < true.sum() < len(true)]
        if areas:
            found[name] = np.mean(areas)
    return {name: float(number) for name, number in found.items()}


def ranked(scores: Scores) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each class that is a question of yes and no: whether images have it, its probabilities.

    Of two classes of which one is right the second is asked for.
    """
    if scores.multi_label:
        return [*zip(scores.true.T, scores.probabilities.T, strict=True)]
    if len(scores.labels) == 2:  # noqa: PLR2004 - yes and no
        return [(scores.true[:, 1], scores.probabilities[:, 1])]
    return []


def sampled(scores: Scores, counts: np.ndarray, top: int = 0) -> dict[str, np.ndarray]:
    """The metrics of samples of a test set, (samples) each.

    Of one label: accuracy, top-k accuracy, balanced accuracy, macro F1, Matthews' correlation
    coefficient. Of several, an image is right when all of them are; macro and micro F1. Both: log
    loss (natural logarithm), Brier score (the sum over classes of squared errors; of several labels
    and for log loss the mean), expected calibration error. Classes that a sample has no image
    and no answer of count nowhere.

    Args:
        scores: What was answered about the test set.
        counts: How often each sample holds each image (samples, N).
        top: The k of top-k accuracy; 0 for none.
    """
    images = counts.sum(axis=1)
    each = _per_class(scores, counts)
    met, named = each.images > 0, (each.images + each.said) > 0
    found = {"accuracy": counts @ scores.right / images}
    if not scores.multi_label:
        if 0 < top < len(scores.labels):
            found["top_k_accuracy"] = counts @ _among(scores, top) / images
        found["balanced_accuracy"] = _share((each.recall * met).sum(axis=1), met.sum(axis=1))
    found["macro_f1"] = _share((each.f1 * named).sum(axis=1), named.sum(axis=1))
    if scores.multi_label:
        either = (each.images + each.said).sum(axis=1)
        found["micro_f1"] = _share(2 * each.right.sum(axis=1), either)
    else:
        found["matthews"] = _matthews(each, images)
    losses, squares = _losses(scores)
    found["log_loss"] = counts @ losses / images
    found["brier"] = counts @ squares / images
    found["calibration_error"] = _calibration_error(scores, counts)
    return found


def _per_class(scores: Scores, counts: np.ndarray) -> PerClass:
    """Sums over each class's images (samples, classes)."""
    if scores.multi_label:
        true, said = scores.true.astype(counts.dtype), scores.said.astype(counts.dtype)
        return PerClass(counts @ true, counts @ said, counts @ (true * said))
    known, classes = scores.targets >= 0, len(scores.labels)
    targets, hits = scores.targets[known], counts[:, known] * scores.right[known]
    return PerClass(
        _by_group(counts[:, known], targets, classes),
        _by_group(counts, scores.predictions, classes),
        _by_group(hits, targets, classes),
    )


def _by_group(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Sums of values (samples, N) over the images of each group (samples, count)."""
    import numpy as np

    sums = np.zeros((len(values), count))
    order = np.argsort(groups, kind="stable")
    there, first = np.unique(groups[order], return_index=True)
    if len(there):
        sums[:, there] = np.add.reduceat(values[:, order], first, axis=1)
    return sums


def _among(scores: Scores, top: int) -> np.ndarray:
    """Whether what is right is among the most probable (N); of equals the first ones are."""
    import numpy as np

    best = np.argsort(-scores.probabilities, axis=1, kind="stable")[:, :top]
    return np.asarray((best == scores.targets[:, None]).any(axis=1))


def _matthews(each: PerClass, images: np.ndarray) -> np.ndarray:
    """Correlation of answers and truth; 0 where one of them is always the same.

    Source: J. Gorodkin, "Comparing two K-category assignments by a K-category correlation
    coefficient", 2004.
    """
    import numpy as np

    right = each.right.sum(axis=1)
    covariance = right * images - (each.images * each.said).sum(axis=1)
    spread = [images**2 - (sums**2).sum(axis=1) for sums in (each.images, each.said)]
    return _share(covariance, np.sqrt(np.maximum(spread[0] * spread[1], 0)))


def _losses(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Negative log likelihood and squared error of each image (N)."""
    import numpy as np

    p, true = scores.probabilities, scores.true
    if scores.multi_label:
        likelihood = np.maximum(np.where(true, p, 1 - p), _LEAST)
        return -np.log(likelihood).mean(axis=1), ((p - true) ** 2).mean(axis=1)
    likelihood = np.maximum((p * true).sum(axis=1), _LEAST)
    return -np.log(likelihood), ((p - true) ** 2).sum(axis=1)


def bin_of(sure: np.ndarray) -> np.ndarray:
    """Which of `BINS` a confidence is in."""
    import numpy as np

    return np.minimum((sure * BINS).astype(np.int64), BINS - 1)


def _calibration_error(scores: Scores, counts: np.ndarray) -> np.ndarray:
    """Mean distance of confidence and accuracy over bins, by how much is in them.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, arXiv:1706.04599.
    """
    import numpy as np

    sure, right = decisions(scores)
    off, place = sure - right, bin_of(sure)
    sums = np.stack([(off * (place == i)).sum(axis=1) for i in range(BINS)], axis=1)
    total = counts.sum(axis=1) * sure.shape[1]
    return np.asarray(np.abs(counts @ sums).sum(axis=1) / total)


def average_precision(true: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean precision at the rank of each image that has the class; 0 where none has it.

    Images that are thought of alike have one rank.

    Args:
        true: Whether each image has the class (N).
        probabilities: What the model thinks of it (N).
    """
    import numpy as np

    found, seen = _found(true, probabilities)
    gained = np.diff(found, prepend=0)
    return float((gained * found / seen).sum() / max(found[-1], 1))


def roc_auc(true: np.ndarray, probabilities: np.ndarray) -> float:
    """The chance that an image of the class is thought more likely to have it than another one.

    A half where one of the two kinds is missing: there is nothing to tell apart.
    """
    import numpy as np

    x, y = roc(true, probabilities)
    return float(np.trapezoid(y, x)) if x[-1] and y[-1] else 0.5


def roc(true: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates as more and more images are answered yes; both begin at 0."""
    import numpy as np

    found, seen = _found(true, probabilities)
    y, x = (np.concatenate([[0], sums]) for sums in (found, seen - found))
    return x / max(x[-1], 1), y / max(y[-1], 1)


def _found(true: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of the class, and images, that are at least as probable, for each probability."""
    import numpy as np

    order = np.argsort(-probabilities, kind="stable")
    ordered, sums = probabilities[order], np.cumsum(true[order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each run of equals
    return sums[last], last + 1


def confusion(scores: Scores) -> np.ndarray:
    """Counts of shape (true class, predicted class) where each image has one label."""
    import numpy as np

    matrix = np.zeros((len(scores.labels), len(scores.labels)), dtype=np.int64)
    known = scores.targets >= 0
    np.add.at(matrix, (scores.targets[known], scores.predictions[known]), 1)
    return matrix
