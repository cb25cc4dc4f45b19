"""A linear classifier on pixels, or on the features of a frozen backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from mlops_spec.bundle import Preprocessing
from mlops_spec.spec import Head, ModelSpec
from trainers._torch import backbones
from trainers._torch.data import Pictures

if TYPE_CHECKING:
    import numpy as np

    from mlops_spec.manifest import Dataset
    from trainers._torch.backbones import Normalisation
    from trainers.benchmarks.linear_probe import Spec

_BATCH = 64
_ROUNDS = 200
_STILL = 1e-4  # a standard deviation of a feature
_NO_HEAD = Head(hidden=0, dropout=0.0, keep=False)  # and nothing is exported


def predict(spec: Spec, dataset: Dataset) -> np.ndarray:
    """Probabilities of the test images (N, classes)."""
    import numpy as np

    train, test = (_features(spec, dataset, split) for split in ("train", "test"))
    mean, std = train.double().mean(dim=0), train.double().std(dim=0)
    std[std < _STILL] = 1.0  # what never changed tells nothing, and its rounding even less
    train, test = (((x - mean) / std).float() for x in (train, test))
    targets = torch.as_tensor(dataset.targets(dataset.split("train")))
    classifier = _fitted(train, targets, len(dataset.classes), spec.l2)
    with torch.no_grad():
        logits = classifier(test)
    found = logits.sigmoid() if dataset.multi_label else logits.softmax(dim=1)
    return np.asarray(found.double())


def _fitted(features: torch.Tensor, targets: torch.Tensor, classes: int, l2: float) -> nn.Linear:
    """Logistic regression to the end, from zero: the same each time."""
    classifier = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    loss_of = cross_entropy if targets.dim() == 1 else binary_cross_entropy_with_logits
    search = torch.optim.LBFGS(
        classifier.parameters(), max_iter=_ROUNDS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = loss_of(classifier(features), targets) + l2 * classifier.weight.square().sum()
        value.backward()
        return value

    search.step(loss)
    return classifier


def _features(spec: Spec, dataset: Dataset, split: str) -> torch.Tensor:
    """What the classifier is given of each image (N, features)."""
    how = Preprocessing(
        channels=spec.channels,
        resize=spec.resize,
        input_size=spec.input_size,
        mean=(0.0,) * spec.channels,
        std=(1.0,) * spec.channels,
    )
    pictures = Pictures(dataset, split, how)
    backbone, normalisation = _backbone(spec)
    parts = []
    for begin in range(0, len(pictures), _BATCH):
        end = min(begin + _BATCH, len(pictures))
        batch = torch.stack([pictures.raw(i) for i in range(begin, end)]).float() / 255
        if normalisation is not None:
            mean, std = (
                torch.tensor(values).view(1, -1, 1, 1) for values in vars(normalisation).values()
            )
            batch = (batch - mean) / std
        with torch.no_grad():
            parts.append(backbone(batch))
    return torch.cat(parts)


def _backbone(spec: Spec) -> tuple[nn.Module, Normalisation | None]:
    if spec.backbone == "pixels":
        return nn.Flatten(), None
    values = spec.model_dump(exclude={"kind", "l2"})
    found = backbones.build(ModelSpec(**values, head=_NO_HEAD, onnx_tolerance=1.0))
    return found.module.eval(), found.normalisation
