"""Where a network found what it answers, drawn over a picture."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from small_training import pictures, settings, step

from mlops_spec import manifest
from mlops_spec.bundle import Preprocessing
from trainers import _verbs
from trainers._torch import attention, loop
from trainers._torch.export import export

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network of 16 by 16 pixels that learned nothing, as a bundle, and its data."""
    folder = tmp_path_factory.mktemp("attention")
    dataset = manifest.read(pictures(folder / "data"))
    wish = step(settings())
    model = wish.model.model_copy(update={"resize": 16, "input_size": 16})
    wish = wish.model_copy(update={"model": model})
    torch.manual_seed(0)
    network, _ = loop._start(model, dataset, None)
    how = Preprocessing(channels=1, resize=16, input_size=16, mean=(0.5,), std=(0.2,))
    (folder / "bundle").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's insides
        export(network.eval(), wish, dataset, how, folder / "bundle")
    return folder / "bundle", dataset


def test_heat_is_a_share_of_every_pixel(trained):
    folder, dataset = trained
    rows = dataset.split("test")
    contents = [dataset.content(row) for row in rows]
    heat = _verbs._attention("transfer", folder)(contents, [i % 3 for i in range(len(contents))])
    assert heat.shape == (len(contents), 16, 16)
    assert heat.min() >= 0
    assert {round(float(one.max()), 5) for one in heat} <= {0.0, 1.0}
    assert heat.max() == 1


def test_heat_is_of_the_class_that_is_asked_about(trained):
    folder, dataset = trained
    content = dataset.content(dataset.split("test")[0])
    each = attention.of(folder, [content] * 3, [0, 1, 2])
    assert len({one.tobytes() for one in each}) > 1


def test_heat_follows_what_is_in_the_picture(trained):
    folder, _ = trained
    both = []
    for place in (slice(0, 6), slice(10, 16)):
        grey = np.full((16, 16), 128, np.uint8)
        grey[place, place] = np.random.default_rng(0).integers(0, 255, (6, 6))
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "PNG")
        both.append(file.getvalue())
    first, last = (
        np.stack([attention.of(folder, [one], [c])[0] for c in range(3)]) for one in both
    )
    gone = first - last  # what both have in common is the grey around it
    assert gone[:, :8, :8].mean() > gone[:, 8:, 8:].mean()


def test_a_network_without_maps_of_features_has_none(trained, monkeypatch):
    folder, dataset = trained
    monkeypatch.setattr(attention, "_LEAST", 99)
    content = dataset.content(dataset.split("test")[0])
    assert attention.of(folder, [content], [0]) is None
