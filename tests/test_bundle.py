import ast
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import small_bundle
from PIL import Image

from mlops_spec import bundle
from mlops_spec.bundle import Preprocessing
from mlops_spec.errors import MlopsError

ROOT = Path(__file__).resolve().parents[1]


def encoded(image, form="PNG", **more):
    buffer = io.BytesIO()
    image.save(buffer, form, **more)
    return buffer.getvalue()


def palette(transparent=None):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    return encoded(image) if transparent is None else encoded(image, transparency=transparent)


def chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png16(value, transparent=None):
    """A 4 x 4 grey PNG of 16 bits, optionally with one value that counts as transparent."""
    rows = (b"\0" + struct.pack(">H", value) * 4) * 4
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 0, 0, 0, 0))]
    if transparent is not None:
        parts.append(chunk(b"tRNS", struct.pack(">H", transparent)))
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def plain(mode, color):
    return encoded(Image.new(mode, (4, 4), color))


PICTURES = {
    "RGB": (plain("RGB", (10, 200, 30)), (10, 200, 30)),
    "grey": (plain("L", 77), (77, 77, 77)),
    "black and white": (plain("1", 1), (255, 255, 255)),
    "opaque RGBA": (plain("RGBA", (10, 200, 30, 255)), (10, 200, 30)),
    "transparent RGBA": (plain("RGBA", (10, 200, 30, 0)), (255, 255, 255)),
    "half transparent RGBA": (plain("RGBA", (0, 0, 0, 128)), (127, 127, 127)),
    "transparent grey": (plain("LA", (0, 0)), (255, 255, 255)),
    "palette": (palette(), (10, 200, 30)),
    "palette, transparent": (palette(transparent=1), (255, 255, 255)),
    "palette, another is transparent": (palette(transparent=0), (10, 200, 30)),
    "CMYK": (encoded(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "TIFF"), (255, 255, 255)),
    "CMYK, inked": (encoded(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "TIFF"), (0, 255, 255)),
    "16 bits, white": (png16(65535), (255, 255, 255)),
    "16 bits, grey": (png16(257 * 77), (77, 77, 77)),
    "16 bits, black": (png16(0), (0, 0, 0)),
    "16 bits, transparent": (png16(257 * 77, transparent=257 * 77), (255, 255, 255)),
    "RGB with a transparent colour": (
        encoded(Image.new("RGB", (4, 4), (9, 8, 7)), transparency=(9, 8, 7)),
        (255, 255, 255),
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_of_any_kind_shows_the_colours_that_people_see(name):
    content, expected = PICTURES[name]
    image = bundle.open_image(content, 3)
    assert (image.mode, image.size) == ("RGB", (4, 4))
    assert image.getcolors() == [(16, expected)]


@pytest.mark.parametrize("name", [name for name, (_, rgb) in PICTURES.items() if len({*rgb}) == 1])
def test_a_picture_without_colour_is_the_same_in_grey(name):
    content, expected = PICTURES[name]
    image = bundle.open_image(content, 1)
    assert image.mode == "L"
    assert image.getcolors() == [(16, expected[0])]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(orientation):
    upright = Image.new("L", (6, 4), 20)
    upright.paste(220, (0, 0, 3, 2))  # bright top left
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(back[orientation]) if orientation in back else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = bundle.open_image(encoded(stored, exif=exif.tobytes()), 1)
    assert np.array_equal(np.asarray(opened), np.asarray(upright))


# From a picture to the network's input


def how(**changes):
    made = {"channels": 3, "resize": 8, "input_size": 4, **changes}
    channels = made["channels"]
    return Preprocessing(**made, mean=(0.5,) * channels, std=(0.25,) * channels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (31, 8), (8, 31), (1, 9), (640, 427), (3, 2000)])
def test_every_picture_becomes_one_square(size, channels):
    picture = encoded(Image.new("RGB", size, (9, 9, 9)))
    array = bundle.pixels(picture, how(channels=channels))
    assert (array.shape, array.dtype) == ((4, 4, channels), np.uint8)
    assert (array == 9).all()


def test_the_crop_is_the_centre_of_the_picture():
    image = Image.new("L", (16, 8), 0)
    image.paste(200, (6, 2, 10, 6))
    array = bundle.pixels(encoded(image), how(channels=1))
    assert (array == 200).all()


def test_the_shorter_side_is_resized_before_the_crop():
    image = Image.new("L", (160, 80), 0)
    image.paste(200, (60, 20, 100, 60))  # ten times the picture above
    array = bundle.pixels(encoded(image), how(channels=1))
    assert (array[1:-1, 1:-1] == 200).all()


def test_a_file_and_its_bytes_give_the_same_pixels(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    (tmp_path / "a.png").write_bytes(encoded(image))
    by_path = bundle.pixels(tmp_path / "a.png", how())
    assert np.array_equal(by_path, bundle.pixels(encoded(image), how()))


def test_probabilities_of_large_logits_are_finite():
    probabilities = bundle.softmax(np.array([[1000.0, 999.0], [-1000.0, -1000.0]]))
    np.testing.assert_allclose(probabilities, [[0.7310586, 0.2689414], [0.5, 0.5]])


# The folder


@pytest.fixture
def made(tmp_path):
    return small_bundle.make(tmp_path / "bundle")


def test_a_bundle_answers(made):
    pictures = [plain("RGB", small_bundle.COLORS[label]) for label in small_bundle.LABELS]
    logits = bundle.load(made).logits(pictures)
    np.testing.assert_allclose(logits, 4 * np.eye(3), atol=1e-6)


def test_whoever_serves_can_read_it(made):
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o644}


def test_a_batch_is_answered_like_one_picture_at_a_time(made, tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(path)
    model = bundle.load(made)
    answers = model.logits(paths)
    np.testing.assert_allclose(answers, [model.logits([path])[0] for path in paths], rtol=1e-5)


def test_a_strip_of_a_million_pixels_needs_no_memory(tmp_path):
    """Resized whole, it would be 4 x 4,000,000 pixels and more, from a file of 1 kB."""
    path = tmp_path / "strip.png"
    Image.new("L", (1, 1_000_000), 7).save(path)
    how = Preprocessing(channels=1, resize=4096, input_size=8, mean=(0.0,), std=(1.0,))
    assert (bundle.pixels(path, how) == 7).all()


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_a_changed_file_is_refused(made, name):
    content = bytearray((made / name).read_bytes())
    content[-1] ^= 1
    (made / name).write_bytes(content)
    with pytest.raises(MlopsError, match=rf"{name} is not the file that training recorded"):
        bundle.load(made)


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors"])
def test_a_missing_file_is_refused(made, name):
    (made / name).unlink()
    with pytest.raises(MlopsError, match=rf"{name} is not the file that training recorded"):
        bundle.read(made)


def test_a_card_without_digests_is_refused(made):
    document = json.loads((made / "model.json").read_text("utf-8"))
    (made / "model.json").write_text(json.dumps({**document, "digests": {}}), encoding="utf-8")
    with pytest.raises(MlopsError):
        bundle.read(made)


def test_a_folder_without_a_card_is_no_bundle(tmp_path):
    with pytest.raises(MlopsError, match=r"is no model bundle: it has no model\.json"):
        bundle.load(tmp_path)


def test_the_identity_of_a_model_is_its_network_and_weights(made, tmp_path):
    twin = small_bundle.make(tmp_path / "twin", labels=("a", "b", "c"))
    other = small_bundle.make(tmp_path / "other", scale=5.0)
    assert bundle.digest(made) == bundle.digest(twin) != bundle.digest(other)


@pytest.mark.parametrize("count", [1, 3])
def test_the_network_normalises_each_channel_of_a_batch_of_any_size(tmp_path, count):
    how = small_bundle.HOW.model_copy(update={"mean": (0.0, 0.2, 0.5), "std": (1.0, 0.5, 0.25)})
    model = bundle.load(small_bundle.make(tmp_path / "bundle", how=how, scale=1.0))
    batch = np.zeros((count, 8, 8, 3), np.uint8)
    batch[-1] = (255, 51, 0)
    answers = model.answer(batch)
    assert answers.shape == (count, 3)
    np.testing.assert_allclose(answers[-1], [-2.0, 0.0, 1.0], atol=1e-6)
    for answer in answers[:-1]:
        np.testing.assert_allclose(answer, [-2.0, -0.4, 0.0], atol=1e-6)


def test_onnx_runtime_is_asked_for_the_cpu_only(made):
    assert isinstance(bundle.load(made).session, onnxruntime.InferenceSession)
    assert bundle.load(made).session.get_providers() == ["CPUExecutionProvider"]


def test_no_code_of_the_product_unpickles():
    bad = {"pickle", "cPickle", "joblib", "dill", "cloudpickle", "shelve", "marshal"}
    sources = [
        p for name in ("mlops_spec", "trainers", "deployers") for p in (ROOT / name).rglob("*.py")
    ]
    assert sources
    for path in sources:
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = getattr(node, "names", [])
            imported = [alias.name for alias in names if isinstance(alias, ast.alias)]
            module = getattr(node, "module", None) or ""
            refusal = module == "pickle" and imported == ["UnpicklingError"]
            imported.append("" if refusal else module)
            assert not bad & {str(name).split(".")[0] for name in imported}, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), path
