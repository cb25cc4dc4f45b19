"""A trained network as a bundle: the same answers as in torch, and the same bytes each time."""

import base64
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_training
import torch
from onnx import numpy_helper
from small_weights import model as model_spec
from small_weights import network_of, same

from mlops_spec import bundle, calibration, files, manifest
from mlops_spec.bundle import Preprocessing
from mlops_spec.errors import StepError
from trainers._torch import export, loop, weights

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
HOW = Preprocessing(channels=1, resize=8, input_size=8, mean=(0.4,), std=(0.2,))


def step(**changes):
    whole = small_training.step(small_training.settings())
    return whole.model_copy(update={"model": whole.model.model_copy(update=changes)})


def network(seed=0):
    """Weights of chance, sure enough of themselves to be wrong."""
    torch.manual_seed(seed)
    _, made = network_of(step().model, classes=3)
    with torch.no_grad():
        made.head[-1].weight *= 60
    return made.eval()


def exported(folder, made, data=None, how=HOW, **changes):
    loop._quiet()
    data = data or small_training.pictures(folder / "data")
    out = folder / "bundle"
    out.mkdir(parents=True)
    export.export(made, step(**changes), manifest.read(data), how, out)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return exported(folder, network())


def test_the_network_takes_bytes_and_answers_like_torch_in_a_batch_of_any_size(made):
    model, mine = bundle.load(made), network()
    chance = np.random.default_rng(0)
    for count in (1, 3, 32):
        batch = chance.integers(0, 256, (count, 8, 8, 1), np.uint8)
        normalised = (torch.from_numpy(batch).permute(0, 3, 1, 2) / 255 - 0.4) / 0.2
        with torch.no_grad():
            expected = mine(normalised).numpy()
        np.testing.assert_allclose(model.answer(batch), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "timm/test_vit"])
def test_each_colour_is_normalised_by_its_own_numbers(tmp_path, name):
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    loop._quiet()
    side = 160 if "vit" in name else 64
    sizes = {"resize": side, "input_size": side}
    _, mine = network_of(model_spec(name, weights="none", **sizes))
    how = Preprocessing(channels=3, mean=(0.1, 0.5, 0.9), std=(0.5, 0.2, 0.1), **sizes)
    served = export.Served(mine, how).eval()
    (tmp_path / "model.onnx").write_bytes(export.onnx_of(served, how))
    labels = ("ants", "bees")
    card = bundle.Card(
        trainer="",
        labels=labels,
        preprocessing=how,
        data_digest="",
        spec={},
        versions={},
        golden=(),
    )
    batch = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    mean, std = np.float32(how.mean), np.float32(how.std)
    normalised = (batch.astype(np.float32) / 255 - mean) / std
    with torch.no_grad():
        expected = mine(torch.from_numpy(normalised.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(bundle.opened(tmp_path, card).answer(batch), expected, atol=1e-4)


def test_the_weights_are_those_of_the_network_alone(made):
    found = weights.read(made, 1)
    assert found.tensors.keys() == network().state_dict().keys()
    other = network(seed=1)
    other.load_state_dict(found.tensors)
    assert same(other, network())
    assert found.normalisation.mean == HOW.mean


def test_the_temperature_is_fitted_to_the_answers_that_are_served(tmp_path):
    """Of more validation images than there are, so that there are mistakes enough."""
    data = small_training.pictures(tmp_path / "data")
    dataset = manifest.read(data)
    rows = [row._replace(split="val") for row in dataset.split("train")]
    both = manifest.Rows.of([*dataset.rows, *rows, *rows])
    dataset = dataclasses.replace(dataset, rows=both)
    loop._quiet()
    export.export(network(), step(), dataset, HOW, tmp_path)
    model = bundle.load(tmp_path)
    val = dataset.split("val")
    logits = model.logits([dataset.content(row) for row in val])
    expected = calibration.temperature(logits, dataset.targets(val), several=False)
    assert model.card.temperature == expected > 1.5
    images = [base64.b64decode(one.image) for one in model.card.golden]
    scores = [one.scores for one in model.card.golden]
    np.testing.assert_allclose(scores, bundle.softmax(model.logits(images) / expected), atol=1e-6)
    assert {one.why for one in model.card.golden} == {"mistake", "doubtful", "sure"}


def tampered(content):
    """The same network, but for one weight of the last layer."""
    whole = onnx.load_from_string(content)
    last = next(one for one in whole.graph.initializer if one.name.endswith("head.4.weight"))
    values = numpy_helper.to_array(last).copy()
    values[0, 0] += 0.1
    last.CopyFrom(numpy_helper.from_array(values, last.name))
    return whole.SerializeToString()


def test_a_network_that_answers_otherwise_than_torch_is_not_handed_on(tmp_path, monkeypatch):
    honest = export.onnx_of
    monkeypatch.setattr(export, "onnx_of", lambda *given: tampered(honest(*given)))
    with pytest.raises(
        StepError, match=r"differ by up to \d.*model\.onnx_tolerance is 0\.001"
    ) as e:
        exported(tmp_path, network())
    assert "model.onnx_tolerance" in e.value.cure
    assert not (tmp_path / "bundle" / "model.json").exists()
    exported(tmp_path / "again", network(), onnx_tolerance=100.0)


def test_a_network_that_answers_no_number_is_not_handed_on(tmp_path):
    broken = network()
    with torch.no_grad():
        broken.head[-1].bias[0] = float("nan")
    with pytest.raises(StepError, match="differ by up to nan"):
        exported(tmp_path, broken, onnx_tolerance=100.0)


SCRIPT = """
import sys
from pathlib import Path
from test_export import exported, network
for name in sys.argv[2:]:
    exported(Path(name), network(), Path(sys.argv[1]))
"""


def process(folder, seed, *names):
    """Exports in a process of its own, which works elsewhere on data that lies elsewhere."""
    folder.mkdir()
    small_training.pictures(folder / "data")
    places = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": places, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-c", SCRIPT, "data", *names]
    subprocess.run(command, cwd=folder, env=environment, check=True)
    return folder / names[-1] / "bundle"


def test_the_same_weights_give_the_same_bytes_wherever_and_after_whatever(tmp_path, made):
    one = process(tmp_path / "one", "1", "first")
    other = process(tmp_path / "elsewhere", "2", "first", "second")
    names = sorted(path.name for path in made.iterdir())
    assert names == ["model.json", "model.onnx", "model.safetensors"]
    for folder in (one, other):
        for name in names:
            assert (folder / name).read_bytes() == (made / name).read_bytes(), name


def test_no_path_or_line_of_code_is_in_the_files(made):
    for path in made.iterdir():
        content = path.read_bytes()
        for odd in (str(ROOT), str(made), "stack_trace", ".py", "site-packages", "/home/"):
            assert odd.encode() not in content, f"{odd} in {path.name}"
    assert files.sha256_file(made / "model.onnx") == bundle.read(made).digests["model.onnx"]
