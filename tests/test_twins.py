"""Which images belong together."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from test_folder_dataset import ANTS_BEES

from mlops_spec.rows import Row
from trainers.datasets import _checks, _looks, _twins
from trainers.datasets._looks import MOST_PIXELS
from trainers.datasets._twins import Twins


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
        found = {(f[0], j) for f in _twins.alike(hashes, distance) for j in f[1:]}
        assert found <= plain
        assert {j for _, j in found} == {j for _, j in plain}


def test_many_pictures_that_share_a_part_are_compared_in_bounded_work():
    hashes = [number << 64 for number in range(3000)]
    pairs = list(_twins.alike(hashes, 4))
    assert len(pairs) <= 3000 * _twins._CLOSEST * 5


def test_chains_of_families_make_one():
    twins = Twins(same=[[3, 4]], near=[[1, 2], [4, 5]], subjects=[[5, 1]])
    assert _twins.united(8, twins) == [0, 1, 1, 1, 1, 1, 6, 7]


def test_images_without_a_subject_are_of_no_family():
    twins = _twins.find([_looks.Look(str(i)) for i in range(4)], [None, "a", None, "a"], 10)
    assert twins == Twins([], [], [[1, 3]])


@pytest.mark.skipif(not ANTS_BEES.is_dir(), reason="the photographs of ants and bees are not here")
def test_a_photograph_saved_otherwise_is_found_among_real_ones(tmp_path):
    """Recompressed, scaled and brightened copies are found; nothing else is."""
    photographs = sorted(ANTS_BEES.rglob("*.jpg"))
    rows, looks = [], []
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
        (look,) = _looks.look_at([place], [".jpg"], MOST_PIXELS)
        split = "test" if number < len(photographs) else "train"
        rows.append(Row(place.name, "x", split, look.sha256))
        looks.append(look)
    found = _checks.copies(rows, _twins.find(looks, [None] * len(looks), 10))
    made = {f"{number:03}.jpg" for number in range(len(photographs), len(rows))}
    assert {f.path for f in found if f.check == "leaks"} == made
    assert {f.check for f in found if f.path not in made} <= {"near_duplicates", "duplicates"}
