"""The scoring contract over HTTP: what may be sent, and what is answered."""

import base64
import io
import uuid

import jsonschema
import numpy as np
import pytest
import small_bundle
from PIL import Image
from scoring import serving

from mlops_spec import bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_bundle.make(tmp_path_factory.mktemp("bundle"), temperature=1.5)


@pytest.fixture(scope="module")
def service(folder, tmp_path_factory):
    with serving(folder, tmp_path_factory.mktemp("service")) as client:
        yield client


def picture(color=(250, 20, 30), form="PNG", size=(12, 9), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form, **options)
    return buffer.getvalue()


def form_of(*files):
    """A form as browsers and curl send it: body and content type."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="f{i}"; filename="{i}.png"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + content
        + b"\r\n"
        for i, content in enumerate(files)
    ]
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def encoded(*files):
    return [base64.b64encode(content).decode() for content in files]


RED, GREEN, BLUE = picture(), picture((10, 240, 10)), picture((0, 0, 255))


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "", "text/plain"])
def test_one_image_is_its_bytes(service, folder, kind):
    status, answer = service.score(RED, **({"Content_Type": kind} if kind else {}))
    assert status == 200
    assert answer["model"] == {
        "name": "colours",
        "version": "7",
        "digest": bundle.digest(folder),
    }
    (said,) = answer["predictions"]
    (expected,) = bundle.load(folder).probabilities([RED])
    assert said["label"] == "red"
    assert said["probability"] == pytest.approx(expected[2])
    assert [each["label"] for each in said["top"]] == ["red", "green"][:1] + [
        small_bundle.LABELS[i] for i in np.argsort(-expected)[1:2]
    ]


def labels(answer):
    assert answer[0] == 200, answer
    return [said["label"] for said in answer[1]["predictions"]]


def test_a_form_has_an_image_a_part_in_order(service):
    body, kind = form_of(GREEN, RED, BLUE, RED)
    assert labels(service.score(body, Content_Type=kind)) == ["green", "red", "blue", "red"]


def test_json_has_images_in_order(service):
    assert labels(service.json({"images": encoded(BLUE, RED, GREEN)})) == ["blue", "red", "green"]
    assert labels(service.json({"image": encoded(GREEN)[0]})) == ["green"]
    assert labels(service.json({"image": "data:image/png;base64," + encoded(RED)[0]})) == ["red"]


def test_more_images_than_a_batch_are_answered_in_order(service):
    mixed = [RED, GREEN, BLUE, BLUE, RED, GREEN, RED, BLUE]
    names = ["red", "green", "blue", "blue", "red", "green", "red", "blue"]
    assert labels(service.json({"images": encoded(*mixed)})) == names


@pytest.mark.parametrize("several", [True, False])
def test_pixels_as_old_clients_send_them_are_the_image(service, folder, several):
    card = bundle.read(folder)
    pixels = [bundle.pixels(one, card.preprocessing) for one in (RED, GREEN)]
    tensor = np.stack(pixels).transpose(0, 3, 1, 2) / 255
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    other = (tensor - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    sent = (tensor, other) if several else (tensor[0], other[0])
    plain = service.json({"data": sent[0].tolist()})
    named = service.json({"data": sent[1].tolist(), "mean": mean, "std": std})
    images = service.json({"images": encoded(RED, GREEN)[: 2 if several else 1]})
    assert plain == named == images


def test_one_number_is_for_all_channels(service, folder):
    pixels = bundle.pixels(RED, bundle.read(folder).preprocessing).transpose(2, 0, 1) / 255
    sent = {"data": ((pixels - 0.5) / 0.5).tolist(), "mean": 0.5, "std": [0.5]}
    assert service.json(sent) == service.score(RED)


@pytest.mark.parametrize(("top", "count"), [("0", 3), ("1", 1), ("3", 3), ("99", 3)])
def test_as_many_classes_are_listed_as_are_asked_for(service, top, count):
    _, answer = service.score(RED, f"/score?top={top}")
    listed = answer["predictions"][0]["top"]
    assert len(listed) == count
    shares = [each["probability"] for each in listed]
    assert shares == sorted(shares, reverse=True)
    assert count < 3 or sum(shares) == pytest.approx(1)


def test_an_answer_is_what_its_description_says(service):
    _, _, described = service.ask("GET", "/openapi.json")
    score = described["paths"]["/score"]["post"]
    schema = score["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(service.score(RED)[1], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"predictions": [{}]}, schema)
    asked = score["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate({"images": encoded(RED)}, asked)
    assert "2000000 bytes" in score["description"]


def test_the_model_is_described(service, folder):
    status, _, answer = service.ask("GET", "/model")
    assert status == 200
    assert answer["card"]["labels"] == ["blue", "green", "red"]
    assert answer["card"]["temperature"] == 1.5
    assert (answer["name"], answer["version"]) == ("colours", "7")
    status, _, answer = service.ask("GET", "/healthz")
    assert (status, answer["digest"]) == (200, bundle.digest(folder))
    assert answer["pid"] == service.process.pid


def test_numbers_of_requests_are_there_for_prometheus(service):
    before = service.ask("GET", "/metrics")[2]
    service.json({"images": encoded(RED, GREEN)})
    service.score(b"no image")
    after = service.ask("GET", "/metrics")[2]

    def number(text, name):
        return float(next((x.split()[-1] for x in text.splitlines() if x.startswith(name)), 0))

    for name, more in (
        ('scoring_requests_total{status="200"}', 1),
        ('scoring_requests_total{status="415"}', 1),
        ("scoring_images_total", 2),
        ("scoring_batch_images_count", 1),
    ):
        assert number(after, name) == number(before, name) + more, name
    assert 'scoring_model{name="colours",version="7"} 1.0' in after
    assert number(after, "scoring_waiting_images") == 0


def test_a_request_has_a_name_and_a_line_without_content(service):
    _, headers, _ = service.ask("POST", "/score", RED, X_Request_Id="mine-1")
    assert headers["X-Request-Id"] == "mine-1"
    for evil in ('" {evil}', "good {evil}", "x" * 65):
        _, headers, _ = service.ask("POST", "/score", RED, X_Request_Id=evil)
        assert len(headers["X-Request-Id"]) == 32
    found = next(line for line in service.lines() if line.get("request") == "mine-1")
    assert {*found} == {"time", "request", "status", "images", "ms"}
    assert (found["status"], found["images"]) == (200, 1)


def test_several_labels_are_listed(tmp_path):
    how = small_bundle.HOW.model_copy(update={"mean": (0.25,) * 3})
    folder = small_bundle.make(tmp_path / "b", how=how, scale=20.0, activation="sigmoid")
    with serving(folder, tmp_path / "service") as client:
        _, answer = client.score(picture((250, 250, 0)))
        assert answer["predictions"][0]["labels"] == ["green", "red"]
        assert "label" not in answer["predictions"][0]


def test_a_key_is_asked_for(folder, tmp_path):
    with serving(folder, tmp_path / "service", key="s3cret-ü") as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            for method, path in (("POST", "/score"), ("GET", "/model")):
                status, _, answer = client.ask(method, path, RED, **headers)
                assert (status, "Bearer KEY" in answer["error"]) == (401, True)
        right = {"Authorization": "Bearer s3cret-ü".encode()}
        assert client.score(RED, **right)[0] == 200
        assert client.ask("GET", "/model", **right)[0] == 200
        assert client.ask("GET", "/readyz")[0] == 200
        assert "s3cret" not in client.log.read_text("utf-8")
