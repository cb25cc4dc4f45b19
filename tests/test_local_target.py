"""`target=local`: a real service over HTTP, checked before it takes over."""

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lineages
import pytest
from PIL import Image
from scoring import free_port, state_of, stop
from toyproject import Project, copy
from written import records

from mlops_spec import files

pytestmark = pytest.mark.slow
# By the system, for a router that has stopped listening, or closed a connection that it had not
# read from; not by one that took a request
NOT_TAKEN_IN = {
    *(ConnectionRefusedError, ConnectionResetError, BrokenPipeError),
    http.client.RemoteDisconnected,
}


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with closing(connection):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def said(port: int, body: bytes) -> str:
    status, answer = ask(port, "POST", "/score", body)
    assert status == 200
    return answer["predictions"][0]["label"]


def pid_of(project: Project, name: str = "blue") -> int:
    return state_of(project.path)["deployments"][name]["pid"]


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
    stop(project.path)


def test_service_answers_and_is_reused(serving) -> None:
    project, port, words = serving
    assert said(port, picture(200, "JPEG")) == "bright"
    assert said(port, picture(20)) == "dark"
    assert project.ran(*words) == []


def test_what_clients_send_is_kept_where_that_is_asked_for(serving) -> None:
    project, port, words = serving
    assert project.ran(*words, "target.serving.sampling.share=1") == ["deploy"]
    assert said(port, picture(20)) == "dark"
    samples = project.path / ".mlops" / "samples"
    deadline = time.monotonic() + 90
    while not (kept := records(*samples.glob("answers/*"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    (line,) = kept  # golden inputs are no client's
    assert (samples / "images" / line["image"]).read_bytes() == picture(20)


def test_service_that_died_is_started_again(serving) -> None:
    project, port, words = serving
    os.kill(pid_of(project), signal.SIGKILL)
    assert ask(port, "POST", "/score", picture(20)) == (503, {"error": "no deployment answers"})
    assert project.planned(*words)["deploy"] == ("run", "deployment blue does not answer")
    assert project.ran(*words) == ["deploy"]
    assert said(port, picture(20)) == "dark"


def test_router_that_died_is_started_again(serving) -> None:
    project, port, words = serving
    os.kill(state_of(project.path)["router"], signal.SIGKILL)
    assert project.planned(*words)["deploy"] == ("run", f"nothing answers at 127.0.0.1:{port}")
    assert project.ran(*words) == ["deploy"]
    assert said(port, picture(20)) == "dark"


def test_service_that_was_stopped_under_load_loses_nothing_and_starts_again(serving) -> None:
    project, port, words = serving
    answers: list[int] = []
    ends: list[type] = []

    def hammer() -> None:
        try:
            while True:
                answers.append(ask(port, "POST", "/score", picture(20))[0])
        except ConnectionError as error:
            ends.append(type(error))

    clients = [threading.Thread(target=hammer) for _ in range(4)]
    for client in clients:
        client.start()
    while len(answers) < 20:
        time.sleep(0.02)
    pids = {state_of(project.path)["router"], pid_of(project)}
    stopped = project.run("services", "stop", str(port), "--json")
    for client in clients:
        client.join()
    assert {json.loads(line)["pid"] for line in stopped.stdout.splitlines()} == pids
    assert {*answers} == {200}
    assert {*ends} <= NOT_TAKEN_IN
    assert project.planned(*words)["deploy"] == ("run", f"nothing answers at 127.0.0.1:{port}")
    assert project.ran(*words) == ["deploy"]
    assert said(port, picture(20)) == "dark"


def test_service_refuses_what_is_no_image(serving) -> None:
    _, port, _ = serving
    for body, status in ((b"no image", 415), (picture(9)[:60], 422), (b"", 400)):
        got, answer = ask(port, "POST", "/score", body)
        assert (got, bool(answer["error"])) == (status, True)
    assert said(port, picture(20)) == "dark"


def test_a_canary_gets_what_traffic_says_and_goes_back(serving) -> None:
    project, _, words = serving
    split = [
        "target.deployment=green",
        "target.traffic={blue:50,green:50}",
        "target.mirror={blue:20}",
    ]
    assert project.ran(*words, *split) == ["deploy"]
    assert {*state_of(project.path)["deployments"]} == {"blue", "green"}
    assert project.ran(*words, *split) == []
    assert project.planned(*words)["deploy"] == (
        "run",
        "traffic is blue 50, green 50, not blue 100",
    )
    assert project.ran(*words) == ["deploy"]
    assert state_of(project.path)["traffic"] == {"blue": 100}


def test_traffic_that_can_not_be_is_a_bad_spec(project: Project) -> None:
    words = ["name=toy", "data=toy", "training=toy", "target=local", "target.traffic={blue:50}"]
    answer = project.run(*words)
    assert answer.returncode == 2
    assert "traffic adds up to 50, not to 100" in answer.stderr


def test_a_key_that_is_written_down_is_a_bad_spec(project: Project) -> None:
    words = ["name=toy", "data=toy", "training=toy", "target=local", "target.key=hunter2hunter2"]
    answer = project.run(*words)
    assert answer.returncode == 2
    assert "target.key  a key does not belong here" in answer.stderr
    assert "hunter2" not in answer.stdout + answer.stderr
    assert not (project.path / "runs").exists()


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


def test_process_that_a_stranger_names_is_left_alone(finished: Project, monkeypatch) -> None:
    with (
        subprocess.Popen(["sleep", "60"]) as victim,
        ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as other,
    ):
        monkeypatch.setattr(Stranger, "victim", victim.pid)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        words = ["name=toy", "data=toy", "training=toy", "target=local"]
        answer = finished.run(*words, f"target.port={other.server_port}")
        alive = victim.poll() is None
        victim.kill()
        other.shutdown()
    assert alive
    assert answer.returncode == 5
    assert "another program listens" in answer.stderr


def test_model_that_answers_otherwise_never_takes_over(serving) -> None:
    project, port, words = serving
    before = pid_of(project)
    (card,) = project.path.glob(".mlops/models/toy/*/model.json")
    document = json.loads(card.read_text())
    import base64

    image = base64.b64encode(picture(200)).decode()
    golden = {"image": image, "scores": [0.1, 0.9], "labels": ["dark"], "why": "mistake"}
    card.write_text(json.dumps({**document, "golden": [golden]}))
    origin = json.loads((card.parent / "lineage.json").read_text())
    digests = {**origin["files"], card.name: files.sha256_file(card)}
    lineages.changed(card.parent, files=digests)
    deploy = project.path / "deployers" / "other.py"
    assert not deploy.exists()
    answer = project.run(
        *["name=toy", "data=toy", "training=toy", *words, "target.deployment=green"]
    )
    assert answer.returncode == 5
    assert "golden input 1 is off by" in answer.stderr
    assert (pid_of(project), said(port, picture(20))) == (before, "dark")


def test_a_changed_bundle_is_refused_though_no_key_is_trusted(serving) -> None:
    project, port, words = serving
    before = pid_of(project)
    (report,) = project.path.glob(".mlops/models/toy/*/report.html")
    report.write_text("<p>forged</p>")
    answer = project.run(
        *["name=toy", "data=toy", "training=toy", *words, "target.deployment=green"]
    )
    assert answer.returncode == 5
    assert "report.html was changed" in answer.stderr
    assert (pid_of(project), said(port, picture(20))) == (before, "dark")


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
        stop(project.path)
