"""Files that are no photographs are left out and named with the reason, or stop everything."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from test_folder_dataset import findings, photos, spec

from mlops_spec import files
from mlops_spec.errors import MlopsError, StepError
from trainers.datasets import folder


@pytest.fixture
def root(tmp_path):
    return photos(tmp_path / "photos", "ants", "bees")


def noise(size=(60, 60)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def truncated(path, form):
    noise().save(path, form)
    path.write_bytes(path.read_bytes()[:-600])


def chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def bomb(path):
    """A PNG whose head promises 10 gigapixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + rest)


def zeroed(path):
    noise().save(path, "PNG")
    content = path.read_bytes()
    path.write_bytes(content[:50] + bytes(len(content) - 50))


BAD = {
    "a truncated JPEG": ("a.jpg", lambda p: truncated(p, "JPEG"), "can not be read as an image"),
    "a truncated PNG": ("a.png", lambda p: truncated(p, "PNG"), "can not be read as an image"),
    "a zeroed PNG": ("a.png", zeroed, "can not be read as an image"),
    "a renamed PNG": (
        "a.jpg",
        lambda p: noise().save(p, "PNG"),
        "is a PNG, not the JPEG its name says",
    ),
    "a renamed GIF": (
        "a.png",
        lambda p: noise().save(p, "GIF"),
        "is a GIF, not the PNG its name says",
    ),
    "text": ("a.jpg", lambda p: p.write_text("not found"), "can not be read as an image"),
    "a web page": ("a.png", lambda p: p.write_text("<html>404"), "can not be read as an image"),
    "notes": ("a.txt", lambda p: p.write_text("notes"), ".txt is not among data.extensions"),
    "no extension": ("a", lambda p: noise().save(p, "PNG"), "no extension is not among"),
    "another type": ("a.bmp", lambda p: noise().save(p), ".bmp is not among data.extensions"),
    "an empty file": ("a.jpg", lambda p: p.write_bytes(b""), "can not be read as an image"),
    "a bomb": ("a.png", bomb, "can not be read as an image: Image size (10000000000 pixels)"),
    "a large picture": (
        "a.png",
        lambda p: noise((101, 100)).save(p),
        "has 101 x 100 pixels, more than data.checks.max_pixels",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_left_out_and_named_with_the_reason(root, tmp_path, capsys, name):
    file, write, reason = BAD[name]
    write(root / "ants" / file)
    dataset = folder.prepare(spec(root), tmp_path / "out")
    assert len(dataset.rows) == 20
    found = findings(tmp_path / "out")
    assert found.keys() == {f"ants/{file}"}
    assert found[f"ants/{file}"].startswith(reason)
    assert str(tmp_path) not in found[f"ants/{file}"]
    assert f"left out ants/{file}: {reason}" in capsys.readouterr().out


def test_the_largest_allowed_picture_is_good(root, tmp_path):
    noise((100, 100)).save(root / "ants" / "large.png")
    assert len(folder.prepare(spec(root), tmp_path / "out").rows) == 21


def test_several_bad_files_are_all_named(root, tmp_path):
    for name, (file, write, _) in BAD.items():
        (root / "bees" / name).mkdir()
        write(root / "bees" / name / file)
    dataset = folder.prepare(spec(root), tmp_path / "out")
    assert len(dataset.rows) == 20
    assert findings(tmp_path / "out").keys() == {f"bees/{n}/{f}" for n, (f, _, _) in BAD.items()}


def test_bad_files_can_be_an_error(root, tmp_path):
    bomb(root / "ants" / "a.png")
    (root / "bees" / "z.txt").write_text("notes")
    with pytest.raises(StepError, match=r"2 unreadable; the first: ants/a\.png") as error:
        folder.prepare(spec(root, unreadable="error"), tmp_path / "out")
    assert "set data.checks.unreadable=skip" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_good_files_are_no_error(root, tmp_path):
    assert (
        len(
            folder.prepare(
                spec(root, unreadable="error", mislabelled="error"), tmp_path / "out"
            ).rows
        )
        == 20
    )


def test_a_folder_of_bad_files_only_is_refused(tmp_path):
    for label in ("ants", "bees"):
        files.write_text(tmp_path / "photos" / label / "a.jpg", "no picture")
    with pytest.raises(MlopsError, match=r"found 0 class\(es\), 0 image\(s\)"):
        folder.prepare(spec(tmp_path / "photos"), tmp_path / "out")
