"""Temperature scaling: what it finds, what it leaves alone, and that no answer changes by it."""

import subprocess
import sys

import numpy as np
import pytest
import small_bundle

from mlops_spec import bundle
from mlops_spec.calibration import negative_log_likelihood, right, temperature


def drawn(times, several, images=3000, seed=0):
    """Logits that are `times` too large, and targets drawn by the probabilities meant."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(size=(images, 5)) * 2
    if several:
        targets = (chance.random(logits.shape) < bundle.sigmoid(logits)).astype(np.float32)
    else:
        cumulated = bundle.softmax(logits).cumsum(axis=1)
        targets = (cumulated > chance.random((images, 1))).argmax(axis=1)
    return (logits * times).astype(np.float32), targets


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("times", [0.3, 1.0, 4.0])
def test_logits_that_are_too_large_or_small_are_made_right(times, several):
    logits, targets = drawn(times, several)
    assert temperature(logits, targets, several=several) == pytest.approx(times, rel=0.05)


@pytest.mark.parametrize("several", [False, True])
def test_no_other_temperature_is_likelier(several):
    logits, targets = drawn(2.0, several, images=200)
    found = temperature(logits, targets, several=several)

    def loss(t):
        return negative_log_likelihood(logits.astype(float) / t, targets, several=several)

    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    assert loss(found) <= min(map(loss, grid)) + 1e-7


@pytest.mark.parametrize("several", [False, True])
def test_the_loss_is_torch_s(several):
    torch = pytest.importorskip("torch")
    logits, targets = drawn(3.0, several)
    name = "binary_cross_entropy_with_logits" if several else "cross_entropy"
    expected = getattr(torch.nn.functional, name)(*map(torch.as_tensor, (logits, targets)))
    found = negative_log_likelihood(logits, targets, several=several)
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("several", [False, True])
def test_few_images_few_mistakes_and_none_tell_nothing(several):
    logits, targets = drawn(4.0, several)
    good = right(logits, targets, several=several)
    assert temperature(logits[:49], targets[:49], several=several) == 1
    assert temperature(logits[good], targets[good], several=several) == 1, "all right"
    for mistakes, told in ((9, False), (10, True)):
        some = np.concatenate([np.flatnonzero(good)[:500], np.flatnonzero(~good)[:mistakes]])
        found = temperature(logits[some], targets[some], several=several)
        assert (found != 1) == told


def test_it_stays_within_its_bounds():
    chance = np.random.default_rng(0)
    targets = chance.integers(0, 5, 400)
    noise = chance.normal(size=(400, 5)) * 1000
    assert temperature(noise, targets, several=False) == pytest.approx(20, rel=1e-3)
    tiny = (np.eye(5)[targets] + chance.normal(size=(400, 5)) * 0.3) / 1000
    assert temperature(tiny, targets, several=False) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("several", [False, True])
def test_what_is_no_better_is_left_alone(several):
    targets = np.zeros((60, 3)) if several else np.ones(60, int)
    assert temperature(np.zeros((60, 3)), targets, several=several) == 1, "all alike"
    assert temperature(np.full((60, 3), np.nan), targets, several=several) == 1


@pytest.mark.parametrize("found", [0.05, 0.7, 20.0])
def test_no_answer_changes_not_even_by_neighbouring_numbers(found):
    """In float32, 1.0000001 / 20 is 1 / 20 and worse: the first of two equals would win."""
    one = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    pairs = np.stack([one, np.nextafter(one, np.float32(9)), one - 1], axis=1)
    assert (bundle.activated(pairs, "softmax", found).argmax(axis=1) == 1).all()
    assert ((bundle.activated(pairs, "sigmoid", found) >= 0.5) == (pairs >= 0)).all()


def test_a_bundle_divides_its_logits_by_the_temperature(tmp_path):
    plain = bundle.load(small_bundle.make(tmp_path / "one"))
    cool = bundle.load(small_bundle.make(tmp_path / "other", temperature=4.0))
    path = tmp_path / "blue.png"
    small_bundle.Image.new("RGB", (9, 9), small_bundle.COLORS["blue"]).save(path)
    assert (cool.logits([path]) == plain.logits([path])).all()
    np.testing.assert_allclose(cool.probabilities([path]), bundle.softmax(np.eye(3)[:1]), rtol=1e-6)
    np.testing.assert_allclose(plain.probabilities([path]), bundle.softmax(4 * np.eye(3)[:1]))


def test_it_needs_no_torch():
    code = "import sys; sys.modules['torch'] = sys.modules['scipy'] = None;"
    code += "import numpy as np; from mlops_spec.calibration import temperature;"
    code += "temperature(np.zeros((60, 2)), np.zeros(60, int), several=False)"
    subprocess.run([sys.executable, "-c", code], check=True)
