"""Real training with torch, through the command line a user types."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from toyproject import Project, lines_until, processes_in

from mlops_spec import bundle, files

pytestmark = pytest.mark.slow
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
SHORT = ("training.epochs=1", "evaluation.gate.min_accuracy=0.0")


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("quickstart"))
    answer = project.run("+experiment=quickstart")
    assert answer.returncode == 0, answer.stderr
    return project


def outputs(project: Project, step: str) -> Path:
    return project.result_files()[step].parent / "out"


def test_quickstart_reaches_its_accuracy(quickstart: Project) -> None:
    metrics = files.read_json(outputs(quickstart, "evaluate") / "metrics.json")
    assert metrics["accuracy"] >= 0.97
    assert metrics["test_images"] == 599  # a third of 1,797


def test_registered_bundle_answers_its_golden_inputs(quickstart: Project) -> None:
    import base64

    import numpy as np

    (folder,) = quickstart.path.glob(".mlops/models/digits/*")
    model = bundle.load(folder)
    assert model.card.metrics["accuracy"] >= 0.97
    assert len(model.card.golden) == 3
    for golden in model.card.golden:
        scores = bundle.softmax(model.logits([base64.b64decode(golden.image)]))[0]
        np.testing.assert_allclose(scores, golden.scores, atol=1e-5)


def test_onnx_and_safetensors_are_the_same_network(quickstart: Project) -> None:
    import numpy as np
    import torch
    from safetensors.torch import load_file

    from mlops_spec.spec import read_step_spec

    folder = outputs(quickstart, "train")
    from trainers._torch import networks

    spec = read_step_spec(folder.parent / "spec.json")
    network = networks.build(spec.model, 10).eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    model = bundle.load(folder)
    batch = np.random.default_rng(0).normal(size=(5, 1, 16, 16)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(batch)).numpy()
    (answer,) = model.session.run(None, {"images": batch})
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_only_training_imports_torch(quickstart: Project, tmp_path) -> None:
    """Steps are repeated with an import hook that refuses torch to all but one of them."""
    hook = "import sys\nclass No:\n    def find_spec(self, name, *_):\n"
    hook += "        if name in ('torch', 'pytorch_lightning'): raise ImportError(name)\n"
    (tmp_path / "sitecustomize.py").write_text(hook + "sys.meta_path.insert(0, No())\n")
    import shutil

    for step in ("data", "evaluate", "gate", "register"):
        shutil.rmtree(quickstart.result_files()[step].parent)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = quickstart.run("+experiment=quickstart", env=environment)
    assert "data: done" in answer.stdout
    assert "torch" in answer.stderr  # training runs again because data did, and is refused torch
    assert "train: failed" in answer.stderr


def test_killed_training_continues_from_its_checkpoint(tmp_path) -> None:
    project = Project(tmp_path)
    words = ("+experiment=quickstart", "training.epochs=6", "evaluation.gate.min_accuracy=0.0")
    import sys

    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_spec", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    list(lines_until(process, "epoch 3/6"))
    for pid in processes_in(tmp_path):
        if pid != process.pid:
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 5
    again = project.run(*words)
    assert again.returncode == 0, again.stderr
    assert "train: continuing from the last checkpoint" in again.stdout
    assert "epoch 1/6" not in again.stdout
    assert "epoch 6/6" in again.stdout


def test_weights_that_can_not_be_downloaded_are_said_with_the_cure(tmp_path) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path / "torch")}
    words = ("+experiment=quickstart", "model=resnet18", "model.channels=1", *SHORT)
    answer = Project(tmp_path).run(*words, env={**os.environ, **nowhere})
    assert answer.returncode == 5
    assert "the weights of resnet18 could not be downloaded" in answer.stderr
    assert "model.weights=none" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_training_that_diverges_is_said_with_the_cure(tmp_path) -> None:
    words = ("+experiment=quickstart", "training.optimizer=sgd", "training.lr=1e12", *SHORT)
    answer = Project(tmp_path).run(*words)
    assert answer.returncode == 5
    assert "training diverged" in answer.stderr
    assert "lower training.lr" in answer.stderr


def test_damaged_checkpoint_is_left_and_training_starts_again(tmp_path) -> None:
    project = Project(tmp_path)
    assert project.run("+experiment=quickstart", *SHORT).returncode == 0
    record = project.result_files()["train"]
    (record.parent / "out" / ".checkpoints").mkdir()
    (record.parent / "out" / ".checkpoints" / "last.ckpt").write_bytes(b"cut off")
    record.unlink()
    answer = project.run("+experiment=quickstart", *SHORT)
    assert "the last checkpoint is damaged" in answer.stdout
    assert "train: done" in answer.stdout


def test_misspelt_backbone_is_said_with_a_suggestion(tmp_path) -> None:
    words = ("+experiment=quickstart", "model.backbone=resnet19", *SHORT)
    answer = Project(tmp_path).run(*words)
    assert answer.returncode == 5
    assert "torchvision has no 'resnet19'; did you mean resnet1" in answer.stderr


def test_frozen_backbone_does_not_move_in_weights_or_batchnorm_statistics() -> None:
    import torch

    from mlops_spec.spec import Head, ModelSpec
    from trainers._torch import networks
    from trainers._torch.loop import Classifier

    settings = {"backbone": "resnet18", "weights": "none", "channels": 1, "resize": 32}
    model = ModelSpec(**settings, input_size=32, head=Head(hidden=8, dropout=0.0))
    network = networks.build(model, 3)
    from mlops_spec.compose import Composer
    from mlops_spec.validate import parse

    composition = Composer().compose(["name=x"])
    training = parse(composition.values, composition.origins).training
    frozen = training.model_copy(update={"freeze": "backbone"})
    how = bundle.Preprocessing(channels=1, resize=32, input_size=32, mean=(0.5,), std=(0.5,))
    module = Classifier(network, frozen, how)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    module.train()
    module.on_train_epoch_start()
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.1)
    for _ in range(3):
        pictures = torch.randint(0, 255, (4, 1, 32, 32), dtype=torch.uint8)
        loss = module.loss(module.logits(pictures), torch.tensor([0, 1, 2, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = network.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"head"}


def test_ants_and_bees_from_real_photographs(tmp_path) -> None:
    root = SHARED / "data" / "ants_bees"
    if not root.is_dir():
        pytest.skip(f"LOUD: {root} is absent: no real photographs to train on")
    words = ("+experiment=ants_bees", f"data.root={root}", "training.epochs=2")
    answer = Project(tmp_path).run(*words, "evaluation.gate.min_accuracy=0.2")
    assert answer.returncode == 0, answer.stderr
    assert (
        "left out train/ants/imageNotFound.gif: .gif is not among data.extensions" in answer.stdout
    )
    assert "397 images, 2 classes (train 195, val 49, test 153)" in answer.stdout
    (record,) = tmp_path.glob("runs/*/results.jsonl")
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert rows[2]["metrics"]["accuracy"] > 0.4
