"""`target=local`: a real service over HTTP, checked before it takes over."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lineages
import pytest
from PIL import Image
from toyproject import Project, copy

from mlops_spec import files

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def picture(grey: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (40, 30), grey).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def serving(_finished: Project, tmp_path) -> Iterator[tuple[Project, int, list[str]]]:
    project, port = Project(copy(_finished, tmp_path / "project").path, apart=True), free_port()
    words = ["target=local", f"target.port={port}"]
    assert project.ran(*words) == ["deploy"]
    yield project, port, words
    try:
        os.kill(ask(port, "GET", "/healthz")[1]["pid"], signal.SIGTERM)
    except OSError:
        assert project.path.exists()  # it was stopped by the test


def test_service_answers_and_is_reused(serving) -> None:
    project, port, words = serving
    status, answer = ask(port, "POST", "/score", picture(200, "JPEG"))
    assert (status, answer["label"]) == (200, "bright")
    assert answer["probability"] == max(answer["scores"].values())
    assert ask(port, "POST", "/score", picture(20))[1]["label"] == "dark"
    assert project.ran(*words) == []


def test_service_that_died_is_started_again(serving) -> None:
    project, port, words = serving
    os.kill(ask(port, "GET", "/healthz")[1]["pid"], signal.SIGKILL)
    assert project.planned(*words)["deploy"] == ("run", f"nothing answers at 127.0.0.1:{port}")
    assert project.ran(*words) == ["deploy"]
    assert ask(port, "GET", "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("body", "path", "headers", "status"),
    [
        (b"no image", "/score", {}, 415),
        (picture(9)[:60], "/score", {}, 415),
        (b"", "/score", {}, 415),
        (b"x", "/elsewhere", {}, 404),
        (b"", "/score", {"Content-Length": "99999999999"}, 413),
    ],
)
def test_service_refuses_what_is_no_image(serving, body, path, headers, status) -> None:
    _, port, _ = serving
    got, answer = ask(port, "POST", path, body, **headers)
    assert got == status
    assert answer["error"]
    assert ask(port, "GET", "/healthz")[0] == 200


def test_address_of_another_program_is_left_alone(finished: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        other.settimeout(0)
        words = ["name=toy", "data=toy", "training=toy", "target=local", f"target.port={port}"]
        answer = finished.run(*words)
    assert answer.returncode == 5
    assert f"another program listens at 127.0.0.1:{port}" in answer.stderr
    assert "target.port" in answer.stderr


class Stranger(BaseHTTPRequestHandler):
    """Answers like a service of ours, and names a process that is none."""

    victim = 0

    def do_GET(self) -> None:
        body = json.dumps({"pid": self.victim, "digest": "x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("noted", [False, True])
def test_process_that_a_stranger_names_is_left_alone(
    finished: Project, monkeypatch, *, noted: bool
) -> None:
    with (
        subprocess.Popen(["sleep", "60"]) as victim,
        ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as other,
    ):
        monkeypatch.setattr(Stranger, "victim", victim.pid)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        port = other.server_port
        if noted:  # the number was once that of a service of ours
            files.write_json(
                finished.path / f".mlops/services/127.0.0.1-{port}.json", {"pid": victim.pid}
            )
        words = ["name=toy", "data=toy", "training=toy", "target=local", f"target.port={port}"]
        answer = finished.run(*words)
        alive = victim.poll() is None
        victim.kill()
        other.shutdown()
    assert alive
    assert answer.returncode == 5
    assert "another program listens" in answer.stderr


def test_model_that_answers_otherwise_never_takes_over(serving) -> None:
    project, port, words = serving
    before = ask(port, "GET", "/healthz")[1]["pid"]
    (card,) = project.path.glob(".mlops/models/toy/*/model.json")
    document = json.loads(card.read_text())
    import base64

    image = base64.b64encode(picture(200)).decode()
    golden = {"image": image, "scores": [0.1, 0.9], "labels": ["dark"], "why": "mistake"}
    card.write_text(json.dumps({**document, "golden": [golden]}))
    said = json.loads((card.parent / "lineage.json").read_text())
    digests = {**said["files"], card.name: files.sha256_file(card)}
    lineages.changed(card.parent, files=digests)
    deploy = project.path / "deployers" / "other.py"
    assert not deploy.exists()
    answer = project.run(*["name=toy", "data=toy", "training=toy", *words, "target.host=localhost"])
    assert answer.returncode == 5
    assert "golden input 1 is off by" in answer.stderr
    assert ask(port, "GET", "/healthz")[1]["pid"] == before


def test_a_changed_bundle_is_refused_though_no_key_is_trusted(serving) -> None:
    project, port, words = serving
    before = ask(port, "GET", "/healthz")[1]["pid"]
    (report,) = project.path.glob(".mlops/models/toy/*/report.html")
    report.write_text("<p>forged</p>")
    answer = project.run(*["name=toy", "data=toy", "training=toy", *words, "target.host=localhost"])
    assert answer.returncode == 5
    assert "report.html was changed" in answer.stderr
    assert ask(port, "GET", "/healthz")[1]["pid"] == before


def test_a_service_listens_at_an_address_of_ipv6(finished: Project) -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("LOUD: this machine has no ::1")
    project = Project(finished.path, apart=True)
    words = ["target=local", "target.host='::1'", f"target.port={port}"]
    assert project.ran(*words) == ["deploy"]
    try:
        (made,) = project.path.glob(".mlops/steps/*/out/service.json")
        document = json.loads(made.read_text())
        assert document["url"] == f"http://[::1]:{port}/score"
        assert project.ran(*words) == []
    finally:
        os.kill(document["pid"], signal.SIGTERM)
