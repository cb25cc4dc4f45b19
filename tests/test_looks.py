"""What one look at a file finds."""

import numpy as np
import PIL
import pytest
from PIL import EpsImagePlugin, Image
from test_checks import frames, put, scene
from test_folder_dataset import spec

from mlops_spec import bundle
from trainers.datasets import _looks
from trainers.datasets._looks import MOST_PIXELS


def look(path):
    (found,) = _looks.look_at([path], [path.suffix], MOST_PIXELS)
    return found


@pytest.mark.parametrize(
    ("mode", "form"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("CMYK", "JPEG"), ("1", "TIFF")]
)
def test_every_mode_is_looked_at(tmp_path, mode, form):
    path = tmp_path / f"a.{'jpg' if form == 'JPEG' else form.lower()}"
    scene(1).convert(mode).save(path, form)
    found = look(path)
    assert (found.faults, found.mode, found.width, found.height) == ((), mode, 90, 80)
    assert found.hash is not None


def test_a_jpeg_of_several_pictures_as_cameras_write_them_is_a_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    scene(1).save(path, "MPO", save_all=True, append_images=[scene(2)])
    assert look(path).faults == ()


@pytest.mark.parametrize("form", ["gif", "webp", "png", "tiff"])
def test_frames_are_counted(tmp_path, form):
    put(tmp_path / f"one.{form}", scene(1))
    put(tmp_path / f"many.{form}", scene(1), **frames(12))
    assert look(tmp_path / f"one.{form}").faults == ()
    many = look(tmp_path / f"many.{form}")
    assert many.faults == (("animated", "has 12 frames; a picture is wanted"),)
    assert many.hash is not None


@pytest.mark.parametrize(("form", "second"), [("gif", -110), ("tiff", -21744)])
def test_a_file_that_is_damaged_behind_its_first_frame_ends_nothing(tmp_path, form, second):
    """Pillow says of it what it says of no single picture: IndexError, KeyError, TypeError."""
    path = tmp_path / f"a.{form}"
    put(path, scene(1), **frames(2))
    content = path.read_bytes()
    found = set()
    for at in range(second, second + 90):  # counted from the end, in what tells of later frames
        path.write_bytes(content[:at] + bytes(4) + content[at + 4 :])
        found |= {check for check, _ in look(path).faults}
    assert found == {"unreadable", "animated"}


def test_an_eps_that_is_named_jpg_does_not_reach_the_decoder_of_eps(tmp_path, monkeypatch):
    def reached(_image):
        raise AssertionError

    monkeypatch.setattr(EpsImagePlugin.EpsImageFile, "_open", reached)
    scene(1).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.jpg")
    ((check, fault),) = look(tmp_path / "a.jpg").faults
    assert (check, fault) == (
        "unreadable",
        "can not be read as an image: cannot identify image file 'a.jpg'",
    )


def test_a_name_too_long_for_the_disk_is_not_there(tmp_path):
    assert look(tmp_path / f"{'x' * 300}.jpg").faults == (("unreadable", "is not there"),)
    assert look(tmp_path / "x\0.jpg").faults == (("unreadable", "is not there"),)


def test_more_pixels_than_pillow_opens_can_not_be_allowed(tmp_path):
    assert MOST_PIXELS == 2 * PIL.Image.MAX_IMAGE_PIXELS
    assert spec(tmp_path, max_pixels=MOST_PIXELS)
    with pytest.raises(ValueError, match="less than or equal to 178956970"):
        spec(tmp_path, max_pixels=MOST_PIXELS + 1)


def clear():
    """Half of it is transparent."""
    image = scene(1).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 45, 80))
    return image


def keyed():
    """One colour of it is declared transparent, and it is half of the picture."""
    image = scene(1)
    image.paste((1, 2, 3), (0, 0, 45, 80))
    image.info["transparency"] = (1, 2, 3)
    return image


DEEP = Image.fromarray(np.linspace(0, 65535, 7200).reshape(80, 90).astype(np.uint16))
PICTURES = {
    "grey": (scene(1).convert("L"), "png"),
    "colours": (scene(1), "png"),
    "palette": (scene(1).quantize(16), "png"),
    "transparent": (clear(), "png"),
    "transparent palette": (clear().quantize(16), "png"),
    "transparent colour": (keyed(), "png"),
    "16 bits": (DEEP, "png"),
    "CMYK": (scene(1).convert("CMYK"), "jpg"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_colours_are_those_that_training_sees(tmp_path, name):
    image, form = PICTURES[name]
    path = tmp_path / f"a.{form}"
    put(path, image)
    seen = np.asarray(bundle.open_image(path, channels=3), dtype=np.float64) / 255
    mean, std = _looks.colors([look(path)])
    assert np.abs(np.asarray(mean) - seen.mean((0, 1))).max() < 0.004
    assert np.abs(np.asarray(std) - seen.std((0, 1))).max() < 0.03
