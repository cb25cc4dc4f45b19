"""The parts of a page that are about single answers: mistakes, doubts, pairs that are mixed up."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_spec.judging.metrics import confusion
from mlops_spec.judging.scores import confidence, doubtful, mistakes
from mlops_spec.report import pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from mlops_spec.bundle import Preprocessing
    from mlops_spec.judging.scores import Scores
    from mlops_spec.manifest import Dataset

    # Of image files and class indices: how much each part counted for the class, 0 to 1 (N, H, W)
    Attention = Callable[[Sequence[bytes], Sequence[int]], np.ndarray | None]

_MOST = 18  # mistakes, and as many doubtful answers
_PAIRS, _OF_A_PAIR = 8, 3
READABLE = 25  # classes whose matrix is a table of numbers; more are a picture


@dataclass(frozen=True)
class Gallery:
    """Pictures of single answers.

    Attributes:
        scores: What was answered.
        dataset: Where the images are.
        how: The network's preprocessing.
        attention: What draws where a network looked, if its trainer can tell.
    """

    scores: Scores
    dataset: Dataset
    how: Preprocessing
    attention: Attention | None = None

    def mistakes(self) -> list[dict[str, Any]]:
        """The most confident ones first."""
        return list(self._figures(mistakes(self.scores, _MOST)))

    def doubtful(self) -> list[dict[str, Any]]:
        """Right answers, the least confident first."""
        return list(self._figures(doubtful(self.scores, _MOST)))

    def _figures(self, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
        rows = [self.scores.rows[i] for i in chosen]
        contents = [self.dataset.content(row) for row in rows]
        heat = self._heat(contents, chosen)
        sure = confidence(self.scores)
        for position, (i, row, content) in enumerate(zip(chosen, rows, contents, strict=True)):
            spots = None if heat is None else heat[position]
            yield {
                "path": row.path,
                "label": row.label or "nothing",
                "prediction": self.scores.answers[i] or "nothing",
                "probability": float(sure[i]),
                "picture": pictures.view(content, self.how),
                "heat": "" if spots is None else pictures.view(content, self.how, spots),
            }

    def _heat(self, contents: Sequence[bytes], chosen: Sequence[int]) -> np.ndarray | None:
        if self.attention is None or not contents:
            return None
        return self.attention(contents, [int(self.scores.predictions[i]) for i in chosen])

    def pairs(self) -> list[dict[str, Any]]:
        """Classes that are taken for others most often, with pictures of both."""
        if self.scores.multi_label:
            return []
        return list(self._pairs(confusion(self.scores)))

    def _pairs(self, counts: np.ndarray) -> Iterator[dict[str, Any]]:
        import numpy as np

        wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
        order = np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS]
        for true, said in zip(*np.unravel_index(order, counts.shape), strict=True):
            if wrong[true, said]:
                yield {
                    "true": self.scores.labels[true],
                    "said": self.scores.labels[said],
                    "count": int(wrong[true, said]),
                    "of": int(counts[true].sum()),
                    "mixed_up": list(self._examples(true, said)),
                    "right": list(self._examples(said, said)),
                }

    def _examples(self, true: int, said: int) -> Iterator[dict[str, str]]:
        import numpy as np

        s = self.scores
        found = np.flatnonzero((s.targets == true) & (s.predictions == said))
        for i in found[np.argsort(-confidence(s)[found], kind="stable")][:_OF_A_PAIR]:
            row = s.rows[int(i)]
            with contextlib.suppress(OSError, ValueError, SyntaxError):
                picture = pictures.thumbnail(self.dataset.root / row.path)
                yield {"path": row.path, "picture": picture}


def matrix(scores: Scores) -> dict[str, Any]:
    """The confusion matrix: numbers where they can be read, else a picture and its cells."""
    import numpy as np

    if scores.multi_label:
        return {}
    counts = confusion(scores)
    if len(counts) <= READABLE:
        return {"rows": counts.tolist(), "most": int(counts.max())}
    true, said = np.nonzero(counts)
    cells = np.stack([true, said, counts[true, said]], axis=1)
    return {"picture": pictures.matrix(counts), "cells": cells.tolist()}


def classes(scores: Scores, measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was measured of each class, and what it is taken for most often."""
    import numpy as np

    if scores.multi_label:
        return [{**each, "taken_for": ""} for each in measured]
    counts = confusion(scores)
    np.fill_diagonal(counts, 0)
    best = counts.argmax(axis=1)
    return [
        {**each, "taken_for": scores.labels[best[i]] if counts[i, best[i]] else ""}
        for i, each in enumerate(measured)
    ]
