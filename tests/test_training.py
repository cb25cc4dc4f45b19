"""Real training with torch, through the command line a user types."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toyproject import Project, copy, lines_until, processes_in

from mlops_spec import bundle, files

pytestmark = pytest.mark.slow
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
SHORT = ("training.epochs=1", "evaluation.gate.floors.accuracy=0.0")


def outputs(project: Project, step: str) -> Path:
    return project.result_files()[step].parent / "out"


def test_quickstart_reaches_its_accuracy(quickstart: Project) -> None:
    found = files.read_json(outputs(quickstart, "evaluate") / "metrics.json")
    assert found["metrics"]["accuracy"] >= 0.97
    assert found["test_images"] == 599  # a third of 1,797


def test_registered_bundle_answers_its_golden_inputs(quickstart: Project) -> None:
    import base64

    import numpy as np

    (folder,) = quickstart.path.glob(".mlops/models/digits/*")
    model = bundle.load(folder)
    assert model.card.metrics["accuracy"] >= 0.97
    assert len(model.card.golden) == 8
    assert {golden.why for golden in model.card.golden} >= {"doubtful", "sure"}
    for golden in model.card.golden:
        scores = model.probabilities([base64.b64decode(golden.image)])[0]
        np.testing.assert_allclose(scores, golden.scores, atol=1e-5)


def test_onnx_and_safetensors_are_the_same_network(quickstart: Project) -> None:
    import numpy as np
    import torch
    from safetensors.torch import load_file

    from mlops_spec.step_spec import read_step_spec

    folder = outputs(quickstart, "train")
    from trainers._torch import backbones, networks

    spec = read_step_spec(folder.parent / "spec.json")
    network = networks.build(spec.model, backbones.build(spec.model).module, 10).eval()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    model = bundle.load(folder)
    how = model.card.preprocessing
    batch = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    normalised = (batch.transpose(0, 3, 1, 2).astype(np.float32) / 255 - how.mean) / how.std
    with torch.no_grad():
        expected = network(torch.from_numpy(normalised.astype(np.float32))).numpy()
    np.testing.assert_allclose(model.answer(batch), expected, atol=1e-4)


def test_the_images_statistics_are_learned_by_batchnorm(quickstart: Project) -> None:
    from safetensors.torch import load_file

    weights = load_file(outputs(quickstart, "train") / "model.safetensors")
    metrics = files.read_json(outputs(quickstart, "train") / "summary.json")["metrics"]
    counts = {int(v) for k, v in weights.items() if k.endswith("num_batches_tracked")}
    assert counts == {16 * int(metrics["epoch"])}  # 1,019 images in batches of 64


def test_an_epoch_s_line_says_how_fast_and_how_long(quickstart: Project) -> None:
    log = min(quickstart.path.glob("runs/*/run.log"))
    lines = [line for line in log.read_text().splitlines() if "val_accuracy" in line]
    number = r"\d+\.\d{4}"
    words = rf"val_accuracy {number}  val_loss {number}  train_loss {number}"
    pattern = rf"epoch (\d+)/16  {words}  [1-9]\d* images/s  \d+ (s|min) left"
    assert [re.search(pattern, line)[1] for line in lines] == [str(i + 1) for i in range(16)]


def test_one_run_of_mlflow_has_parameters_curves_metrics_and_report(quickstart: Project) -> None:
    """In a process of its own: MLflow's tables warn, and `quickstart` is not where we are."""
    code = """if True:
        import json, sys
        from mlflow import MlflowClient
        mlflow = MlflowClient(sys.argv[1])
        (run,) = mlflow.search_runs([e.experiment_id for e in mlflow.search_experiments()])
        curve = mlflow.get_metric_history(run.info.run_id, "val_accuracy")
        print(json.dumps({
            "experiment": mlflow.get_experiment(run.info.experiment_id).name,
            "status": run.info.status,
            "version": mlflow.get_model_version("digits", "1").run_id == run.info.run_id,
            "epochs": [metric.step for metric in curve],
            "lr": run.data.params["training.lr"],
            "accuracy": run.data.metrics["accuracy"],
            "files": [one.path for one in mlflow.list_artifacts(run.info.run_id)],
        }))
    """
    command = [sys.executable, "-c", code, "sqlite:///.mlops/mlflow.db"]
    answer = subprocess.run(
        command, cwd=quickstart.path, capture_output=True, text=True, check=True
    )
    found = files.read_json(outputs(quickstart, "evaluate") / "metrics.json")
    assert json.loads(answer.stdout) == {
        "experiment": "digits",
        "status": "FINISHED",
        "version": True,
        "epochs": [*range(1, 17)],
        "lr": "0.01",
        "accuracy": found["metrics"]["accuracy"],
        "files": ["report.html"],
    }


