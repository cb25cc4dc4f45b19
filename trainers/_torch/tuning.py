"""Finding a learning rate and a batch size before training, and what is done without memory."""

from __future__ import annotations

import copy
import math
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl
import torch
from pytorch_lightning.tuner.tuning import Tuner
from pytorch_lightning.utilities.memory import garbage_collection_cuda, is_oom_error

from mlops_spec import files
from mlops_spec.errors import StepError
from trainers._torch import freezing
from trainers._torch.data import loader
from trainers._torch.sampling import Shuffled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trainers._torch.classifier import Classifier
    from trainers._torch.data import Pictures
    from trainers._transfer_spec import Spec

_LEAST, _MOST, _UPDATES = 1e-6, 1.0, 100  # of the learning rate, on the way from one to the other
_SMOOTHING = 0.9  # of the losses on that way
_MOMENTS = 2  # that Adam keeps of each weight; SGD keeps one
_SHARE = 0.5  # of the free memory of a CPU that a batch may take


def found(module: Classifier, pictures: Pictures, trainer: pl.Trainer, notes: Path) -> Spec:
    """The settings of a training with what its finders found; nothing is learned.

    Args:
        module: What is to be trained.
        pictures: The training images.
        trainer: What will train it.
        notes: A file: what was found before an interruption counts.

    Raises:
        StepError: No learning rate makes the loss fall.
    """
    wanted = module.spec.find
    if not (wanted.lr or wanted.batch_size):
        return module.spec
    if not notes.exists():
        values: dict[str, float] = {}
        if wanted.batch_size:
            values["batch_size"] = _batch_size(module, pictures, trainer.strategy.root_device)
        if wanted.lr:
            size = int(values.get("batch_size", module.spec.batch_size))
            values["lr"] = _learning_rate(module, pictures, trainer, size, notes)
        files.write_json(notes, values)
    known = files.read_json(notes)
    names = ("batch_size", "lr")
    changes: dict[str, float] = {name: known[name] for name in names if name in known}
    words = ", ".join(f"training.{name}={value:.4g}" for name, value in changes.items())
    print(f"found {words}", flush=True)  # noqa: T201 - a step's standard output is its interface
    return module.spec.model_copy(update=changes)


def _learning_rate(
    module: Classifier, pictures: Pictures, trainer: pl.Trainer, size: int, notes: Path
) -> float:
    """The learning rate at which the loss falls fastest, of a short training in which it rises.

    Source: L. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017,
    arXiv:1506.01186. Lightning makes the training and undoes it.
    """
    apart = pl.Trainer(
        accelerator=trainer.accelerator,
        devices=1,
        precision=module.spec.precision,
        deterministic=module.spec.deterministic,
        default_root_dir=notes.parent,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = loader(pictures, size, 0, Shuffled(len(pictures), module.seed))
    module.searching = True
    search = Tuner(apart).lr_find(
        module,
        batches,
        min_lr=_LEAST,
        max_lr=_MOST,
        num_training=_UPDATES,
        update_attr=False,
    )
    module.searching = False
    assert search is not None
    return steepest(search.results["lr"], search.results["loss"])


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Of rising learning rates the one where the smoothed loss falls fastest by its logarithm.

    Raises:
        StepError: It never falls.
    """
    smooth, average = [], losses[0]
    for loss in losses:
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        smooth.append(average)
    slopes = [
        (after - before) / math.log(high / low)
        for before, after, low, high in zip(smooth, smooth[1:], rates, rates[1:], strict=False)
    ]
    finite = [slope if math.isfinite(slope) else math.inf for slope in slopes]
    best = min(range(len(finite)), key=finite.__getitem__, default=None)
    if best is None or finite[best] >= 0:
        message = f"no learning rate from {_LEAST} to {_MOST} makes the loss fall"
        raise StepError(message, "look at the data, or set training.find.lr=false and training.lr")
    return rates[best]


def _batch_size(module: Classifier, pictures: Pictures, device: torch.device) -> int:
    """The largest batch that memory holds, doubled from the spec's; at most all images.

    Lightning's own finder goes on until there is no memory. On a CPU the system then ends the
    process, so here half of what is free is the limit.
    """
    state = copy.deepcopy(module.network.state_dict())  # BatchNorm learns from any batch
    try:
        return _doubled(module, pictures, device)
    finally:
        module.network.load_state_dict(state)


def _doubled(module: Classifier, pictures: Pictures, device: torch.device) -> int:
    size, most = module.spec.batch_size, len(pictures)
    before = _peak_bytes()
    if not _fits(module, pictures, size, device):
        raise out_of_memory(module.spec, pictures)
    while 2 * size <= most:
        took = _peak_bytes() - before
        if device.type == "cpu" and 2 * took > _SHARE * _free_bytes():
            break
        if not _fits(module, pictures, 2 * size, device):
            break
        size *= 2
    return size


def _fits(module: Classifier, pictures: Pictures, size: int, device: torch.device) -> bool:
    """Whether memory holds one update with a batch of this size, and what an optimizer keeps."""
    images, _ = pictures[0]
    batch = images.expand(size, -1, -1, -1).to(device)
    network = module.to(device).network
    freezing.freeze(network, module.spec.freeze, module.spec.epochs)  # when most of it learns
    try:
        kept = [torch.empty_like(w) for w in network.parameters() for _ in range(_MOMENTS)]
        network(module.normalised(batch)).sum().backward()
        del kept
    except RuntimeError as error:
        if not is_oom_error(error):
            raise
        return False
    finally:
        network.zero_grad(set_to_none=True)
        garbage_collection_cuda()
    return True


def _peak_bytes() -> int:
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _free_bytes() -> float:
    """What the system could give without swapping; unknown, and so nothing, but on Linux."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    sizes = dict(line.split(":") for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024


def out_of_memory(training: Spec, pictures: Pictures) -> StepError:
    """What is said, and what helps."""
    size, side = training.batch_size, pictures.how.input_size
    message = f"out of memory with {size} images of {side} x {side} pixels in a batch"
    if size == 1:
        return StepError(message, "make model.input_size smaller, or choose a smaller backbone")
    smaller = f"training.batch_size={size // 2} training.accumulate={2 * training.accumulate}"
    return StepError(message, f"{smaller} makes the same updates with half of it")


@contextmanager
def explained(training: Spec, pictures: Pictures) -> Iterator[None]:
    """Says what helps where memory or a compiler is missing.

    Raises:
        StepError: One of them is.
    """
    try:
        yield
    except MemoryError as error:
        raise out_of_memory(training, pictures) from error
    except RuntimeError as error:
        if is_oom_error(error):
            raise out_of_memory(training, pictures) from error
        if training.compile and type(error).__module__.startswith(("torch._inductor", "torch._d")):
            message = f"torch.compile failed: {str(error).partition(chr(10))[0]}"
            raise StepError(
                message, "install what it asks for, or training.compile=false"
            ) from error
        raise
