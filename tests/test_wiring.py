"""What the spec asks for reaches the loop: loaders, trainer and step do what their settings say."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_training import pictures, settings, step
from torch import nn

from mlops_spec import manifest
from mlops_spec.actions import Context, Outcome, local
from mlops_spec.actions._said import Said
from mlops_spec.errors import StepError
from mlops_spec.steps import Step
from trainers import _verbs
from trainers._torch import loop, losses
from trainers._torch.classifier import Classifier
from trainers._torch.sampling import Dealt


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return manifest.read(pictures(tmp_path_factory.mktemp("data")))


def module_of(data, training):
    spec = step(training)
    network, how = loop._start(spec.model, data, None)
    return Classifier(network, training, how, losses.loss(training, data), 0), how


def loaders(data, training, out: Path, devices: int = 1):
    """What `Trainer.fit` would be given."""
    given = []
    trainer = SimpleNamespace(
        global_rank=0,
        world_size=1,
        num_devices=devices,
        fit=lambda _module, *both, **_: given.extend(both),
    )
    module, how = module_of(data, training)
    loop._run(trainer, module, data, how, out)
    return given


def test_a_balanced_sampler_draws_by_rarity(data, tmp_path) -> None:
    plain, _ = loaders(data, settings(), tmp_path)
    assert plain.sampler.weights is None
    train, val = loaders(data, settings(sampler="balanced"), tmp_path)
    expected = losses.rarity(train.dataset.targets)
    torch.testing.assert_close(train.sampler.weights, expected)
    assert isinstance(val.sampler, Dealt)


def test_every_batch_draws_chance_of_its_own(data) -> None:
    module, _ = module_of(data, settings())
    drawn = set()
    for index in (0, 1, 0):
        module.on_train_batch_start(None, index)
        drawn.add(torch.rand(()).item())
    assert len(drawn) == 2


def test_only_training_images_are_changed(data, tmp_path) -> None:
    train, val = loaders(data, settings(augment={"vertical_flip": True}), tmp_path)
    assert "RandomVerticalFlip" in str(train.dataset.augment)
    assert val.dataset.augment is None


@pytest.mark.parametrize(("size", "dropped"), [(31, True), (8, False), (1, False)])
def test_a_last_batch_of_one_image_is_left_to_another_epoch(data, tmp_path, size, dropped) -> None:
    train, val = loaders(data, settings(batch_size=size), tmp_path)
    assert len(train.dataset) == 32, "or 31 leaves another number over"
    assert train.drop_last == dropped
    assert not val.drop_last


def test_decoded_pictures_share_the_memory_of_a_machine(data, tmp_path) -> None:
    room = [loaders(data, settings(), tmp_path, devices)[0].dataset._room for devices in (1, 4)]
    assert room[0] == 4 * room[1]


def test_what_is_learned_by_heart_stays_what_it_is(data) -> None:
    training = settings(augment={"mixup": 1.0, "cutmix": 1.0}, debug={"overfit_batches": 1})
    assert not module_of(data, loop._unmixed(training))[0].mixing.ways
    assert len(module_of(data, training)[0].mixing.ways) == 2


def test_trainer_has_the_settings(monkeypatch) -> None:
    given = {}
    monkeypatch.setattr("pytorch_lightning.Trainer", lambda **how: given.update(how))
    training = settings(
        precision="bf16-mixed", deterministic=False, accumulate=3, gradient_clip=0.5, epochs=7
    )
    compute = SimpleNamespace(accelerator="cuda", devices=1, nodes=1)
    loop._trainer(training, compute, [])
    expected = {
        "accelerator": "gpu",
        "precision": "bf16-mixed",
        "deterministic": False,
        "accumulate_grad_batches": 3,
        "gradient_clip_val": 0.5,
        "max_epochs": 7,
        "strategy": "auto",
        "use_distributed_sampler": False,
    }
    assert {name: given[name] for name in expected} == expected
    loop._trainer(training, SimpleNamespace(accelerator="cpu", devices=2, nodes=3), [])
    assert (given["devices"], given["num_nodes"]) == (2, 3)
    assert given["strategy"]._ddp_kwargs == {"find_unused_parameters": True}


@pytest.mark.parametrize(("mixup", "mixed"), [(0.0, False), (1.0, True)])
def test_a_step_learns_from_mixed_images(data, mixup, mixed) -> None:
    seen = {}

    class Loss(nn.Module):
        def forward(self, logits, targets):
            seen["targets"] = targets
            return logits.sum()

    module, _ = module_of(data, settings(augment={"mixup": mixup}))
    module.loss = Loss()
    module.log = lambda *_, **__: None
    module._trainer = SimpleNamespace(world_size=1)
    images = torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8)
    module.training_step([images, torch.arange(4) % 3], 0)
    assert (seen["targets"].ndim == 2) == mixed


def test_nothing_of_a_model_is_wider_than_every_device_takes(data) -> None:
    module, _ = module_of(data, settings(ema=0.9, class_weights="balanced"))
    tensors = [*module.parameters(), *module.buffers()]
    assert torch.float64 not in {tensor.dtype for tensor in tensors}, "MPS has none"


def test_weights_that_changed_after_planning_are_refused(tmp_path) -> None:
    (tmp_path / "w.pt").write_bytes(b"other")
    given = SimpleNamespace(weights=tmp_path / "w.pt", weights_digest="planned")
    with pytest.raises(StepError, match=r"w\.pt changed after the run was planned"):
        _verbs.train(step(settings()), given)


def test_an_error_is_not_buried_by_what_other_processes_say() -> None:
    context = Context(Path("here"), {}, [].append, "")
    said = Said(context, io.StringIO())
    said.hear("epoch 1")
    assert str(said.failure("it ended")).startswith("it ended; it said last:\n  epoch 1\n")
    for line in ("error: it diverged", "  lower the rate", *["[rank1] gloo"] * 200, "  x"):
        said.hear(line)
    assert str(said.failure("it ended")).startswith("it diverged\n  lower the rate\n")


def test_a_command_that_refuses_leaves_a_result_and_one_that_breaks_does_not(tmp_path) -> None:
    refusal = '{"schema_version": 1, "text": "no", "metrics": {}, "refused": true, "unread": []}'
    code = f"open('out/summary.json', 'w').write({refusal!r}); raise SystemExit(3)"
    assert performed(tmp_path / "no", code).refused
    with pytest.raises(StepError, match="ended with exit code 3"):
        performed(tmp_path / "broken", "raise SystemExit(3)")
    with pytest.raises(StepError, match="ended with exit code 1"):
        performed(tmp_path / "late", code.replace("(3)", "(1)"))


def performed(folder: Path, code: str) -> Outcome:
    (folder / "out").mkdir(parents=True)
    command = ["python", "-c", f"import os; os.chdir({str(folder)!r}); {code}"]
    step = Step("quantize", "local.run", {"command": command, "environment": {}})
    return local.run(step, Context(folder, {}, print, "key"))
