"""`benchmark.kind: linear_probe`: what a linear classifier finds in pixels, or in frozen features.

If a network is hardly better than one on pixels it learned little; if it is no better than one on
the features it started from, training them further was not worth it. Source of the idea: Alain and
Bengio, "Understanding intermediate layers using linear classifier probes", 2016, arXiv:1610.01644.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mlops_spec.spec import Float, Int, OpenSection

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from mlops_spec.manifest import Dataset
    from mlops_spec.spec import Spec as WholeSpec

PIXELS = "pixels"


class Spec(OpenSection):
    """What the classifier is given, and how it is kept from learning by heart."""

    kind: Literal["linear_probe"]
    backbone: Annotated[str, Field(min_length=1)]
    weights: Literal["none", "imagenet"]
    channels: Literal[1, 3]
    resize: Annotated[Int, Field(ge=4, le=4096)]
    input_size: Annotated[Int, Field(ge=4, le=4096)]
    l2: Annotated[Float, Field(ge=0)]


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """Features of a network that learned nothing, and weights of no network."""
    probe = spec.benchmark
    assert isinstance(probe, Spec)
    if probe.backbone == PIXELS and probe.weights != "none":
        yield "benchmark.weights", "pixels have no weights: benchmark.weights=none"
    if probe.backbone != PIXELS and probe.weights == "none":
        what = "features of chance tell nothing: benchmark.weights=imagenet"
        yield "benchmark.weights", f"{what}, or benchmark.backbone={PIXELS}"
    if probe.resize < probe.input_size:
        what = f"should be at least benchmark.input_size, {probe.input_size}, got {probe.resize}"
        yield "benchmark.resize", what


def predict(spec: Spec, dataset: Dataset) -> np.ndarray:
    """Probabilities of the test images (N, classes), learned from the training images alone."""
    from trainers._torch import probe

    return probe.predict(spec, dataset)
