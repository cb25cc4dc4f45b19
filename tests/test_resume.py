"""Small trainings, whole: what is interrupted ends like the rest, and what fails says why."""

import itertools
import os
import signal

import pytest
import torch
from small_training import finish, pictures, settings, start, step
from toyproject import lines_until

from mlops_spec import files, manifest
from mlops_spec.errors import StepError
from trainers import _leaving
from trainers._torch import loop
from trainers._torch.classifier import Classifier
from trainers._torch.data import Pictures, loader
from trainers._torch.sampling import Dealt

pytestmark = pytest.mark.slow
SIX = {"epochs": 6, "batch_size": 8, "lr": 0.01}
EVERYTHING = {
    **SIX,
    "epochs": 8,
    "batch_size": 4,
    "accumulate": 2,
    "lr_decay": 0.8,
    "gradient_clip": 1.0,
    "schedule": {"kind": "plateau", "patience": 0, "factor": 0.5},
    "loss": "focal",
    "class_weights": "balanced",
    "freeze": {"mode": "gradual"},
    "augment": {"rand_augment": 2, "blur": 0.5, "random_erasing": 0.5, "vertical_flip": True},
    "ema": 0.9,
    "early_stopping": {"patience": 6},
    "workers": 2,
}
# Its validation loss rises at first, so that the best epoch is not the last one
RISING = {
    **SIX,
    "optimizer": "sgd",
    "lr": 0.05,
    "schedule": {"kind": "cosine", "warmup_epochs": 1},
    "freeze": {"mode": "gradual"},
    "sampler": "balanced",
    "augment": {"mixup": 0.4, "cutmix": 1.0},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize(
    ("values", "number"),
    [(SIX, signal.SIGKILL), (EVERYTHING, signal.SIGKILL), (RISING, signal.SIGTERM)],
    ids=["plain", "everything", "rising"],
)
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(values, number, data, tmp_path):
    unbroken = finish(settings(**values), data, tmp_path / "unbroken")
    process = start(settings(**values), data, tmp_path / "killed")
    list(lines_until(process, "epoch 4/"))
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGTERM else -number)
    resumed = finish(settings(**values), data, tmp_path / "killed")
    assert min(resumed) in (4, 5)  # the line of epoch 4 comes before its checkpoint
    assert resumed == {epoch: unbroken[epoch] for epoch in resumed}
    metrics = [files.read_json(tmp_path / x / "summary.json") for x in ("unbroken", "killed")]
    assert metrics[0] == metrics[1]
    assert metrics[0]["metrics"]["epoch"] > 4, "or the weights prove nothing"
    weights = [(tmp_path / x / "model.safetensors").read_bytes() for x in ("unbroken", "killed")]
    curves = [(tmp_path / x / "history.csv").read_bytes() for x in ("unbroken", "killed")]
    assert curves[0] == curves[1]
    assert weights[0] == weights[1]


# In this process, without a bundle


class Exported:
    """Takes the place of `export`: keeps the network, or is killed on the way."""

    def __init__(self, monkeypatch):
        self.fails = False
        monkeypatch.setattr(loop, "export", self)

    def __call__(self, network, _spec, _dataset, how, _out):
        if self.fails:
            raise OSError("killed")
        self.network, self.how = network, how


@pytest.fixture
def exported(monkeypatch):
    return Exported(monkeypatch)


def said(capsys) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line.split("  ")[0] for line in lines if line.startswith("epoch ")]


SCHEDULES = ("constant", "step", "cosine", "one_cycle", "plateau")


@pytest.fixture
def goes_on_exactly(data, tmp_path, exported, monkeypatch):
    """Trains with and without an interruption, and compares; no batch is learned twice."""
    learned = []
    training_step = Classifier.training_step

    def counted(self, batch, index):
        learned.append(batch)
        return training_step(self, batch, index)

    monkeypatch.setattr(Classifier, "training_step", counted)

    def compare(training, asked: int) -> None:
        metrics = loop.fit(step(training), data, tmp_path / "unbroken")
        expected = exported.network.state_dict()
        batches = len(learned)
        times = itertools.count()
        with monkeypatch.context() as patched:  # a signal comes just before it is asked for
            patched.setattr(_leaving, "told", lambda: next(times) == asked)
            with pytest.raises(KeyboardInterrupt):
                loop.fit(step(training), data, tmp_path / "broken")
        assert loop.fit(step(training), data, tmp_path / "broken") == metrics
        assert same(exported.network.state_dict(), expected)
        assert len(learned) == 2 * batches
        curves = [(tmp_path / x / "history.csv").read_bytes() for x in ("unbroken", "broken")]
        assert curves[0] == curves[1]

    return compare


# An epoch of the pictures has four batches; after each but the last is asked, and after the two
# of its validation.
ASKED = 5
PLACES = {1: "batch 2 of 4", 3: "its last batch", 12: "batch 3 of 4", 14: "its last batch"}


