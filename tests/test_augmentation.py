"""Augmentation does what its YAML says, to one image and to a batch, and its sheet shows it."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import HOW
from small_training import pictures, settings

from mlops_spec import bundle, manifest
from mlops_spec.errors import SpecError
from mlops_spec.rows import Row, Rows
from trainers._torch import augment, losses
from trainers._torch.data import Pictures

NOTHING = {"scale": [1.0, 1.0], "rotation": 0, "translate": 0.0}


def changes(**wanted):
    return settings(augment={**NOTHING, **wanted}).augment


def drawn(picture, **wanted):
    """One picture, changed by forty draws of chance."""
    way = augment.of_one(changes(**wanted), picture.shape[-1])
    torch.manual_seed(0)
    return [way(picture) for _ in range(40)]


@pytest.fixture
def picture():
    """Random colours, all different, none of them black."""
    return torch.from_numpy(np.random.default_rng(0).integers(9, 256, (3, 16, 16), dtype=np.uint8))


def test_nothing_asked_for_changes_nothing(picture) -> None:
    assert all(torch.equal(one, picture) for one in drawn(picture))


@pytest.mark.parametrize(("name", "axis"), [("horizontal_flip", 2), ("vertical_flip", 1)])
def test_flips_are_of_their_axis_and_half_of_the_time(picture, name, axis) -> None:
    found = drawn(picture, **{name: True})
    flipped = [one for one in found if not torch.equal(one, picture)]
    assert 10 < len(flipped) < 30
    assert all(torch.equal(one.flip(axis), picture) for one in flipped)


@pytest.mark.parametrize("wanted", [{"rotation": 30}, {"translate": 0.3}])
def test_moving_and_turning_leave_black_behind(picture, wanted) -> None:
    found = drawn(picture, **wanted)
    assert sum(bool((one == 0).all(dim=0).any()) for one in found) > 30


def test_a_crop_enlarges_a_part() -> None:
    ramp = torch.arange(16, dtype=torch.uint8).mul(10).expand(1, 16, 16)
    spans = [int(one.max()) - int(one.min()) for one in drawn(ramp, scale=[0.2, 0.4])]
    assert max(spans) < 150 - 20


def test_jitter_changes_brightness_contrast_and_saturation(picture) -> None:
    grey = picture.float().mean(dim=0)
    found = [one.float() for one in drawn(picture, color_jitter=0.5)]
    assert torch.stack([one.mean() - grey.mean() for one in found]).abs().max() > 20
    spread = torch.stack([one.std() / picture.float().std() for one in found])
    assert spread.min() < 0.8
    assert spread.max() > 1.05
    colour = [(one - one.mean(dim=0)).abs().mean() / one.std() for one in found]
    assert max(colour) / min(colour) > 1.1


def test_blur_takes_contrast_at_its_probability(picture) -> None:
    found = drawn(picture, blur=0.5)
    blurred = [one for one in found if not torch.equal(one, picture)]
    assert 10 < len(blurred) < 30
    assert all(one.float().std() <= picture.float().std() for one in blurred)


def test_random_erasing_blacks_out_one_rectangle(picture) -> None:
    found = drawn(picture, random_erasing=0.5)
    erased = [one for one in found if not torch.equal(one, picture)]
    assert 10 < len(erased) < 30
    for one in erased:
        black = (one == 0).all(dim=0)
        rows, columns = black.any(dim=1), black.any(dim=0)
        assert black.sum() == rows.sum() * columns.sum()
        assert torch.equal(one[:, ~black], picture[:, ~black])


def test_rand_augment_is_as_strong_as_its_magnitude(picture) -> None:
    def change(magnitude):
        found = drawn(picture, rand_augment=2, rand_magnitude=magnitude)
        return torch.stack([(one.float() - picture).abs().mean() for one in found]).median()

    assert change(25) > change(2)


@pytest.mark.parametrize("channels", [1, 3])
def test_everything_at_once_keeps_shape_and_type(picture, channels) -> None:
    wanted = dict.fromkeys(("horizontal_flip", "vertical_flip"), True)
    wanted |= dict.fromkeys(("color_jitter", "blur", "random_erasing"), 0.5)
    wanted |= {"scale": [0.5, 1.0], "rotation": 10, "translate": 0.1, "rand_augment": 2}
    for one in drawn(picture[:channels], **wanted):
        assert (one.shape, one.dtype) == ((channels, 16, 16), torch.uint8)


def mixed(targets, **wanted):
    """Plain images, each of the value of its number, mixed."""
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 20, 20).clone()
    torch.manual_seed(1)
    return augment.Mixing(changes(**wanted), 3)(images, targets)


def test_unmixed_batches_stay_as_they_are() -> None:
    images, targets = mixed(torch.tensor([0, 1, 2, 0]))
    assert torch.equal(targets, torch.tensor([0, 1, 2, 0]))
    assert torch.equal(images[:, 0, 0, 0], torch.arange(4.0))


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_mixed_targets_are_the_shares_of_what_is_seen(way) -> None:
    images, targets = mixed(torch.tensor([0, 1, 2, 0]), **{way: 1.0})
    share = targets[1, 1]  # of the image itself; the rest is its neighbour's, class 0
    assert 0 < share < 1
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    expected = share * 1.0 + (1 - share) * 0.0
    torch.testing.assert_close(images[1].mean(), expected)


def test_with_both_chance_decides() -> None:
    torch.manual_seed(0)
    way = augment.Mixing(changes(mixup=1.0, cutmix=1.0), 3)
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 20, 20).clone()
    plain = [len(way(images, torch.arange(4) % 3)[0][1].unique()) == 1 for _ in range(40)]
    assert 5 < sum(plain) < 35  # mixup leaves a plain image plain, CutMix does not


def test_a_loss_of_mixed_targets_is_the_mix_of_the_losses() -> None:
    logits, targets = torch.randn(2, 3), torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5]])
    data = manifest.Dataset(None, ("a", "b", "c"), Rows.of([Row("x", "a", "train", "")]), "")
    found = losses.loss(settings(), data)(logits, targets)
    each = -(targets * logits.log_softmax(dim=1)).sum(dim=1)
    torch.testing.assert_close(found, each.mean())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["training.augment.mixup=0.2", "training.loss=focal"], "needs images of one class"),
        (["training.augment.cutmix=1.0", "training.batch_size=1"], "no other image"),
        (["training.augment.scale=[1.0,0.5]"], "the least share first"),
        (["training.class_weights=balanced", "training.sampler=balanced"], "rare classes already"),
        (["compute.devices=3"], "a multiple of the 3 devices"),
        (
            ["compute.devices=2", "training.debug.overfit_batches=1"],
            r"is for one device: compute\.devices=1",
        ),
    ],
)
def test_choices_that_can_not_go_together_are_said(words, message) -> None:
    from world import Now, World

    with pytest.raises(SpecError, match=message):
        World().plan(Now(["+experiment=quickstart", *words]))


def sheet(folder, **wanted):
    """The sheet of red, green and blue images, as an array."""
    rows = []
    for i, (name, color) in enumerate((("red", 0), ("green", 1), ("blue", 2))):
        path, pixel = folder / f"{name}.png", [90, 90, 90]
        pixel[color] = 250
        Image.new("RGB", (20, 20), tuple(pixel)).save(path)
        for split in manifest.SPLITS:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(Row(path.name, name, split, digest + str(i) * 0))
    data = manifest.Dataset(folder, ("blue", "green", "red"), Rows.of(rows), "")
    settings_of = changes(**wanted)
    found = Pictures(data, "train", HOW, augment.of_one(settings_of, HOW.input_size))
    augment.write_sheet(found, augment.Mixing(settings_of, 3), folder / bundle.SHEET)
    with Image.open(folder / bundle.SHEET) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def cell(array, row, column):
    """The middle of a cell."""
    y, x = row * 114 + 18 + 48, column * 100 + 4 + 48
    return array[y, x]


def test_the_sheet_has_a_row_an_image_as_it_is_first(tmp_path) -> None:
    array = sheet(tmp_path)
    assert array.shape == (3 * 114 + 4, 8 * 100 + 4, 3)
    for row, color in enumerate((0, 1, 2)):
        for column in range(8):
            assert cell(array, row, column).argmax() == color


def test_the_sheet_s_last_column_is_mixed_where_training_mixes(tmp_path) -> None:
    before = torch.get_rng_state()
    array = sheet(tmp_path, mixup=100.0)  # shares close to a half
    assert torch.equal(before, torch.get_rng_state()), "looking at it changes no training"
    for row in range(3):
        bright = np.sort(cell(array, row, 7))
        assert bright[1] > 140
        assert cell(array, row, 6).max() > 240


def test_training_leaves_a_sheet_beside_the_model(tmp_path) -> None:
    from small_training import step

    from trainers._torch import loop

    data = pictures(tmp_path / "data")
    loop.fit(step(settings(epochs=1, augment={"mixup": 0.4})), data, tmp_path / "out")
    with Image.open(tmp_path / "out" / bundle.SHEET) as image:
        assert image.width == 8 * 100 + 4
