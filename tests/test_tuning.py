"""Finders find what is asked for and leave no trace; a lack of memory is said with its cure."""

import math
import resource
import subprocess
import sys

import pytest
import torch
from small_training import finish, pictures, settings, start, step

from mlops_spec import bundle, files, manifest
from mlops_spec.bundle import Preprocessing
from mlops_spec.errors import StepError
from trainers._torch import tuning
from trainers._torch.data import Pictures

RATES = [10 ** (i / 10 - 6) for i in range(61)]


def test_the_learning_rate_is_where_the_loss_falls_fastest() -> None:
    """A loss that is flat, falls around 1e-3 and explodes at the end."""
    losses = [2 - 1.5 / (1 + math.exp(-4 * (math.log10(rate) + 3))) for rate in RATES]
    losses[-8:] = [2.0 * 3**i for i in range(7)] + [math.nan]
    assert 5e-4 < tuning.steepest(RATES, losses) < 1e-2  # smoothing comes after


@pytest.mark.parametrize("losses", [[1.0 + i for i in range(61)], [math.nan] * 61, [1.0]])
def test_a_loss_that_never_falls_is_said(losses) -> None:
    with pytest.raises(StepError, match="no learning rate"):
        tuning.steepest(RATES, losses)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
def test_what_is_found_is_what_is_trained_with(data, tmp_path) -> None:
    """Training with a found rate is training with that very rate given."""
    from safetensors.torch import load_file

    searched = settings(epochs=2, batch_size=16, find={"lr": True})
    finish(searched, data, tmp_path / "searched")
    rate = bundle.read(tmp_path / "searched").spec["training"]["lr"]
    assert 1e-6 < rate < 1
    assert rate != searched.lr
    finish(settings(epochs=2, batch_size=16, lr=rate), data, tmp_path / "given")
    one, other = (load_file(tmp_path / n / "model.safetensors") for n in ("searched", "given"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.slow
def test_a_batch_is_doubled_as_long_as_there_are_images(data, tmp_path) -> None:
    finish(settings(epochs=1, batch_size=4, find={"batch_size": True}), data, tmp_path / "out")
    assert bundle.read(tmp_path / "out").spec["training"]["batch_size"] == 32  # all there are


@pytest.mark.slow
def test_what_was_found_counts_after_an_interruption(data, tmp_path) -> None:
    training = settings(epochs=300, batch_size=4, find={"lr": True, "batch_size": True})
    process = start(training, data, tmp_path / "out")
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.kill()
    process.communicate()
    notes = files.read_json(tmp_path / "out" / ".checkpoints" / "found.json")
    again = start(training, data, tmp_path / "out")
    said = [next(again.stdout) for _ in range(3)]
    again.kill()
    again.communicate()
    assert (
        f"found training.batch_size={notes['batch_size']}, training.lr={notes['lr']:.4g}\n" in said
    )


@pytest.fixture
def module(data):
    from trainers._torch import backbones, losses, networks
    from trainers._torch.classifier import Classifier

    spec = step(settings(batch_size=4))
    backbone = backbones.build(spec.model)
    network = networks.build(spec.model, backbone.module, 3)
    dataset = manifest.read(data)
    how = Preprocessing(channels=1, resize=8, input_size=8, mean=(0.0,), std=(1.0,))
    found = Pictures(dataset, "train", how)
    return Classifier(network, spec.training, how, losses.loss(spec.training, dataset), 0), found


CPU = torch.device("cpu")


def test_a_batch_stops_before_it_takes_what_is_free(module, monkeypatch) -> None:
    peak = iter(range(0, 10_000, 100))  # each look at it, 100 bytes more
    monkeypatch.setattr(tuning, "_peak_bytes", lambda: next(peak))
    monkeypatch.setattr(tuning, "_free_bytes", lambda: 1000)
    assert tuning._batch_size(*module, CPU) == 16  # the third trial took 300 bytes


def test_a_batch_that_does_not_fit_is_not_taken(module, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "_fits", lambda _module, _pictures, size, _device: size <= 8)
    assert tuning._batch_size(*module, CPU) == 8
    monkeypatch.setattr(tuning, "_fits", lambda *_: False)
    with pytest.raises(StepError, match="out of memory with 4 images of 8 x 8 pixels"):
        tuning._batch_size(*module, CPU)


@pytest.mark.parametrize(
    ("size", "accumulate", "cure"),
    [
        (16, 3, "training.batch_size=8 training.accumulate=6"),
        (1, 1, "make model.input_size smaller"),
    ],
)
def test_what_helps_against_a_lack_of_memory_helps(module, size, accumulate, cure) -> None:
    training = settings(batch_size=size, accumulate=accumulate)
    assert cure in str(tuning.out_of_memory(training, module[1]))


def test_trying_a_batch_leaves_no_trace(module) -> None:
    before = {name: tensor.clone() for name, tensor in module[0].network.state_dict().items()}
    tuning._batch_size(*module, CPU)
    after = module[0].network.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(weight.grad is None for weight in module[0].network.parameters())


@pytest.mark.slow
def test_a_compiler_that_is_missing_is_said_with_the_cure(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    process = start(settings(epochs=1, compile=True), data, tmp_path / "out")
    said, _ = process.communicate()
    assert process.returncode == 5, said
    assert "error: torch.compile failed: InvalidCxxCompiler" in said
    assert "training.compile=false" in said


SMALL_MACHINE = """
import resource, sys
from trainers._torch import loop
from trainers import __main__
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), resource.RLIM_INFINITY))
sys.exit(__main__.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_lack_of_memory_is_said_with_what_helps(data, tmp_path) -> None:
    whole = step(settings(epochs=1, batch_size=16)).model_dump(exclude_none=True)
    whole["model"] |= {"resize": 1024, "input_size": 1024}
    files.write_json(tmp_path / "spec.json", whole)
    words = ["train", "--spec", tmp_path / "spec.json", "--data", data, "--out", tmp_path / "out"]
    answer = subprocess.run(
        [sys.executable, "-c", SMALL_MACHINE, *words], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 5, answer.stderr
    assert "error: out of memory with 16 images of 1024 x 1024 pixels" in answer.stderr
    assert "training.batch_size=8 training.accumulate=2" in answer.stderr
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own
def test_a_compiled_network_learns_the_same_while_parts_are_released(module) -> None:
    from trainers._torch import freezing
    from trainers._torch.classifier import Classifier

    eager, found = module
    network, training = eager.network, settings(freeze={"mode": "gradual"}, compile=True)
    network.head.eval()  # Dropout draws its chance in another way when compiled
    compiled = Classifier(network, training, found.how, eager.loss, 0)
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    images = torch.rand(4, 1, 8, 8)
    for epoch in range(3):
        freezing.freeze(network, training.freeze, epoch)
        network.head.eval()
        gradients = []
        for answer in (eager.logits_of, compiled.logits_of):
            network.zero_grad(set_to_none=True)
            answer(images).square().sum().backward()
            gradients.append([weight.grad for weight in network.parameters()])
        assert sum(one is None for one in gradients[0]) == (9, 7, 6)[epoch]
        for one, other in zip(*gradients, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