@pytest.mark.parametrize("asked", PLACES)
@pytest.mark.parametrize("how", [*itertools.product(SCHEDULES, ("adam", "sgd"))], ids="-".join)
def test_every_schedule_goes_on_exactly(how, asked, goes_on_exactly, capsys):
    schedule = {"kind": how[0], "warmup_epochs": 1, "step_epochs": 2, "patience": 0}
    training = settings(**SIX, schedule=schedule, optimizer=how[1], freeze={"mode": "gradual"})
    goes_on_exactly(training, asked)
    kept = f"interrupted in epoch {asked // ASKED + 1} after {PLACES[asked]}, which is kept"
    assert kept in capsys.readouterr().out


@pytest.mark.parametrize("asked", range(19))
def test_everything_goes_on_exactly_from_anywhere(asked, goes_on_exactly):
    """In an epoch is asked after three updates of two batches, and three times in validation."""
    goes_on_exactly(settings(**{**EVERYTHING, "epochs": 3, "workers": 0}), asked)


def same(state, other) -> bool:
    return all(torch.equal(state[name], other[name]) for name in state.keys() | other.keys())


def test_loading_processes_change_nothing(data, tmp_path, exported):
    found = []
    for workers in (0, 2):
        loop.fit(step(settings(**SIX, workers=workers)), data, tmp_path / str(workers))
        found.append(exported.network.state_dict())
    assert same(*found)


@pytest.mark.parametrize(("patience", "epochs"), [(0, 6), (2, 3)])
def test_what_ended_is_not_trained_again(patience, epochs, data, exported, capsys):
    training = settings(**SIX, early_stopping={"patience": patience, "min_delta": 9.0})
    out = data.parent / f"ended-{patience}"
    exported.fails = True
    with pytest.raises(OSError, match="killed"):
        loop.fit(step(training), data, out)
    assert said(capsys) == [f"epoch {i + 1}/6" for i in range(epochs)]
    exported.fails = False
    loop.fit(step(training), data, out)
    assert said(capsys) == []
    assert not (out / ".checkpoints").exists()


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_was_validated_is_exported(ema, data, tmp_path, exported):
    metrics = loop.fit(step(settings(**SIX, ema=ema)), data, tmp_path)
    val = Pictures(manifest.read(data), "val", exported.how)
    ((images, targets),) = loader(val, 64, 0, Dealt(len(val)))
    mean, std = exported.how.mean[0], exported.how.std[0]
    with torch.no_grad():
        logits = exported.network((images / 255 - mean) / std)
    loss = torch.nn.functional.cross_entropy(logits, targets).item()
    assert metrics["val_loss"] == pytest.approx(loss, rel=1e-4)


def test_the_average_is_another_network(data, tmp_path, exported):
    found = []
    for ema in (0.0, 0.9):
        loop.fit(step(settings(**SIX, ema=ema)), data, tmp_path / str(ema))
        found.append(exported.network.state_dict())
    assert found[0].keys() == found[1].keys()
    assert not same(*found)


def test_a_loss_that_is_not_finite_ends_training_at_its_batch(data, tmp_path, capsys):
    training = settings(**SIX | {"lr": 1e30}, optimizer="sgd", schedule={"kind": "constant"})
    with pytest.raises(StepError, match=r"diverged in epoch 1: the loss of batch [23] is") as at:
        loop.fit(step(training), data, tmp_path)
    assert "lower training.lr" in str(at.value)
    assert said(capsys) == []


def test_a_validation_loss_that_is_not_finite_ends_training_too(data, tmp_path):
    training = settings(epochs=3, lr=1e30, optimizer="sgd", schedule={"kind": "constant"})
    with pytest.raises(StepError, match="diverged in epoch 1: the validation loss is nan"):
        loop.fit(step(training), data, tmp_path)


@pytest.mark.usefixtures("exported")
def test_a_few_batches_are_learned_by_heart(data, tmp_path):
    few = settings(epochs=30, batch_size=8, lr=0.02, debug={"overfit_batches": 1})
    kept = loop._by_heart(manifest.read(data), few)
    assert [row.path for row in kept.split("train")] == [row.path for row in kept.split("val")]
    assert len(kept.split("train")) == 8
    assert {row.label for row in kept.split("train")} == {"0", "1", "2"}
    assert loop.fit(step(few), data, tmp_path)["val_loss"] < 0.2


def test_one_batch_is_one_batch_of_one_epoch(data, tmp_path, exported, capsys):
    loop.fit(step(settings(**SIX, debug={"one_batch": True})), data, tmp_path)
    assert said(capsys) == ["epoch 1/1"]
    (count,) = {int(v) for k, v in exported.network.state_dict().items() if "batches_tracked" in k}
    assert count == 1


@pytest.mark.usefixtures("exported")
def test_batches_are_accumulated_and_gradients_clipped(data, tmp_path, monkeypatch):
    made, make = [], loop._trainer
    monkeypatch.setattr(loop, "_trainer", lambda *given: made.append(make(*given)) or made[-1])
    training = settings(**SIX, accumulate=3, gradient_clip=0.5, schedule={"kind": "constant"})
    loop.fit(step(training), data, tmp_path)
    assert made[0].global_step == 6 * 2  # four batches an epoch: three, and the one left over
    assert made[0].gradient_clip_val == 0.5
