"""Several processes train one model: the numbers of one, one writer, nobody left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_training import pictures, settings, step

from mlops_spec import files

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
# Leaves each process's weights; the command line is the trainers' own otherwise.
DRIVER = """
import os, sys, torch
from trainers import __main__
from trainers._torch import loop
run = loop._run
def noted(trainer, module, *more):
    run(trainer, module, *more)
    place = f"{os.environ['DUMP']}/{trainer.global_rank}"
    torch.save(dict(module.network.named_parameters()), place)
loop._run = noted
__main__.leave(__main__.main(sys.argv[1:]))
"""
# Without dropout, and with BatchNorm at rest, a batch is the sum of its parts.
PLAIN = {"freeze": {"mode": "backbone"}, "batch_size": 8, "epochs": 3, "augment": {"rotation": 0}}

NAMES = ("unbroken", "broken")


def spec_file(path: Path, training, devices: int) -> Path:
    whole = step(training).model_dump(exclude_none=True)
    whole["model"]["head"] = {"hidden": 0, "dropout": 0.0, "keep": False}
    whole["compute"]["devices"] = devices
    files.write_json(path, whole)
    return path


def start(folder: Path, name: str, training, devices: int, **variables) -> subprocess.Popen[str]:
    (folder / "driver.py").write_text(DRIVER)
    dump = folder / f"weights_{name}"
    dump.mkdir(exist_ok=True)
    spec = spec_file(folder / f"{name}.json", training, devices)
    words = ["train", "--spec", spec, "--data", folder / "data", "--out", folder / name]
    own = {"OMP_NUM_THREADS": "1", "DUMP": str(dump), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, folder / "driver.py", *words],
        env={**os.environ, **own, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train(folder: Path, name: str, training, devices: int) -> dict:
    process = start(folder, name, training, devices)
    said, _ = process.communicate(timeout=250)
    assert process.returncode == 0, said
    lines = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert len(lines) == training.epochs, "one process talks"
    return files.read_json(folder / name / "summary.json")["metrics"]


@pytest.fixture
def folder(tmp_path):
    pictures(tmp_path / "data")
    return tmp_path


@pytest.mark.parametrize("balance", [{"class_weights": "balanced"}, {"sampler": "balanced"}])
def test_two_processes_have_the_metrics_and_weights_of_one(folder, balance) -> None:
    training = settings(**PLAIN, **balance)
    alone, both = (train(folder, f"of{n}", training, n) for n in (1, 2))
    assert both == pytest.approx(alone, abs=1e-5)
    one, two = (load_file(folder / f"of{n}" / "model.safetensors") for n in (1, 2))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=1e-5)


def test_weights_that_are_released_later_stay_the_same_everywhere(folder) -> None:
    training = settings(epochs=4, batch_size=8, freeze={"mode": "gradual"}, ema=0.9)
    train(folder, "gradual", training, 2)
    first, second = (torch.load(folder / "weights_gradual" / str(rank)) for rank in (0, 1))
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=0, rtol=0)


def test_processes_that_others_started_find_each_other(folder) -> None:
    """As a cluster starts them: each with its rank and where the first one listens."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "NODE_RANK": "0"}
    both = [
        start(folder, "out", settings(**PLAIN), 2, RANK=rank, LOCAL_RANK=rank, **where)
        for rank in "01"
    ]
    said = [process.communicate(timeout=250)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "epoch 3/3" in said[0]
    assert "epoch" not in said[1]
    assert (folder / "out" / "model.onnx").exists()


def alive(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nobody_is_left_behind_and_the_rest_is_made_up(folder, how) -> None:
    process = start(folder, "out", settings(**{**PLAIN, "epochs": 400}), 2)
    for line in process.stdout:
        if line.startswith("epoch 3/"):
            break
    process.send_signal(how)
    process.communicate(timeout=100)
    assert process.returncode in (-how, 130)
    patience = time.monotonic() + 90
    while alive(folder) and time.monotonic() < patience:
        time.sleep(0.1)
    assert not alive(folder)
    again = start(folder, "out", settings(**{**PLAIN, "epochs": 400}), 2)
    said = "".join(line for line, _ in zip(again.stdout, range(4), strict=False))
    assert said.count("continuing from the last checkpoint") == 1
    assert "epoch 1/" not in said
    os.killpg(again.pid, signal.SIGKILL)
    again.communicate()


def test_two_processes_leave_together_and_go_on_in_the_middle_of_an_epoch(folder) -> None:
    training = settings(batch_size=2, epochs=8, freeze={"mode": "gradual"}, ema=0.9)
    unbroken = train(folder, NAMES[0], training, 2)
    process = start(folder, NAMES[1], training, 2)
    before = []
    for line in process.stdout:
        before.append(line)
        if line.startswith("epoch 3/"):
            process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    assert process.returncode == 130, before
    kept = re.fullmatch(r"interrupted in epoch (\d) after (.*), which is kept\n", before[-1])
    assert kept, before
    again = start(folder, NAMES[1], training, 2)
    said, _ = again.communicate(timeout=250)
    assert again.returncode == 0, said
    assert re.findall(r"^epoch (\d)", said, re.MULTILINE)[0] == kept[1]
    assert files.read_json(folder / "broken" / "summary.json")["metrics"] == unbroken
    results = [(folder / x / "model.safetensors").read_bytes() for x in NAMES]
    assert results[0] == results[1]
    # The processes' losses are added up once more: the last digit of a train_loss may differ.
    rows = [np.loadtxt(folder / x / "history.csv", delimiter=",", skiprows=1) for x in NAMES]
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-5)


def test_divergence_in_two_processes_is_said_and_ends_both(folder) -> None:
    training = settings(**{**PLAIN, "optimizer": "sgd", "lr": 1e30, "freeze": {"mode": "none"}})
    process = start(folder, "out", training, 2)
    said, _ = process.communicate(timeout=250)
    assert process.returncode not in (0, None)
    assert "training diverged" in said
    assert not alive(folder)
