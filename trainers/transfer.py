"""`training.kind: transfer`: Lightning trains a network or fine-tunes a pretrained one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_spec import pretrained
from mlops_spec.errors import StepError
from mlops_spec.spec import NO_FILE
from trainers._transfer_spec import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlops_spec.spec import Spec as WholeSpec
    from mlops_spec.step_spec import StepSpec

# Tells where a network of this trainer looked; its name alone, since training does not need it.
ATTENTION = "trainers._torch.attention"


def contradictions(spec: WholeSpec) -> Iterator[tuple[str, str]]:
    """Choices of the whole spec that this trainer can not follow together."""
    training = spec.training
    assert isinstance(training, Spec)
    if spec.model.weights == "none" and training.freeze.mode != "none":
        yield (
            "training.freeze.mode",
            "a frozen backbone needs pretrained weights: model.weights=imagenet",
        )
    if spec.model.weights == "imagenet" and spec.model.backbone == "small_cnn":
        yield "model.weights", "small_cnn has no pretrained weights: model.weights=none"
    if spec.model.weights in NO_FILE and spec.model.head.keep:
        yield "model.head.keep", "only a file of weights has a head: model.weights=model:NAME"
    yield from pretrained.contradictions(spec)
    yield from _within(training)
    yield from _together(
        training, spec.compute.devices * spec.compute.nodes, spec.model.head.hidden
    )


def _within(training: Spec) -> Iterator[tuple[str, str]]:
    if training.schedule.kind == "cosine" and training.schedule.warmup_epochs >= training.epochs:
        yield (
            "training.schedule.warmup_epochs",
            f"the warm-up leaves nothing of {training.epochs} epochs",
        )
    if training.loss == "focal" and training.label_smoothing:
        yield "training.label_smoothing", "the focal loss has none: training.label_smoothing=0.0"
    if training.class_weights == training.sampler == "balanced":
        yield "training.sampler", "class_weights=balanced makes up for rare classes already"
    yield from _augment(training)


def _augment(training: Spec) -> Iterator[tuple[str, str]]:
    augment = training.augment
    if augment.scale[0] > augment.scale[1]:
        yield "training.augment.scale", "should be the least share first, then the largest"
    for name in ("mixup", "cutmix"):
        key = f"training.augment.{name}"
        if getattr(augment, name) and training.loss == "focal":
            yield key, f"the focal loss needs images of one class: {key}=0.0"
        if getattr(augment, name) and training.batch_size == 1:
            yield key, f"there is no other image in a batch of one: {key}=0.0"


def _together(training: Spec, processes: int, hidden: int) -> Iterator[tuple[str, str]]:
    """What several processes can not do with one batch."""
    if training.batch_size % processes:
        what = f"should be a multiple of the {processes} devices that share each batch"
        yield "training.batch_size", what
    if hidden and training.batch_size == processes:
        what = "is one image for each device; BatchNorm in the head needs two: model.head.hidden=0"
        yield "training.batch_size", what
    if processes > 1 and (training.find.lr or training.find.batch_size):
        yield "training.find", "is for one device: compute.devices=1"
    if processes > 1 and training.debug.overfit_batches:
        yield "training.debug.overfit_batches", "is for one device: compute.devices=1"


def train(
    spec: StepSpec, data_dir: Path, out_dir: Path, weights: Path | None = None
) -> dict[str, float]:
    """Trains on a prepared data set and writes a model bundle.

    An interrupted training leaves its last checkpoint in `out_dir/.checkpoints`; the next call
    with the same folder continues from it and ends with the weights of an uninterrupted one.

    Args:
        spec: What is wanted.
        data_dir: The prepared data set.
        out_dir: Where the bundle goes.
        weights: The file or bundle to start from, where `model.weights` names one.

    Returns:
        The metrics of the best epoch on the validation split.

    Raises:
        StepError: It can not be done; what helps is said.
    """
    assert spec.model is not None
    if (weights is None) != (spec.model.weights in NO_FILE):
        message = f"model.weights={spec.model.weights} and --weights {weights} do not go together"
        raise StepError(message, "give the file that model.weights names, and no other")
    from trainers._torch import loop

    return loop.fit(spec, data_dir, out_dir, weights)
