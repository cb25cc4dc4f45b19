"""The training loop, on Lightning: fit, keep the best epoch, export a bundle."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import warnings
from typing import TYPE_CHECKING

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping
from pytorch_lightning.strategies import DDPStrategy

from mlops_spec import bundle, curves, manifest
from mlops_spec.bundle import Preprocessing
from mlops_spec.rows import Rows
from trainers._torch import (
    augment,
    backbones,
    checkpoints,
    losses,
    networks,
    tracking,
    tuning,
    weights,
)
from trainers._torch.classifier import Classifier
from trainers._torch.data import Pictures, channel_statistics, loader
from trainers._torch.export import export
from trainers._torch.progress import History, Lines
from trainers._torch.sampling import Dealt, Part, Shuffled
from trainers._transfer_spec import Spec

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_spec.manifest import Dataset
    from mlops_spec.spec import ModelSpec
    from mlops_spec.step_spec import StepCompute, StepSpec
    from trainers._torch.backbones import Normalisation

_ACCELERATORS = {"cuda": "gpu"}  # Lightning's word for it


def fit(
    spec: StepSpec, data_dir: Path, out_dir: Path, source: Path | None = None
) -> dict[str, float]:
    """Trains, keeps the best epoch on the validation split, and exports a bundle."""
    training = spec.training
    assert isinstance(training, Spec)
    assert spec.model is not None
    assert spec.compute is not None
    assert spec.seed is not None
    _quiet()
    pl.seed_everything(spec.seed, workers=True, verbose=False)
    dataset = manifest.read(data_dir)
    network, how = _start(spec.model, dataset, source)
    learned = dataset
    if training.debug.overfit_batches:
        learned, training = _by_heart(dataset, training), _unmixed(training)
    loss = losses.loss(training, learned)
    module = Classifier(network, training, how, loss, spec.seed)
    folder = out_dir / ".checkpoints"
    with tracking.tracked(spec, folder) as watchers:
        callbacks = [*_stopping(training), *watchers, *checkpoints.keepers(folder)]
        trainer = _trainer(training, spec.compute, callbacks)
        _run(trainer, module, learned, how, out_dir)
        if not trainer.is_global_zero:
            return {}
        state, metrics = checkpoints.best(folder)
        module.load_state_dict(state)
        curves.write(out_dir, checkpoints.history(folder))
        made = spec.model_copy(update={"training": module.spec})  # with what was found
        export(module.judged.cpu().eval(), made, dataset, how, out_dir)
    shutil.rmtree(folder)
    return metrics


def _start(
    model: ModelSpec, dataset: Dataset, source: Path | None
) -> tuple[networks.Network, Preprocessing]:
    """The network before training, and the preprocessing that its weights want."""
    backbone = backbones.build(model)
    network = networks.build(model, backbone.module, len(dataset.classes))
    if source is None:
        return network, preprocessing(model, dataset, backbone.normalisation)
    found = weights.read(source, model.channels)
    if model.head.keep:
        weights.check_labels(found, dataset.classes, multi_label=dataset.multi_label)
    weights.load(found, network, backbone, model)
    print(f"started from the weights of {source}", flush=True)  # noqa: T201 - as elsewhere
    return network, preprocessing(model, dataset, found.normalisation)


def preprocessing(
    model: ModelSpec, dataset: Dataset, normalisation: Normalisation | None
) -> Preprocessing:
    """Sizes from the spec, the normalisation from the weights.

    Where weights bring none: mean and deviation of the training images as the network sees them.
    """
    plain = Preprocessing(
        channels=model.channels,
        resize=model.resize,
        input_size=model.input_size,
        mean=(0.0,) * model.channels,
        std=(1.0,) * model.channels,
    )
    if normalisation is not None:
        return plain.model_copy(update=vars(normalisation))
    mean, std = channel_statistics(Pictures(dataset, "train", plain))
    return plain.model_copy(update={"mean": mean, "std": std})


def _by_heart(dataset: Dataset, training: Spec) -> Dataset:
    """A few training images, spread over the classes, which are the validation split too."""
    rows = dataset.split("train")
    count = min(training.debug.overfit_batches * training.batch_size, len(rows))
    few = [rows[i * len(rows) // count] for i in range(count)]
    both = [row._replace(split=split) for split in ("train", "val") for row in few]
    return dataclasses.replace(dataset, rows=Rows.of(both))


def _unmixed(training: Spec) -> Spec:
    """Settings that change no image by others: what is learned by heart must stay what it is."""
    plain = training.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
    return training.model_copy(update={"augment": plain})


def _run(
    trainer: pl.Trainer, module: Classifier, dataset: Dataset, how: Preprocessing, out_dir: Path
) -> None:
    """Fits, from the last checkpoint if there is one."""
    training, folder = module.spec, out_dir / ".checkpoints"
    part = Part(trainer.global_rank, trainer.world_size)
    start = checkpoints.start(folder, training.epochs, leader=part.rank == 0)
    pictures, judged = (
        Pictures(dataset, split, how, devices=trainer.num_devices) for split in ("train", "val")
    )
    if not training.debug.overfit_batches:
        pictures.augment = augment.of_one(training.augment, how.input_size)
    module.spec = training = tuning.found(module, pictures, trainer, folder / "found.json")
    if start.done:
        return
    if pictures.augment and part.rank == 0:
        sheet = out_dir / bundle.SHEET
        augment.write_sheet(pictures, module.mixing, sheet)
        print(f"what augmentation does is shown in {sheet}", flush=True)  # noqa: T201 - as elsewhere
    weights = losses.rarity(pictures.targets) if training.sampler == "balanced" else None
    size = training.batch_size // part.of
    shuffled = Shuffled(len(pictures), module.seed, start.epoch, part, weights)
    shuffled.skip(start.batches * size)
    try:
        with tuning.explained(training, pictures):
            trainer.fit(
                module,
                loader(pictures, size, training.workers, shuffled),
                loader(judged, size, training.workers, Dealt(len(judged), part)),
                ckpt_path=str(start.path) if start.path else None,
                weights_only=True,
            )
    except SystemExit:  # what Lightning makes of Ctrl-C and SIGTERM
        raise KeyboardInterrupt from None


def _trainer(training: Spec, compute: StepCompute, callbacks: list[Callback]) -> pl.Trainer:
    one = training.debug.one_batch
    several = compute.devices * compute.nodes > 1
    return pl.Trainer(
        accelerator=_ACCELERATORS.get(compute.accelerator, compute.accelerator),
        devices=compute.devices,
        num_nodes=compute.nodes,
        # Frozen weights have no gradient for the others to wait for.
        strategy=DDPStrategy(find_unused_parameters=True) if several else "auto",
        use_distributed_sampler=False,  # our samplers deal out, and a balanced one stays balanced
        max_epochs=1 if one else training.epochs,
        limit_train_batches=1 if one else None,
        limit_val_batches=1 if one else None,
        accumulate_grad_batches=training.accumulate,
        gradient_clip_val=training.gradient_clip or None,
        precision=training.precision,
        deterministic=training.deterministic,
        callbacks=[Lines(), History(), *callbacks],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def _stopping(training: Spec) -> list[Callback]:
    """Early stopping, where it is asked for; it judges before the checkpoint is written."""
    early = training.early_stopping
    if not early.patience:
        return []
    return [EarlyStopping(checkpoints.MONITORED, early.min_delta, early.patience)]


def _quiet() -> None:
    """Leaves the log to what a person asked for; hints and deprecations are for developers."""
    for name in (
        "pytorch_lightning",
        "lightning.pytorch",
        "lightning_fabric",
        "torch.onnx",
        "onnxscript",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings(
        "ignore", module=r"pytorch_lightning|lightning_fabric|torch|onnxscript|onnx_ir"
    )
    warnings.filterwarnings("ignore", category=FutureWarning)