def test_only_training_imports_torch(quickstart: Project, tmp_path) -> None:
    """Steps are repeated with an import hook that refuses torch to all but one of them."""
    hook = "import sys\nclass No:\n    def find_spec(self, name, *_):\n"
    hook += "        if name in ('torch', 'pytorch_lightning'): raise ImportError(name)\n"
    (tmp_path / "sitecustomize.py").write_text(hook + "sys.meta_path.insert(0, No())\n")
    project = copy(quickstart, tmp_path / "project")
    for step in ("data", "evaluate", "gate", "register"):
        shutil.rmtree(project.result_files()[step].parent)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    answer = project.run("+experiment=quickstart", env=environment)
    assert "data: done" in answer.stdout
    assert "torch" in answer.stderr  # training runs again because data did, and is refused torch
    assert "train: failed" in answer.stderr


def test_killed_training_continues_from_its_checkpoint(tmp_path) -> None:
    project = Project(tmp_path)
    words = ("+experiment=quickstart", "training.epochs=6", "evaluation.gate.floors.accuracy=0.0")
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


def test_stanford_dogs_from_its_archives_and_a_file_of_weights(tmp_path) -> None:
    from test_stanford_dogs import replica

    from trainers._torch.vision import torchvision

    replica(tmp_path)
    import torch

    torch.save(torchvision.models.resnext50_32x4d().state_dict(), tmp_path / "resnext50.pth")
    archives = ("data.images=images.tar", "data.lists=lists.tar", "model.weights=resnext50.pth")
    small = ("model.resize=64", "model.input_size=64", "training.batch_size=8")
    words = ("+experiment=stanford_dogs", *archives, *small, *SHORT)
    answer = Project(tmp_path).run(*words)
    assert answer.returncode == 0, answer.stderr
    assert "37 images, 3 classes (train 19, val 5, test 13)" in answer.stdout
    assert "started from the weights of resnext50.pth" in answer.stdout
    assert "warning" not in answer.stdout + answer.stderr
    (folder,) = tmp_path.glob(".mlops/models/dogs/*")
    assert bundle.read(folder).labels == ("Chihuahua", "Mexican_hairless", "bloodhound")


def test_a_model_starts_from_a_registered_one_and_keeps_its_head(quickstart: Project) -> None:
    words = ("+experiment=quickstart", "name=again", "registered_model=again", *SHORT)
    again = quickstart.run(
        *words, "model.weights=model:digits", "model.head.keep=true", "training.lr=0.0001"
    )
    assert again.returncode == 0, again.stderr
    assert "warning" not in again.stdout + again.stderr
    first = next(line for line in again.stdout.splitlines() if "epoch 1/1" in line)
    assert float(first.split("val_accuracy ")[1].split()[0]) > 0.95  # it knew them already


def test_ants_and_bees_from_real_photographs(tmp_path) -> None:
    root = SHARED / "data" / "ants_bees"
    if not root.is_dir():
        pytest.skip(f"LOUD: {root} is absent: no real photographs to train on")
    words = ("+experiment=ants_bees", f"data.root={root}", "training.epochs=2")
    answer = Project(tmp_path).run(*words, "evaluation.gate.floors.accuracy=0.2")
    assert answer.returncode == 0, answer.stderr
    assert (
        "left out train/ants/imageNotFound.gif: .gif is not among data.extensions" in answer.stdout
    )
    assert "397 images, 2 classes (train 195, val 49, test 153)" in answer.stdout
    (record,) = tmp_path.glob("runs/*/results.jsonl")
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    assert rows[2]["metrics"]["accuracy"] > 0.4
