"""The settings of the transfer trainer, apart from it because its insides read them too."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mlops_spec.spec import Float, Fraction, Int, OpenSection, Section

Count = Annotated[Int, Field(ge=1)]
Share = Annotated[Float, Field(ge=0, le=1)]
NotNegative = Annotated[Float, Field(ge=0)]


class Schedule(Section):
    """How the learning rate changes; each kind reads the fields it needs."""

    kind: Literal["constant", "step", "cosine", "one_cycle", "plateau"]
    warmup_epochs: Annotated[Int, Field(ge=0)]
    step_epochs: Count
    patience: Annotated[Int, Field(ge=0)]
    factor: Annotated[Float, Field(gt=0, lt=1)]


class Freeze(Section):
    """Which children of the backbone keep their weights, and for how long."""

    mode: Literal["none", "backbone", "first", "gradual"]
    children: Count
    unfreeze_every: Count


class EarlyStopping(Section):
    """When training ends before its last epoch."""

    patience: Annotated[Int, Field(ge=0)]
    min_delta: NotNegative


class Debug(Section):
    """Switches for finding out why a network does not learn."""

    overfit_batches: Annotated[Int, Field(ge=0)]
    one_batch: bool


class Find(Section):
    """What is found out before the first epoch instead of being given."""

    lr: bool
    batch_size: bool


class Augment(Section):
    """Random changes of the training images."""

    scale: tuple[Annotated[Float, Field(gt=0, le=1)], Annotated[Float, Field(gt=0, le=1)]]
    rotation: Annotated[Float, Field(ge=0, le=180)]
    translate: Fraction
    horizontal_flip: bool
    vertical_flip: bool
    color_jitter: Fraction
    rand_augment: Annotated[Int, Field(ge=0)]
    rand_magnitude: Annotated[Int, Field(ge=0, le=30)]
    blur: Share
    random_erasing: Share
    mixup: NotNegative
    cutmix: NotNegative


class Spec(OpenSection):
    """How the network is trained."""

    kind: Literal["transfer"]
    epochs: Count
    batch_size: Count
    accumulate: Count
    optimizer: Literal["adam", "adamw", "sgd"]
    lr: Annotated[Float, Field(gt=0)]
    lr_decay: Annotated[Float, Field(gt=0, le=1)]
    weight_decay: NotNegative
    momentum: Fraction
    gradient_clip: NotNegative
    schedule: Schedule
    loss: Literal["cross_entropy", "focal"]
    focal_gamma: NotNegative
    label_smoothing: Fraction
    class_weights: Literal["none", "balanced"]
    sampler: Literal["shuffled", "balanced"]
    freeze: Freeze
    ema: Fraction
    early_stopping: EarlyStopping
    precision: Literal["32-true", "bf16-mixed"]
    workers: Annotated[Int, Field(ge=0)]
    deterministic: bool
    find: Find
    compile: bool
    debug: Debug
    augment: Augment
