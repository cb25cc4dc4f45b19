"""The settings of the transfer trainer, apart from it because its insides read them too."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlops_spec.spec import Float, Fraction, Int, OpenSection, Section


class Augment(Section):
    """Random changes of the training images."""

    scale: tuple[Annotated[Float, Field(gt=0, le=1)], Annotated[Float, Field(gt=0, le=1)]]
    rotation: Annotated[Float, Field(ge=0, le=180)]
    translate: Fraction
    horizontal_flip: bool
    color_jitter: Fraction


class Spec(OpenSection):
    """How the network is trained."""

    kind: Literal["transfer"]
    epochs: Annotated[Int, Field(ge=1)]
    batch_size: Annotated[Int, Field(ge=1)]
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: Annotated[Float, Field(gt=0)]
    weight_decay: Annotated[Float, Field(ge=0)]
    momentum: Fraction
    schedule: Literal["constant", "cosine", "one_cycle"]
    label_smoothing: Fraction
    freeze: Literal["none", "backbone"]
    precision: Literal["32-true", "bf16-mixed"]
    workers: Annotated[Int, Field(ge=0)]
    deterministic: bool
    augment: Augment
