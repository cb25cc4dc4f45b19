"""What strangers send: a clear no, never a traceback, and the next request is answered."""

import io
import json
import socket
import struct
import time
import zlib

import numpy as np
import pytest
import small_bundle
from PIL import Image
from scoring import serving
from test_scoring import GREEN, RED, encoded, form_of, labels, picture

from deployers.scoring import wire
from deployers.scoring.refusal import Refusal
from mlops_spec import bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_bundle.make(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def running(folder, tmp_path_factory):
    with serving(folder, tmp_path_factory.mktemp("service")) as client:
        yield client


@pytest.fixture
def service(running):
    yield running
    assert labels(running.score(GREEN)) == ["green"], "the next request is answered"
    assert "Traceback" not in running.log.read_text("utf-8")


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(width, height):
    """A PNG of some hundred bytes that claims to be huge."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


JPEG = picture(form="JPEG", size=(300, 200))
NOISE = saved(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype("u1")), "PNG"
)
REFUSED = {
    "nothing": (b"", 400, "an empty request"),
    "text": (b"hello", 415, "no image of a known format"),
    "zeros": (bytes(5000), 415, "no image of a known format"),
    "vector graphics": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "known format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "known format"),
    "a truncated JPEG": (JPEG[: len(JPEG) // 2], 422, "a damaged image"),
    "a truncated PNG": (NOISE[: len(NOISE) // 2], 422, "a damaged image"),
    "a head alone": (JPEG[:20], 415, "known format"),
    "a bomb": (bomb(50_000, 50_000), 413, "more than 1000000 pixels"),
    "a little too large": (picture(size=(1100, 1000)), 413, "more than 1000000 pixels"),
    "many bytes": (bytes(2_000_001), 413, "more than 2000000 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused(service, name):
    body, status, said = REFUSED[name]
    found, answer = service.score(body)
    assert (found, said in answer["error"]) == (status, True), answer


def test_a_hundred_megabytes_are_refused_before_they_are_read(service):
    with socket.create_connection(("127.0.0.1", service.port), 10) as line:
        head = b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
        line.sendall(head + bytes(1000))
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_bytes_without_an_announced_length_are_counted(service):
    part = b"2710\r\n" + bytes(10_000) + b"\r\n"
    with socket.create_connection(("127.0.0.1", service.port), 10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(201):
            line.sendall(part)
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", 'one of "image"'),
        ("{}", 'one of "image"'),
        ('{"image": "x", "data": [1]}', 'one of "image"'),
        ('{"images": "x"}', "no list"),
        ('{"images": []}', "without an image"),
        ('{"images": [3]}', "image 1 is no text"),
        ('{"image": null}', "image 1 is no text"),
        ('{"images": ["AAAA", "@@"]}', "image 2 is no base64"),
        ('{"image": "ä"}', "image 1 is no base64"),
        ('{"data": "x"}', "no table of numbers"),
        ('{"data": [[1, 2], [3]]}', "no table of numbers"),
        ('{"data": [[[1, 2]]]}', r"shape (1, 1, 1, 2), not (images, 3, 8, 8)"),
        ('{"data": []}', "no number, or nothing"),
        ('{"data": [[[[1e999]]]]}', "no number, or nothing"),
        (json.dumps({"data": np.zeros((3, 8, 8)).tolist(), "std": [1, 2]}), "std has 2 numbers"),
    ],
)
def test_json_that_is_something_else_is_refused(service, text, said):
    status, answer = service.score(text.encode(), Content_Type="application/json")
    assert (status, said in answer["error"]) == (400, True), answer


def test_json_that_is_no_utf_8_is_refused(service):
    assert service.score(b"\xff\xfe{}", Content_Type="application/json")[0] == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary=abc"),
        (b"--abc\r\n\r\n", "multipart/form-data; boundary=abc"),
        (
            b'--abc\r\nContent-Disposition: form-data; name="text"\r\n\r\nno file\r\n--abc--\r\n',
            "multipart/form-data; boundary=abc",
        ),
    ],
)
def test_a_form_without_files_is_refused(service, body, kind):
    assert service.score(body, Content_Type=kind)[0] == 400


def test_one_bad_image_of_many_is_named(service):
    status, answer = service.json({"images": encoded(RED, b"hello", GREEN)})
    assert (status, answer["error"][:8]) == (415, "image 2:")


def test_a_thousand_images_are_too_many(service):
    status, answer = service.json({"images": encoded(RED) * 1000})
    assert (status, answer["error"]) == (413, "1000 images, and a request may have 8")
    body, kind = form_of(*[RED] * 9)
    assert service.score(body, Content_Type=kind) == (413, {"error": "more than 8 images"})


@pytest.mark.parametrize("kind", ["form", "json"])
def test_of_too_many_images_none_is_read(kind, monkeypatch):
    read = []
    monkeypatch.setattr(wire.base64, "b64decode", lambda *_, **__: read.append(1))
    plain = wire.multipart.File.on_data
    monkeypatch.setattr(
        wire.multipart.File, "on_data", lambda *each: read.append(1) or plain(*each)
    )
    body, mime = form_of(*[RED] * 50)
    if kind == "json":
        body, mime = json.dumps({"images": ["AAAA"] * 50}).encode(), "application/json"
    with pytest.raises(Refusal) as caught:
        wire.images_of(mime, body, 4, None)
    assert (caught.value.status, len(read) <= 5) == (413, True)


@pytest.mark.parametrize("top", ["-1", "x", "1e3", "1" * 30, ""])
def test_a_number_of_classes_that_is_none_is_refused(service, top):
    status, answer = service.score(RED, f"/score?top={top}")
    assert (status, "how many classes" in answer["error"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/score", 405),
        ("POST", "/healthz", 405),
        ("GET", "/", 404),
        ("GET", "/%2e%2e/", 404),
    ],
)
def test_other_addresses_are_no_secret(service, method, path, status):
    assert service.ask(method, path)[0] == status


# Odd images that are images


def odd():
    chance = np.random.default_rng(0)
    photo = Image.fromarray(chance.integers(0, 255, (60, 80, 3)).astype(np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6  # on its side
    deep = Image.fromarray(chance.integers(0, 65535, (40, 50)).astype(np.uint16))
    red, green = (Image.new("RGB", (30, 30), color) for color in ("red", "green"))
    return {
        "CMYK": saved(photo.convert("CMYK"), "JPEG"),
        "EXIF rotation": saved(photo, "JPEG", exif=turned),
        "16 bits": saved(deep, "PNG"),
        "16 bits of a TIFF": saved(deep, "TIFF"),
        "an animated GIF": saved(red, "GIF", save_all=True, append_images=[green]),
        "transparent": saved(photo.convert("RGBA"), "PNG"),
        "a palette": saved(photo.convert("P"), "PNG"),
        "black and white": saved(photo.convert("1"), "PNG"),
        "WebP": saved(photo, "WEBP"),
        "a strip": saved(Image.new("L", (1, 5000), 77), "PNG"),
        "one pixel": saved(Image.new("L", (1, 1), 77), "PNG"),
        "a JPEG that is an archive too": saved(photo, "JPEG") + b"PK\x05\x06" + bytes(18),
    }


@pytest.mark.parametrize("name", odd())
def test_an_odd_image_is_answered_as_the_model_was_judged(service, folder, name):
    content = odd()[name]
    status, answer = service.score(content, "/score?top=0")
    assert status == 200
    found = {each["label"]: each["probability"] for each in answer["predictions"][0]["top"]}
    (expected,) = bundle.load(folder).probabilities([content])
    assert [found[label] for label in small_bundle.LABELS] == pytest.approx(list(expected))


# Clients that misbehave


def test_a_client_that_is_too_slow_is_told_so(service):
    with socket.create_connection(("127.0.0.1", service.port), 10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n" + RED[:50])
        begin = time.monotonic()
        answer = line.recv(2000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begin > 0.5


def test_clients_that_hang_up_leave_nothing_behind(service):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port), 10) as line:
            head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: {len(RED)}\r\n\r\n"
            line.sendall(head.encode() + RED[:60])
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.port), 10) as line:
            line.sendall(head.encode() + RED)
    time.sleep(0.3)
    numbers = service.ask("GET", "/metrics")[2]
    assert "scoring_waiting_images 0.0" in numbers
    assert 'status="499"' in numbers
    assert 'status="500"' not in numbers


def test_slow_clients_do_not_keep_others_waiting(service):
    lines = [socket.create_connection(("127.0.0.1", service.port), 10) for _ in range(50)]
    try:
        for line in lines:
            line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\n")
        assert labels(service.score(RED)) == ["red"]
    finally:
        for line in lines:
            line.close()


def test_what_is_no_http_is_refused(service):
    with socket.create_connection(("127.0.0.1", service.port), 10) as line:
        line.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
