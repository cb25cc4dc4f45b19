"""What is found in photographs before training, and what each policy does about it."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from test_folder_dataset import findings, spec

from mlops_spec import files, manifest, section
from mlops_spec.errors import StepError
from trainers.datasets import _folders, folder


def scene(seed):
    """A picture with structure, of its own for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((90, 80), Image.Resampling.BICUBIC)


def put(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


def frames(count):
    return {"save_all": True, "append_images": [scene(1000 + i) for i in range(1, count)]}


@pytest.fixture
def root(tmp_path):
    """Ten pictures for each of two classes in each of three splits, all of their own."""
    for number, split in enumerate(manifest.SPLITS):
        for label in ("ants", "bees"):
            for i in range(4):
                seed = number * 100 + i + (50 if label == "bees" else 0)
                put(tmp_path / "photos" / split / label / f"{i}.png", scene(seed))
    return tmp_path / "photos"


def splits(root, **changes):
    return spec(root, train="train", val="val", test="test", **changes)


def prepare(root, **changes):
    return folder.prepare(splits(root, **changes), root.parent / "out")


def paths(dataset):
    return {row.path for row in dataset.rows}


def twice(root, one, other):
    (root / other).parent.mkdir(parents=True, exist_ok=True)
    (root / other).write_bytes((root / one).read_bytes())


def alike(root, one, other):
    """Another file, other bytes, smaller and darker: nearly the same picture."""
    picture = Image.open(root / one)
    darker = ImageEnhance.Brightness(picture.resize((60, 53))).enhance(0.9)
    darker.save(root / other, quality=80)


def test_good_photographs_have_no_findings(root):
    assert len(prepare(root).rows) == 24
    assert findings(root.parent / "out") == {}


def test_policies_that_nothing_called_for_are_read_all_the_same(root, monkeypatch):
    monkeypatch.setattr(section, "_reads", None)
    wish = splits(root, near_distance=3)
    section.note_reads()
    folder.prepare(wish, root.parent / "out")
    unread = [*section.unread(wish)]
    assert unread == ["val_fraction", "test_fraction", "split_seed"]  # nothing is drawn


# check -> how it comes about, the images named, the policy by default
MADE = {
    "leaks": (lambda r: twice(r, "test/ants/1.png", "train/ants/x.png"), {"train/ants/x.png"}),
    "leaks of a near copy": (
        lambda r: alike(r, "test/bees/1.png", "val/bees/x.jpg"),
        {"val/bees/x.jpg"},
    ),
    "conflicts": (
        lambda r: twice(r, "train/ants/1.png", "train/bees/x.png"),
        {"train/ants/1.png", "train/bees/x.png"},
    ),
    "duplicates": (
        lambda r: twice(r, "train/ants/1.png", "train/ants/x.png"),
        {"train/ants/x.png"},
    ),
    "near_duplicates": (
        lambda r: alike(r, "train/ants/1.png", "train/ants/x.jpg"),
        {"train/ants/x.jpg"},
    ),
    "mislabelled": (
        lambda r: put(r / "train" / "ants" / "x.jpg", scene(999), format="PNG"),
        {"train/ants/x.jpg"},
    ),
    "animated": (
        lambda r: put(r / "train" / "ants" / "x.png", scene(999), **frames(12)),
        {"train/ants/x.png"},
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_finding_stops_is_left_out_or_only_listed(root, name):
    make, named = MADE[name]
    check = name.partition(" ")[0]
    make(root)
    with pytest.raises(StepError, match=f"{len(named)} {check}; the first: ") as stopped:
        prepare(root, **{check: "error"})
    assert f"data.checks.{check}=skip" in str(stopped.value)
    assert not (root.parent / "out").exists()
    everything = prepare(root, **{check: "ignore"})
    assert findings(root.parent / "out").keys() == named
    assert paths(everything) >= named
    assert paths(prepare(root, **{check: "skip"})) == paths(everything) - named


def test_a_leak_is_seen_behind_a_harmless_copy(root):
    """The same picture twice in training and, almost, in the test set too."""
    twice(root, "train/ants/1.png", "train/ants/2.png")
    alike(root, "train/ants/1.png", "test/ants/x.jpg")
    with pytest.raises(StepError, match="2 leaks"):
        prepare(root)


def test_a_leak_is_seen_behind_a_conflict_that_is_put_up_with(root):
    twice(root, "test/ants/1.png", "train/bees/x.png")
    with pytest.raises(StepError, match=r"1 leaks; the first: train/bees/x\.png"):
        prepare(root, conflicts="ignore")


def test_every_picture_of_a_burst_leaks_with_the_first(root):
    """Forty files of other bytes whose small copies are the same, one of them for testing."""
    picture = Image.open(root / "test" / "ants" / "1.png")
    for number in range(40):
        picture.putpixel((0, 0), (number, 0, 0))
        put(root / "train" / "ants" / f"burst{number}.png", picture)
    kept = paths(prepare(root, leaks="skip"))
    assert not [path for path in kept if "burst" in path]
    assert len(kept) == 24


def test_of_three_copies_under_two_labels_none_is_kept(root):
    twice(root, "train/ants/1.png", "train/ants/x.png")
    twice(root, "train/ants/1.png", "train/bees/x.png")
    kept = paths(prepare(root, conflicts="skip"))
    assert not {"train/ants/1.png", "train/ants/x.png", "train/bees/x.png"} & kept
    assert len(kept) == 23


def test_a_class_of_which_nothing_is_left_is_an_error(root):
    for split in manifest.SPLITS:
        path = root / split / "wasps" / "0.png"
        path.parent.mkdir()
        path.write_bytes(b"no picture")
    with pytest.raises(StepError, match="every image of wasps was left out"):
        prepare(root)


def test_pictures_without_structure_are_not_all_alike(root):
    for grey in range(6):
        put(root / "train" / "ants" / f"grey{grey}.png", Image.new("L", (40, 40), grey * 40))
    prepare(root)
    assert findings(root.parent / "out") == {}


def test_small_classes_are_found_by_their_training_images(root):
    with pytest.raises(StepError, match="class of 4 training images") as stopped:
        prepare(root, small_classes="error", min_images=5)
    assert "data.checks.small_classes=ignore" in str(stopped.value)
    prepare(root, min_images=5)
    assert findings(root.parent / "out").keys() == {"ants", "bees"}
    prepare(root, small_classes="error", min_images=4)


@pytest.mark.parametrize(
    ("group", "subject"),
    [(r"(p\d+)_(\d+)", "p7"), (r"p\d+", "p7"), (r"(x)?(p\d+)", "p7"), (r"q\d", None)],
)
def test_a_subject_is_what_the_first_group_finds(tmp_path, group, subject):
    assert _folders.group_in(spec(tmp_path, group=group), "ants/p7_12.png") == subject


def test_a_subject_is_never_in_two_splits(tmp_path):
    root = tmp_path / "photos"
    for number in range(120):
        label, subject = ("ants", "bees")[number % 2], number // 6
        put(root / label / f"p{subject:02}_{number}.png", scene(number))
    wish = spec(root, group=r"p(\d+)_", val_fraction=0.2, test_fraction=0.3)
    dataset = folder.prepare(wish, tmp_path / "out")
    places = {}
    for row in dataset.rows:
        places.setdefault(row.path.split("/p")[1][:2], set()).add(row.split)
    assert len(places) == 20
    assert all(len(found) == 1 for found in places.values())
    shares = Counter(row.split for row in dataset.rows)
    assert abs(shares["test"] / 120 - 0.3) < 0.1
    assert abs(shares["val"] / 120 - 0.2) < 0.1
    assert manifest.digest(folder.prepare(wish, tmp_path / "again").rows) == dataset.digest


def test_copies_of_a_picture_are_drawn_into_one_split(tmp_path):
    root = tmp_path / "photos"
    for label in ("ants", "bees"):
        for number in range(30):
            put(root / label / f"{number}.png", scene(number + 100 * (label == "ants")))
            twice(root, f"{label}/{number}.png", f"{label}/copy{number}.png")
    dataset = folder.prepare(spec(root), tmp_path / "out")
    places = {}
    for row in dataset.rows:
        places.setdefault(row.sha256, set()).add(row.split)
    assert all(len(found) == 1 for found in places.values())
    assert {"train", "val", "test"} == {split for found in places.values() for split in found}


def test_near_copies_are_drawn_into_one_split(tmp_path):
    """The tool that draws the splits makes no leaks of its own."""
    root = tmp_path / "photos"
    for label in ("ants", "bees"):
        for number in range(15):
            put(root / label / f"{number}.png", scene(number + 100 * (label == "ants")))
            alike(root, f"{label}/{number}.png", f"{label}/near{number}.jpg")
    dataset = folder.prepare(spec(root), tmp_path / "out")
    found = {row.path: row.split for row in dataset.rows}
    for label, number in product(("ants", "bees"), range(15)):
        assert found[f"{label}/{number}.png"] == found[f"{label}/near{number}.jpg"]
    assert {*found.values()} == {"train", "val", "test"}
    wish = spec(root, near_distance=0, leaks="ignore")
    found = {row.path: row.split for row in folder.prepare(wish, tmp_path / "out").rows}
    assert any(found[f"ants/{n}.png"] != found[f"ants/near{n}.jpg"] for n in range(15))


def test_a_subject_that_its_copies_tie_to_another_stays_with_it(tmp_path):
    """Nothing of two subjects is in two splits where one picture is of both."""
    root = tmp_path / "photos"
    for number in range(40):
        label = ("ants", "bees")[number % 2]
        put(root / label / f"p{number // 2}_{number}.png", scene(number))
    for number in range(0, 40, 4):
        twice(root, f"ants/p{number // 2}_{number}.png", f"ants/p{number // 2 + 1}_copy.png")
    dataset = folder.prepare(spec(root, group=r"p(\d+)_"), tmp_path / "out")
    places = {}
    for row in dataset.rows:
        places.setdefault(int(row.path[6:].partition("_")[0]) // 2, set()).add(row.split)
    assert len(places) == 10
    assert all(len(found) == 1 for found in places.values())


def test_a_subject_in_two_given_splits_is_a_leak(root):
    for split, number in (("train", 0), ("train", 1), ("test", 2), ("val", 3)):
        image = root / split / "ants" / f"{number}.png"
        image.rename(image.with_name(f"p7_{number}.png"))
    with pytest.raises(StepError, match="3 leaks") as stopped:
        prepare(root, group=r"p\d+")
    first = "train/ants/p7_0.png (train) shows the same subject as test/ants/p7_2.png (test)"
    assert first in str(stopped.value)
    kept = paths(prepare(root, group=r"p\d+", leaks="skip"))
    assert {path for path in kept if "p7" in path} == {"test/ants/p7_2.png"}
    assert len(prepare(root).rows) == 24


def test_a_subject_in_a_given_split_and_in_a_drawn_one_is_a_leak(root):
    for split in ("train", "test"):
        (root / split / "ants" / "1.png").rename(root / split / "ants" / "p7.png")
    wish = spec(root, train="train", test="test", group=r"p\d+", val_fraction=0.25)
    with pytest.raises(StepError, match="1 leaks"):
        folder.prepare(wish, root.parent / "out")


def test_a_file_may_have_several_faults(root):
    path = root / "train" / "ants" / "x.jpg"
    put(path, scene(999), format="PNG", **frames(2))
    with pytest.raises(StepError, match=r"1 animated; the first: train/ants/x\.jpg has 2 frames"):
        prepare(root, animated="error")
    assert "train/ants/x.jpg" not in paths(prepare(root, mislabelled="ignore"))
    assert "train/ants/x.jpg" in paths(prepare(root, mislabelled="ignore", animated="ignore"))


def test_the_colours_of_the_training_images_are_recorded(tmp_path):
    root, value = tmp_path / "photos", {"train": (51, 102), "val": (0, 0), "test": (255, 255)}
    for split, label in product(manifest.SPLITS, ("ants", "bees")):
        red = value[split][label == "bees"]
        put(root / split / label / "0.png", Image.new("RGB", (9, 7), (red, 255, 0)))
    prepare(root, leaks="ignore", conflicts="ignore")
    images = files.read_json(tmp_path / "out" / "dataset.json")["images"]
    assert images["mean"] == [0.3, 1.0, 0.0]
    assert images["std"] == [0.1, 0.0, 0.0]


def test_a_group_that_is_no_regular_expression_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no regular expression"):
        spec(tmp_path, group="(")
