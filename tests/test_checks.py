"""What is found in photographs before training, and what each policy does about it."""

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from test_folder_dataset import ANTS_BEES, findings, spec

import mlops_spec.spec
from mlops_spec import manifest
from mlops_spec.errors import StepError
from mlops_spec.manifest import Row
from trainers.datasets import _checks, _folders, folder


def scene(seed):
    """A picture with structure, of its own for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((90, 80), Image.Resampling.BICUBIC)


def put(path, image, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)


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
    monkeypatch.setattr(mlops_spec.spec, "_reads", None)
    wish = splits(root, near_distance=3)
    mlops_spec.spec.note_reads()
    folder.prepare(wish, root.parent / "out")
    assert [*mlops_spec.spec.unread(wish)] == []


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


def test_near_pairs_are_those_of_a_plain_comparison():
    rng = np.random.default_rng(0)
    hashes = [int.from_bytes(rng.bytes(16), "big") for _ in range(150)]
    for i in range(0, 150, 3):
        flips = rng.choice(128, int(rng.integers(0, 9)), replace=False)
        hashes.append(hashes[i] ^ sum(1 << int(bit) for bit in flips))
    for distance in (0, 1, 4, 8, 16):
        plain = {
            (i, j)
            for j in range(len(hashes))
            for i in range(j)
            if (hashes[i] ^ hashes[j]).bit_count() <= distance
        }
        found = {(i, j) for i, j, _ in _checks._alike(hashes, distance)}
        assert found <= plain
        assert {j for _, j in found} == {j for _, j in plain}


def test_many_pictures_that_share_a_part_are_compared_in_bounded_work():
    hashes = [number << 64 for number in range(3000)]
    pairs = list(_checks._alike(hashes, 4))
    assert len(pairs) <= 3000 * _checks._CLOSEST * 5


@pytest.mark.parametrize(
    ("mode", "form"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("1", "TIFF")]
)
def test_every_mode_is_looked_at(tmp_path, mode, form):
    path = tmp_path / f"a.{'jpg' if form == 'JPEG' else form.lower()}"
    scene(1).convert(mode).save(path, form)
    (look,) = _checks.look_at([path], [path.suffix], splits(tmp_path).checks)
    assert (look.fault, look.mode, look.width, look.height) == ("", mode, 90, 80)
    assert look.hash is not None


@pytest.mark.parametrize(
    ("group", "subject"),
    [(r"(p\d+)_(\d+)", "p7"), (r"p\d+", "p7"), (r"(x)?(p\d+)", "p7"), (r"q\d", None)],
)
def test_a_subject_is_what_the_first_group_finds(tmp_path, group, subject):
    path = tmp_path / "ants" / "p7_12.png"
    assert _folders.group_of(spec(tmp_path, group=group), path, tmp_path) == subject


def test_a_jpeg_of_several_pictures_as_cameras_write_them_is_a_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    scene(1).save(path, "MPO", save_all=True, append_images=[scene(2)])
    (look,) = _checks.look_at([path], [".jpg"], splits(tmp_path).checks)
    assert look.fault == ""


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


def test_a_group_that_is_no_regular_expression_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no regular expression"):
        spec(tmp_path, group="(")


@pytest.mark.skipif(not ANTS_BEES.is_dir(), reason="the photographs of ants and bees are not here")
def test_a_photograph_saved_otherwise_is_found_among_real_ones(tmp_path):
    """Recompressed, scaled and brightened copies are found; nothing else is."""
    photographs = sorted(ANTS_BEES.rglob("*.jpg"))
    rows, looks = [], []
    wish = splits(tmp_path, max_pixels=100_000_000).checks
    copied = photographs[::10]
    for number, path in enumerate([*photographs, *copied]):
        content = path.read_bytes()
        if number >= len(photographs):
            picture = Image.open(path).convert("RGB")
            picture = picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))
            buffer = io.BytesIO()
            ImageEnhance.Brightness(picture).enhance(1.1).save(buffer, "JPEG", quality=60)
            content = buffer.getvalue()
        place = tmp_path / f"{number:03}.jpg"
        place.write_bytes(content)
        (look,) = _checks.look_at([place], [".jpg"], wish)
        split = "test" if number < len(photographs) else "train"
        rows.append(Row(place.name, "x", split, look.sha256))
        looks.append(look)
    found = _checks.copies(rows, looks, wish)
    made = {f"{number:03}.jpg" for number in range(len(photographs), len(rows))}
    assert {f.path for f in found if f.check == "leaks"} == made
    assert {f.check for f in found if f.path not in made} <= {"near_duplicates", "duplicates"}
